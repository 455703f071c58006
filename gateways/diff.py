"""Two runs side by side: what they share, where they first differ, what each did, and what came of them.

Steps are paired by their names, which are places in the strategy, and the runs that they asked by the calls that asked.
So a fork is compared with the run that it was forked from, and any two runs of one agent with each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from ..actors.result import result_of
from ..actors.tool import as_text
from ..events.child_step import ChildEnded, ChildRequested
from ..events.envelope import Recorded
from ..events.event import Event
from ..events.journal import Journal
from ..events.message import Usage
from ..events.model_step import ModelCompleted, ModelFailed, ModelRequested
from ..events.run import RecordCopied, Run, RunState, ValueRecorded, evolve
from ..events.run_tree import RunTree, questions_of, record_of
from ..events.tool_step import ApprovalRequested, ToolCompleted, ToolFailed, ToolOutcomeUnknown, ToolRequested
from .run_trees import tree_of

Mark = Literal["shared", "same", "other", "first", "second"]


class Outcome(Struct, frozen=True):
    """What a run came to, with what it asked. Tokens and cost are what was spent in it: shared steps cost nothing."""

    run_id: str
    agent: str
    model: str
    state: RunState
    output: str
    why: str
    turns: int
    tokens: int
    cost_usd: float
    duration_s: float


class StepPair(Struct, frozen=True):
    """One step of the two runs.

    Attributes:
        name: Its place in the strategy; a call's with its slot.
        mark: `shared` when the second run has it from the first, or both from a third; `same` when both did the same;
            `other` when not; `first` and `second` when only that one has it.
        first, second: What it came to, in a line.
        children: The runs that were asked there, side by side.
    """

    name: str
    what: str
    mark: Mark
    first: str = ""
    second: str = ""
    children: "RunDiff | None" = None

    @property
    def differs(self) -> bool:
        """Whether the runs differ here, or in what they asked here."""
        within = self.children is not None and self.children.first_difference is not None
        return self.mark in ("other", "first", "second") or within


class RunDiff(Struct, frozen=True):
    """Two runs side by side. Its text is for reading.

    Attributes:
        shared_versions: Up to which version of the other run each has its beginning from there; 0 for none.
        shared_records: How many records they share, with those of the runs that they asked.
        saved: What the answers cost that the second run has from elsewhere, and did not pay for.
    """

    first: Outcome
    second: Outcome
    shared_versions: int
    shared_records: int
    saved: Usage
    steps: tuple[StepPair, ...]

    @property
    def first_difference(self) -> StepPair | None:
        """The first step that the runs do not have in common; None when they did the same."""
        return next((step for step in self.steps if step.differs), None)

    def __str__(self) -> str:
        from .diff_text import text_of_diff

        return text_of_diff(self)


async def diff(journal: Journal, first: str, second: str) -> RunDiff:
    """Two runs of one journal side by side, with all that they asked.

    Raises:
        NotFound: One of them is not there.
    """
    return _diff(await tree_of(journal, first), first, await tree_of(journal, second), second)


def _diff(one: RunTree, first: str, two: RunTree, second: str) -> RunDiff:
    ours, theirs = _Told(one, first), _Told(two, second)
    steps = tuple(_pair(name, ours, theirs) for name in _merged(list(ours.steps), list(theirs.steps)))
    children = [step.children for step in steps if step.children is not None]
    return RunDiff(
        first=ours.outcome(),
        second=theirs.outcome(),
        shared_versions=theirs.forked_at if theirs.shares_with(ours) else 0,
        shared_records=len(theirs.shared) + sum(each.shared_records for each in children),
        saved=sum((each.saved for each in children), theirs.saved),
        steps=steps,
    )


class _Step(Struct):
    """A step as one run has it."""

    what: str
    text: str = ""
    run_id: str = ""
    shared: bool = False


class _Told:
    """What one run tells of itself."""

    def __init__(self, tree: RunTree, run_id: str) -> None:
        self.tree = tree
        self.run_id = run_id
        self.history: Sequence[Recorded] = tree.branches[run_id].history
        self.started = tree.branches[run_id].started
        self.steps: dict[str, _Step] = {}
        self.shared = [recorded for recorded in self.history if isinstance(recorded.event, RecordCopied)]
        for recorded in self.history:
            self._tell(record_of(recorded), isinstance(recorded.event, RecordCopied))

    @property
    def forked_at(self) -> int:
        return self.started.forked_at if self.started is not None else 0

    def shares_with(self, other: "_Told") -> bool:
        """Whether its beginning is the other run's, or both have theirs from a third."""
        mine = self.started.forked_from if self.started is not None else ""
        others = other.started.forked_from if other.started is not None else ""
        return bool(mine) and mine in (other.run_id, others)

    @property
    def saved(self) -> Usage:
        answers = [record_of(recorded) for recorded in self.shared]
        return sum((each.reply.usage for each in answers if isinstance(each, ModelCompleted)), Usage())

    def outcome(self) -> Outcome:
        started = self.started
        state = Run()
        for recorded in self.history:
            evolve(state, recorded.event)
        if started is None or not self.history:
            return Outcome(self.run_id, "", "", RunState.QUEUED, "", "it has not begun", 0, 0, 0.0, 0.0)
        first, last = self.history[0], self.history[-1]
        result = result_of(
            state, run_id=self.run_id, session_id="", user_id="", started_at=first.at, last_at=last.at
        )
        return Outcome(
            run_id=self.run_id,
            agent=started.agent,
            model=started.model,
            state=result.state,
            output=result.output,
            why=result.why,
            turns=result.turns,
            tokens=result.total_tokens,
            cost_usd=result.cost_usd,
            duration_s=_seconds(first.at, last.at),
        )

    def _tell(self, record: Event, shared: bool) -> None:
        match record:
            case ModelRequested():
                self._step(record.step, "model call", shared)
            case ModelCompleted(reply=reply):
                asked = [f"{call.tool}({as_text(call.args)})" for call in reply.tool_calls]
                self._step(record.step, "model call", shared).text = " ".join([reply.text, *asked]).strip()
            case ModelFailed(error=error):
                self._step(record.step, "model call", shared).text = f"failed: {error}"
            case ToolRequested() | ApprovalRequested():
                self._step(self._place(record.call_id), record.tool, shared).text = as_text(record.args)
            case ToolCompleted(output=output):
                self._ended(record.call_id, as_text(output))
            case ToolFailed(error=error):
                self._ended(record.call_id, f"failed: {error}")
            case ToolOutcomeUnknown(reason=reason):
                self._ended(record.call_id, f"unknown: {reason}")
            case ChildRequested():
                step = self._step(f"{self._place(record.call_id)} {record.role}", f"asks {record.role}", shared)
                step.run_id = record.run_id
            case ChildEnded():
                asked_for = {each.call_id: each.role for each in questions_of(self.history)}
                step = self.steps[f"{self._place(record.call_id)} {asked_for[record.call_id]}"]
                step.text = f"{record.state}: {record.output or record.error}"
            case ValueRecorded():
                self._step(record.step, record.name, shared).text = as_text(_without_ids(record.value, self.run_id))
            case _:
                pass

    def _step(self, name: str, what: str, shared: bool) -> _Step:
        return self.steps.setdefault(name, _Step(what, shared=shared))

    def _ended(self, call_id: str, text: str) -> None:
        step = self.steps[self._place(call_id)]
        step.text = f"{step.text} → {text}"

    def _place(self, call_id: str) -> str:
        return call_id.removeprefix(f"{self.run_id}_")


