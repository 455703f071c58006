"""An embedder that asks nobody: a text's words, and three letters each of them, hashed into a vector.

It finds texts that share words, or forms of a word, and knows nothing of meanings.

Source: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009 (arXiv:0902.2206).
"""

import hashlib
import math
import re
from collections.abc import Iterator, Sequence

from ...events.errors import ConfigError

_WORD = re.compile(r"\w+")
_PART = 3
_WEIGHT_OF_PARTS = 0.25


class HashEmbedder:
    """The same vector for the same text, in every process."""

    def __init__(self, dimensions: int = 384) -> None:
        if dimensions < 1:
            raise ConfigError(f"dimensions={dimensions} leaves no room for a text; 384 is usual")
        self.dimensions = dimensions

    async def embed(self, text: str) -> list[float]:
        """The vector of one text."""
        vector = [0.0] * self.dimensions
        for feature, weight in _features(text):
            hashed = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "big")
            # The sign has features that meet at one place cancel out on average.
            vector[(hashed >> 1) % self.dimensions] += weight if hashed & 1 else -weight
        length = math.hypot(*vector)
        return [each / length for each in vector] if length else vector

    async def embed_batch(self, texts: Sequence[str]) -> list[list[float]]:
        return [await self.embed(text) for text in texts]


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(text.casefold()):
        yield word, 1.0
        framed = f"^{word}$"
        for start in range(len(framed) - _PART + 1):
            yield framed[start : start + _PART], _WEIGHT_OF_PARTS
