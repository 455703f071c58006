"""Texts that are found by what they mean: `from treadle.vectorstore import InMemoryVectorStore`."""

from .actors.vectors import Chunk, Embedder, SearchResult, VectorStore
from .gateways.vectors import InMemoryVectorStore

__all__ = ["Chunk", "Embedder", "InMemoryVectorStore", "SearchResult", "VectorStore"]