def _pair(name: str, ours: _Told, theirs: _Told) -> StepPair:
    one, two = ours.steps.get(name), theirs.steps.get(name)
    if one is None or two is None:
        only = one or two
        assert only is not None
        return StepPair(name, only.what, "first" if two is None else "second", one.text if one else "", only.text)
    shared = two.shared and theirs.shares_with(ours)
    same = (one.what, one.text) == (two.what, two.text)
    children = None
    if one.run_id in ours.tree.branches and two.run_id in theirs.tree.branches:
        children = _diff(ours.tree, one.run_id, theirs.tree, two.run_id)
    mark: Mark = "other" if not same else "shared" if shared else "same"
    return StepPair(name, two.what, mark, one.text, two.text, children)


def _merged(ours: Sequence[str], theirs: Sequence[str]) -> Iterator[str]:
    """All names: in the order of the first run; what only the second has stands behind what was before it there."""
    known, after = set(ours), dict[str, list[str]]()
    last = ""
    for name in theirs:
        if name in known:
            last = name
        else:
            after.setdefault(last, []).append(name)
    yield from after.get("", ())
    for name in ours:
        yield name
        yield from after.get(name, ())


def _without_ids(value: Any, run_id: str) -> Any:
    """A recorded value without the ids of its own run, which two runs never have in common."""
    match value:
        case str():
            return value.removeprefix(f"{run_id}_")
        case list():
            items: list[Any] = value
            return [_without_ids(each, run_id) for each in items]
        case dict():
            entries: Mapping[Any, Any] = value
            return {key: _without_ids(each, run_id) for key, each in entries.items()}
        case _:
            return value


def _seconds(begun: datetime, ended: datetime) -> float:
    return round((ended - begun).total_seconds(), 3)
