"""Finds texts by their words, the best first: Okapi BM25 over a few thousand short texts, kept in memory.

Words are compared without case and accents are kept; Chinese, Japanese and Korean are taken character by character. A
word of a query also finds the longer words that it begins, at half the weight: `deploy` finds `deployment`.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

_K1, _B = 1.2, 0.75  # the usual ones: how soon repetition counts no more, and how much length does
_PREFIX_CHARS = 3
_PREFIX_WEIGHT = 0.5

_WORD = re.compile(r"[぀-ヿ㐀-鿿가-힣]|[^\W_぀-ヿ㐀-鿿가-힣]+")


def words_of(text: str) -> list[str]:
    """The words of a text, as they are compared."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class _Text(Struct):
    version: int
    counts: Counter[str]
    length: int


class WordSearch:
    """An index of texts by name. Each has a version, so that only what has changed is read again."""

    def __init__(self) -> None:
        self._texts: dict[str, _Text] = {}
        self._holders: dict[str, set[str]] = {}  # by word: the names of the texts that have it

    def keep(self, texts: Mapping[str, tuple[int, Iterable[tuple[str, int]]]]) -> None:
        """Have these texts and no others.

        Args:
            texts: By name a version, and the parts of the text with how often each counts.
        """
        for name in self._texts.keys() - texts.keys():
            self._drop(name)
        for name, (version, parts) in texts.items():
            known = self._texts.get(name)
            if known is None or known.version != version:
                self._drop(name)
                self._add(name, version, parts)

    def _add(self, name: str, version: int, parts: Iterable[tuple[str, int]]) -> None:
        counts: Counter[str] = Counter()
        for text, weight in parts:
            for word in words_of(text):
                counts[word] += weight
        self._texts[name] = _Text(version, counts, counts.total())
        for word in counts:
            self._holders.setdefault(word, set()).add(name)

    def _drop(self, name: str) -> None:
        text = self._texts.pop(name, None)
        for word in () if text is None else text.counts:
            self._holders[word].discard(name)
            if not self._holders[word]:
                del self._holders[word]

    def find(self, query: str) -> list[tuple[str, float]]:
        """The texts that have a word of the query, with their scores, the best first; equals by name."""
        scores: dict[str, float] = {}
        usual = sum(text.length for text in self._texts.values()) / max(len(self._texts), 1)
        for asked in dict.fromkeys(words_of(query)):
            best: dict[str, float] = {}
            for word, weight in self._meant(asked):
                for name, score in self._scores(word, usual):
                    best[name] = max(best.get(name, 0.0), score * weight)
            for name, score in best.items():
                scores[name] = scores.get(name, 0.0) + score
        return sorted(scores.items(), key=lambda found: (-found[1], found[0]))

    def _meant(self, asked: str) -> Iterable[tuple[str, float]]:
        if asked in self._holders:
            yield asked, 1.0
        if len(asked) >= _PREFIX_CHARS:
            for word in self._holders:
                if word != asked and word.startswith(asked):
                    yield word, _PREFIX_WEIGHT

    def _scores(self, word: str, usual: float) -> Iterable[tuple[str, float]]:
        holders = self._holders[word]
        rarity = math.log(1 + (len(self._texts) - len(holders) + 0.5) / (len(holders) + 0.5))
        for name in holders:
            text = self._texts[name]
            count = text.counts[word]
            yield name, rarity * count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * text.length / usual))
