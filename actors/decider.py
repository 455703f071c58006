"""Whoever decides in the place of a model: rules, a classifier of one's own, a person's table. Asked by architectures.

What it decides is recorded, so it is asked once, and a run that is resumed goes on with what it said then.
"""

from collections.abc import Awaitable, Mapping
from typing import Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from ..events.errors import ConfigError


class Choice(Struct, frozen=True):
    """Which one of several?

    Attributes:
        about: What it is about: the prompt of the run.
        options: What there is to choose from, by name, with a description each.
    """

    question: str
    about: str
    options: Mapping[str, str]


class Score(Struct, frozen=True):
    """How much so, from 0 (not at all) to 1 (fully)?"""

    question: str
    about: str


Question: TypeAlias = Choice | Score


class Decision(Struct, frozen=True):
    """An answer.

    Attributes:
        answer: The name of an option, or a score.
        confidence: How sure it is, from 0 to 1.
    """

    answer: str | float
    confidence: float = 1.0


@runtime_checkable
class Decider(Protocol):
    """Answers questions that a program would otherwise put to a model."""

    def decide(self, question: Question) -> Decision | Awaitable[Decision]:
        """The answer: the same for the same question, or at least no worse the second time."""
        ...


def score_of(given: object) -> float:
    """A score that a decider, or a function in its place, has given.

    Raises:
        ConfigError: It is no number from 0 to 1.
    """
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise ConfigError(f"a decider gave {given!r} for a score; scores are numbers from 0 to 1")
    return float(given)
