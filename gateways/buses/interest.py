"""Who listens to a subject: patterns by NATS' rules, found without trying each of them.

The same answers as `subjects.matches`, in time that grows with the tokens of the subject, not with the number
of patterns.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import Generic, TypeVar

T = TypeVar("T")


class _Branch(Generic[T]):
    """What listens to the tokens so far (`here`), to everything behind them (`below`), and the next tokens."""

    __slots__ = ("below", "here", "next")

    def __init__(self) -> None:
        self.here: dict[int, T] = {}
        self.below: dict[int, T] = {}
        self.next: dict[str, _Branch[T]] = {}

    @property
    def bare(self) -> bool:
        return not (self.here or self.below or self.next)


class Interest(Generic[T]):
    """Values by the subject or pattern they are interested in."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[int, T]] = {}
        self._patterns: _Branch[T] = _Branch()
        self._added = 0

    def add(self, pattern: str, value: T) -> Callable[[], None]:
        """Register `value`; the result takes it out again, once."""
        self._added += 1
        number = self._added
        tokens = pattern.split(".")
        if "*" not in tokens and tokens[-1] != ">":
            self._exact.setdefault(pattern, {})[number] = value
        else:
            branch = self._patterns
            for token in tokens if tokens[-1] != ">" else tokens[:-1]:
                branch = branch.next.setdefault(token, _Branch())
            (branch.below if tokens[-1] == ">" else branch.here)[number] = value
        return lambda: self._remove(pattern, tokens, number)

    def find(self, subject: str) -> list[T]:
        """What is interested in `subject`, first come first."""
        found = list(self._exact.get(subject, {}).items())
        if not self._patterns.bare:
            branches = [self._patterns]
            for token in subject.split("."):
                for branch in branches:
                    found += branch.below.items()
                branches = [b.next[key] for b in branches for key in (token, "*") if key in b.next]
            for branch in branches:
                found += branch.here.items()
            found.sort(key=itemgetter(0))
        return [value for _, value in found]

    def _remove(self, pattern: str, tokens: list[str], number: int) -> None:
        exact = self._exact.get(pattern)
        if exact is not None and exact.pop(number, None) is not None:
            if not exact:
                del self._exact[pattern]
            return
        path = [self._patterns]
        for token in tokens if tokens[-1] != ">" else tokens[:-1]:
            if token not in path[-1].next:
                return
            path.append(path[-1].next[token])
        path[-1].here.pop(number, None)
        path[-1].below.pop(number, None)
        # Branches that lead nowhere would stay for every id that was ever listened to.
        for parent, token in reversed(list(zip(path, tokens, strict=False))):
            child = parent.next.get(token)
            if child is not None and child.bare:
                del parent.next[token]
