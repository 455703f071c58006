"""Characters in two halves: a provider may cut one, an emoji say, between two chunks, and half of one is no text.

In UTF-16 such a character is a pair of surrogates. Halves that belong together are joined; one that is alone becomes
U+FFFD, the sign for what could not be read.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import structs

if TYPE_CHECKING:
    from .model import ModelChunk


class Halves:
    """The chunks of one answer, none of them with half a character: the first half waits for the second.

    Text and thinking are two texts, and may take turns.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, ModelChunk] = {}

    def joined(self, chunk: "ModelChunk") -> "Iterator[ModelChunk]":
        """What can be shown now that `chunk` has come."""
        if chunk.kind == "finish":
            # What has waited until now is alone.
            yield from (_whole(first, first.text) for first in self._waiting.values())
            self._waiting.clear()
        first = self._waiting.pop(chunk.kind, None)
        if first is None and chunk.text.isascii():
            yield chunk
            return
        text = first.text + chunk.text if first is not None else chunk.text
        if "\ud800" <= text[-1:] <= "\udbff":
            self._waiting[chunk.kind] = structs.replace(chunk, text=text[-1])
            text = text[:-1]
        if text:
            yield _whole(chunk, text)


def _whole(chunk: "ModelChunk", text: str) -> "ModelChunk":
    return structs.replace(chunk, text=mended(text))


def mended(text: str) -> str:
    """`text` with its halves joined, and those that are alone replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
