"""What came of killing: how many died and where, what they did in spite of it, and what broke."""

from collections import Counter

from msgspec import Struct, field


class Tally(Struct):
    """What happened to one program, or to all of them.

    Attributes:
        deaths: By where they fell: an append, an effect, the answer, or any moment.
        attempts: Effects of plain tools that were there before, each visible as an attempt above 1.
    """

    victims: int = 0
    deaths: Counter[str] = field(default_factory=Counter[str])
    effects: int = 0
    attempts: int = 0
    broken: list[str] = field(default_factory=list[str])

    def add(self, other: "Tally") -> None:
        self.victims += other.victims
        self.deaths += other.deaths
        self.effects += other.effects
        self.attempts += other.attempts
        self.broken += other.broken


def fell(place: str) -> str:
    """Where a death at this place fell."""
    return " ".join(place.split()[:2]) if place.startswith(("before", "after")) else place
