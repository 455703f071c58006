"""An answer while it is written: the object so far.

The text is read again from its beginning each time, so it is read only when it has grown by a part of its length:
a long answer costs some thirty times its length, and not its square.
"""

from typing import Any, cast

from ...actors.model import ModelChunk

_GROWTH = 32  # the text is read again when it is longer by one part in so many
_NOTHING = object()


class PartialOutput:
    """Reads the chunks of one run's model calls."""

    def __init__(self, wrapped: bool) -> None:
        self._wrapped = wrapped
        self._pieces: list[str] = []
        self._length = 0
        self._read_at = 0
        self._last: Any = _NOTHING

    def restart(self) -> None:
        """Another model call begins."""
        self._pieces, self._length, self._read_at, self._last = [], 0, 0, _NOTHING

    def add(self, chunk: ModelChunk) -> bool:
        """Take a chunk; whether there is something new in `value`."""
        if chunk.kind == "text":
            self._pieces.append(chunk.text)
            self._length += len(chunk.text)
            return self._length - self._read_at > self._length // _GROWTH and self._read()
        return self.finish()

    def finish(self) -> bool:
        """Read what has not been read; whether there is something new in `value`."""
        return self._length > self._read_at and self._read()

    @property
    def value(self) -> Any:
        """The answer so far, as JSON values; what is not there yet is left out."""
        return self._last

    def _read(self) -> bool:
        from pydantic_core import from_json

        self._pieces = ["".join(self._pieces)]
        self._read_at = self._length
        text = self._pieces[0]
        if text.lstrip().startswith("```"):
            text = text.partition("\n")[2]  # what follows the value is not heeded, the end of the fence neither
        try:
            read: Any = from_json(text, allow_partial="trailing-strings")
        except ValueError:
            return False  # words before a tool call, or no JSON yet
        if self._wrapped and isinstance(read, dict):
            given = cast("dict[str, Any]", read)
            read = given.get("value", _NOTHING) if given.keys() <= {"value"} else given
        if read is _NOTHING or read == self._last:
            return False
        self._last = read
        return True
