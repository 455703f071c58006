"""Gates: what an answer has to pass before it is the run's. They stand around any architecture, and go by its words
alone.

After each pass of the architecture every gate is asked, in order. The first that objects says what is missing; that is
the next turn of the user, the conversation goes on, and the architecture makes another pass. An answer counts when no
gate objects to it. A gate that gives up ends the run as interrupted, so an answer that did not pass is never
reported as one that did.

Whatever a gate decides by is a recorded step: a replay decides the same, and asks nobody again.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..events.message import Message
from .answer import leading_to
from .model_charges import Interrupted
from .steps import Steps
from .strategies.architecture import Architecture, answer_by

NOTHING = "(nothing)"
"""Stands for an answer without words, which providers refuse."""


class NotPassed(Interrupted):
    """A gate gave up on the run. The reason is its own."""


class Pass(NamedTuple):
    """What came of one pass of the architecture.

    Attributes:
        steps: The part of the run that it was.
    """

    answer: str
    steps: Steps

    @property
    def conversation(self) -> list[Message]:
        """What was said until its answer, which is the last of it; without the instructions."""
        said = leading_to(self.answer, self.steps)
        if not said[-1].content.strip() and not said[-1].tool_calls:
            said[-1] = Message("assistant", NOTHING)
        return said[1:] if said[0].role == "system" else said


class Degraded(NamedTuple):
    """The answer may go out, and is not what it should be; the run says why."""

    why: str


class Passed(NamedTuple):
    """What came through all gates.

    Attributes:
        degraded: Why it is not what it should be, if the strategy or a gate says so.
    """

    answer: str
    degraded: str = ""


class Judge(Protocol):
    """A gate in one run, with what it remembers of it."""

    async def objection(self, passed: Pass, steps: Steps) -> str | Degraded | None:
        """What the model is told, as a turn of the user; None: the answer may pass.

        Args:
            steps: Where it records what it decides by: a part of the run, and not of the pass.
        Raises:
            Interrupted: It gives up.
        """
        ...


class Gate(Protocol):
    """What answers have to pass."""

    @property
    def prefix(self) -> str:
        """Stands before the reason of a run that a limit ends; empty for most."""
        ...

    def judge(self) -> Judge:
        """The gate for one run."""
        ...


async def passing(architecture: Architecture, gates: Sequence[Gate], steps: Steps) -> Passed:
    """The first answer of `architecture` that no gate of `gates` objects to.

    Raises:
        Interrupted: A gate gave up, or a limit was reached; its output is the last answer that there was.
    """
    judges = [gate.judge() for gate in gates]
    prefix = "".join(gate.prefix for gate in gates)
    answer: str | None = None
    part = steps
    try:
        while True:
            answer = await answer_by(architecture, part)
            steps.last = part.last  # where a correction of the answer goes on
            passed = Pass(answer, part)
            told = await _told(judges, passed, steps)
            if isinstance(told, Passed):
                return told
            part = steps.part(prompt=told, conversation=passed.conversation)
    except Interrupted as exc:
        reason = exc.reason if isinstance(exc, NotPassed) else f"{prefix}{exc.reason}"
        raise with_answer(exc, answer, reason) from exc


def with_answer(interrupted: Interrupted, answer: str | None, reason: str = "") -> Interrupted:
    """The same with an answer for its output, if it has none: the model's last words may be what it said of it."""
    output = answer if interrupted.output is None else interrupted.output
    return Interrupted(reason or interrupted.reason, str(interrupted), output)


async def _told(judges: Sequence[Judge], passed: Pass, steps: Steps) -> str | Passed:
    """What the model is told next; or what came through."""
    shortfall = passed.steps.shortfall
    degraded = [shortfall] if shortfall else []
    for judge in judges:
        said = await judge.objection(passed, steps.part())
        if isinstance(said, Degraded):
            degraded.append(said.why)
        elif said is not None:
            return said
    return Passed(passed.answer, "; ".join(degraded))
