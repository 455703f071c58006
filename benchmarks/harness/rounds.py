"""Lets the contenders of a case take turns: A B C, A B C, …

A machine drifts: clocks change, neighbours wake up, disks flush. Taking turns spreads that over all contenders alike,
which keeps the ratios honest even where the times are not.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from harness.case import Aim, Case, Contender
from harness.program import Program, ProgramFailed, started


@dataclass
class Outcome:
    """What one contender measured: the median of each round it played, and why it stopped early if it did."""

    contender: Contender
    rounds: list[float] = field(default_factory=list[float])
    error: str | None = None

    @property
    def median(self) -> float | None:
        """The median of the rounds; a contender that failed has none, however far it came."""
        return statistics.median(self.rounds) if self.rounds and self.error is None else None


@dataclass(frozen=True)
class Verdict:
    """An aim and whether it is met; `None` when a contender it needs has no number."""

    aim: Aim
    is_met: bool | None


@dataclass(frozen=True)
class CaseResult:
    case: Case
    outcomes: tuple[Outcome, ...]

    def median(self, name: str) -> float | None:
        return next((outcome.median for outcome in self.outcomes if outcome.contender.name == name), None)

    def verdicts(self) -> list[Verdict]:
        return [Verdict(aim, self._is_met(aim)) for aim in self.case.aims]

    def _is_met(self, aim: Aim) -> bool | None:
        judged = self.median(aim.of)
        reference = self.median(aim.against) if aim.against else 1.0
        if judged is None or reference is None:
            return None
        return aim.is_met(judged, reference, self.case.unit)


@dataclass(frozen=True)
class Setting:
    """How programs are run.

    Attributes:
        python: Interpreter of the project's environment.
        peer_python: Interpreter of the peers' environment.
        scratch: Directory on the disk under test.
        environment: Added to that of every program.
        deadline_s: For set-up with warm-up, and for each round.
        progress: Told before each step, for a person who waits.
    """

    python: Path
    peer_python: Path
    scratch: Path
    environment: dict[str, str]
    deadline_s: float
    progress: Callable[[str], None]


async def run_case(case: Case, rounds: int, setting: Setting) -> CaseResult:
    """Play `rounds` rounds of every contender in turn; one that fails leaves the game and is kept with its error."""
    outcomes = [Outcome(contender) for contender in case.contenders]
    rounds = min(rounds, case.rounds or rounds)
    async with AsyncExitStack() as stack:
        playing: list[tuple[Outcome, Program]] = []
        for outcome in outcomes:
            contender = outcome.contender
            if not contender.program.exists():
                outcome.error = f"not written: {contender.program.parent.name}/{contender.program.name}"
                continue
            setting.progress(f"{case.name}: {contender.name} warms up")
            program = await stack.enter_async_context(
                started(
                    contender,
                    case,
                    python=setting.peer_python if contender.is_peer else setting.python,
                    scratch=setting.scratch,
                    environment=setting.environment,
                    deadline_s=setting.deadline_s,
                )
            )
            # One at a time: a program that warms up must not disturb one that measures, nor another that warms up.
            try:
                await program.ready()
            except ProgramFailed as failure:
                outcome.error = str(failure)
            else:
                playing.append((outcome, program))
        for number in range(1, rounds + 1):
            for outcome, program in playing:
                if outcome.error is not None:
                    continue
                setting.progress(f"{case.name}: round {number} of {rounds}, {outcome.contender.name}")
                try:
                    outcome.rounds.append(await program.play())
                except ProgramFailed as failure:
                    outcome.error = str(failure)
    return CaseResult(case, tuple(outcomes))
