"""What the models of the architectures' cases say, the same to every contender; standard library only, as all share it.

A run asks its models for exactly these replies, in this order. Where calls go on beside one another their replies are
the same, so it does not matter who comes first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

TASK = "How do the tides work?"
ANSWER = "The moon moves the sea."


@dataclass(frozen=True)
class Call:
    """A tool call that a model asks for."""

    tool: str
    args: dict[str, Any]


@dataclass(frozen=True)
class Said:
    """One reply of a model."""

    text: str = ""
    calls: tuple[Call, ...] = field(default=())


def _said(*texts: str) -> tuple[Said, ...]:
    return tuple(Said(text) for text in texts)


_LOOK = Call("stock", {"item": "bolts"})
_PLAN = '[{"id": "E1", "tool": "stock", "args": {"item": "a"}}, {"id": "E2", "tool": "stock", "args": {"item": "b"}}]'
_NEXT = '{"terminate": false, "next_agent": "a", "instruction": "Go on."}'

SCRIPTS: dict[str, tuple[Said, ...]] = {
    "react": (Said(calls=(_LOOK,)), Said(ANSWER)),
    "self_refine": _said("The sea moves.", "- Say why.", ANSWER, "no issues"),
    "reflexion": _said("The sea moves.", "score: 0.2", "Say why.", ANSWER, "score: 0.9"),
    "tree_of_thoughts": _said("1. The moon.\n2. The sun.", "score: 0.5", "score: 0.5", ANSWER),
    "plan_and_execute": _said(
        '["Find the cause.", "Name it.", "Say it."]', "The moon.", "The moon.", "The moon.", ANSWER
    ),
    "rewoo": (Said(_PLAN), Said(ANSWER)),
    "router": _said("route: a\nconfidence: 0.9", ANSWER),
    "supervisor": (
        Said(calls=tuple(Call("delegate", {"worker": each, "instructions": "Go."}) for each in ("a", "b"))),
        *_said("The moon.", "The moon.", ANSWER),
    ),
    "swarm": (Said(calls=(Call("handoff", {"target": "b", "message": "Go on."}),)), Said(ANSWER)),
    "actor_critic": _said(
        "The sea moves.", '{"score": 0.3, "issues": ["Say why."]}', ANSWER, '{"score": 0.95, "issues": []}'
    ),
    "debate": _said(*[f"Final answer: {ANSWER}"] * 4, ANSWER),
    "blackboard": _said(_NEXT, "The moon.", '{"terminate": true}', ANSWER),
}
"""By architecture. Those of several agents share one model, whose replies go round."""

DEBATERS, DEBATE_ROUNDS = 2, 1


class Script:
    """The replies of one architecture, over and over."""

    def __init__(self, architecture: str) -> None:
        self._replies = SCRIPTS[architecture]
        self._next = cycle(self._replies)
        self._asked = 0

    def __len__(self) -> int:
        """How many a run takes."""
        return len(self._replies)

    def next(self) -> Said:
        self._asked += 1
        return next(self._next)

    def check(self, answer: str) -> None:
        """After a run: that it gave the answer, and asked for as many replies as it is to."""
        if answer != ANSWER or self._asked != len(self._replies):
            raise AssertionError(f"not the run that is measured: {self._asked} model calls led to {answer!r}")
        self._asked = 0
