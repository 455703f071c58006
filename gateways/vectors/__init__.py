"""Vector stores and embedders. The ports are in `actors/vectors.py`.

hashing.py     an embedder without a model: words and parts of words
in_memory.py   a store in this process, which looks at all that it has
"""

from .hashing import HashEmbedder
from .in_memory import InMemoryVectorStore

__all__ = ["HashEmbedder", "InMemoryVectorStore"]
