"""The chunks of one answer as they are shown to whoever watches: masked across chunks, as the answer is recorded.

What may be the beginning of a secret waits for the chunk that tells, and is shown with it at the latest when another
kind of chunk comes or the answer ends.
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias

from ..events.redacted_stream import RedactedStream
from ..events.redaction import redacted
from .model import ModelChunk

_Kind: TypeAlias = Literal["text", "thinking"]


class MaskedChunks:
    """What may be shown of an answer."""

    def __init__(self) -> None:
        self._kind: _Kind = "text"
        self._stream = RedactedStream(answer=True)

    def add(self, chunk: ModelChunk) -> Iterator[ModelChunk]:
        """Take a chunk; what can be shown now, in order. The finish is not."""
        if chunk.kind == "finish" or chunk.kind == "tool_call":
            yield from self.rest()
            if chunk.kind == "tool_call":
                yield redacted(chunk)
            return
        if chunk.kind != self._kind:
            yield from self.rest()
            self._kind, self._stream = chunk.kind, RedactedStream(answer=chunk.kind == "text")
        if shown := self._stream.add(chunk.text):
            yield ModelChunk(self._kind, shown)

    def rest(self) -> Iterator[ModelChunk]:
        """What is still held, at the end of the answer or of what there is of it."""
        if shown := self._stream.rest():
            yield ModelChunk(self._kind, shown)
