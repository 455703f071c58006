"""Texts that are found by what they mean: the ports of vector stores and of embedders, and the words they speak."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct, field


class Chunk(Struct, frozen=True):
    """A text, and what is known of it: whose it is, where it is from."""

    content: str
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


class SearchResult(Struct, frozen=True):
    """A chunk that was found, and how near it is: 1 for the same, 0 for nothing in common."""

    chunk: Chunk
    score: float
    id: str


class Embedder(Protocol):
    """Makes vectors of texts: near ones of texts that mean much the same."""

    @property
    def dimensions(self) -> int:
        """How long its vectors are."""
        ...

    async def embed_batch(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector of length 1 for each text, in their order."""
        ...


@runtime_checkable
class VectorStore(Protocol):
    """Keeps chunks, and finds those that are near to a text."""

    async def add(self, chunks: Sequence[Chunk], ids: Sequence[str] | None = None) -> list[str]:
        """Keep chunks; their ids, given or made. One under an id that is taken replaces what was there."""
        ...

    async def search(
        self, query: str, k: int = 4, *, filter: Mapping[str, Any] | None = None
    ) -> Sequence[SearchResult]:
        """The `k` nearest, the best first, among those whose metadata have what `filter` says."""
        ...

    async def get_by_ids(self, ids: Sequence[str]) -> Sequence[Chunk]:
        """Those that there are, in the order of their ids."""
        ...
