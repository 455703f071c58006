"""A vector store in this process. It looks at every chunk on each search, and is gone with the process."""

from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import Any, NamedTuple

from ...actors.vectors import Chunk, Embedder, SearchResult
from ...events.errors import ConfigError
from .hashing import HashEmbedder


class _Kept(NamedTuple):
    chunk: Chunk
    vector: list[float]


class InMemoryVectorStore:
    """`VectorStore` over a dictionary, for tests and small sets."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._embedder = embedder or HashEmbedder()
        self._kept: dict[str, _Kept] = {}
        self._added = 0

    async def add(self, chunks: Sequence[Chunk], ids: Sequence[str] | None = None) -> list[str]:
        if ids is not None and len(ids) != len(chunks):
            raise ConfigError(f"{len(chunks)} chunks and {len(ids)} ids; each chunk wants one")
        vectors = await self._embedder.embed_batch([chunk.content for chunk in chunks])
        taken = list(ids) if ids is not None else [f"chunk_{self._added + n}" for n in range(1, len(chunks) + 1)]
        self._added += len(chunks)
        for id, chunk, vector in zip(taken, chunks, vectors, strict=True):
            self._kept[id] = _Kept(chunk, vector)
        return taken

    async def delete(self, ids: Sequence[str]) -> None:
        """Drop chunks; ids that there are not are nothing to drop."""
        for id in ids:
            self._kept.pop(id, None)

    async def search(
        self, query: str, k: int = 4, *, filter: Mapping[str, Any] | None = None
    ) -> Sequence[SearchResult]:
        (asked,) = await self._embedder.embed_batch([query])
        wanted = (filter or {}).items()
        found = (
            SearchResult(kept.chunk, sum(a * b for a, b in zip(asked, kept.vector, strict=True)), id)
            for id, kept in self._kept.items()
            if all(name in kept.chunk.metadata and kept.chunk.metadata[name] == value for name, value in wanted)
        )
        return nlargest(k, found, key=lambda result: result.score)

    async def get_by_ids(self, ids: Sequence[str]) -> Sequence[Chunk]:
        return [self._kept[id].chunk for id in ids if id in self._kept]

    async def count(self) -> int:
        """How many there are."""
        return len(self._kept)
