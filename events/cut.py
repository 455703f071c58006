"""A consistent cut through a run and all that it asked: what of each stream lies before one moment.

The journal has one order for all streams, and an event is appended after what it follows from. So the events up to a
position are closed under causes, as a crash at that moment would leave them. Of these a cut leaves out what was going
on, an intent without its outcome: nobody can have learned anything from it. What such a call had sent before, an entry
on a board, say, is not sent then; whoever had received it is moved back to before that, and so on until nobody has
received what nobody sent. Each round takes away and never adds, so there is an end; see docs/decisions/0024.

Source: K. M. Chandy, L. Lamport, "Distributed Snapshots", 1985; moving back to a fixpoint, and the domino effect: B.
Randell, "System Structure for Software Fault Tolerance", 1975.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from .blackboard import Posted
from .child_step import ChildEnded, ChildRequested
from .envelope import Recorded
from .event import Event
from .model_step import ModelAttemptFailed, ModelCompleted, ModelFailed, ModelFellBack, ModelRequested
from .run import CLOSING_TAGS, ValueRecorded
from .run_tree import RunTree, opened_in, record_of
from .tool_step import ApprovalDecided, ApprovalRequested, ToolCompleted, ToolFailed, ToolOutcomeUnknown, ToolRequested

BOARD_READ = "blackboard.read"
"""The name of the value that a strategy records when it has read its board (`actors/strategies/board.py`)."""

_INTENTS = ModelRequested | ToolRequested | ApprovalRequested
_OUTCOMES = ModelCompleted | ModelFailed | ToolCompleted | ToolFailed | ToolOutcomeUnknown
_OF_CALLS = _INTENTS | _OUTCOMES | ModelAttemptFailed | ModelFellBack | ApprovalDecided


class Cut(Struct, frozen=True):
    """What of each stream lies before the cut.

    Attributes:
        lines: How many events of each run lie before it; 0 for a run that had not begun.
        runs: Of these, those that the cut has, by run: without what was going on.
        boards: The entries that the cut has, by run.
    """

    position: int
    lines: Mapping[str, int]
    runs: Mapping[str, Sequence[Recorded]]
    boards: Mapping[str, Sequence[Recorded]]

    def has(self, run_id: str) -> bool:
        """Whether the run had begun."""
        return bool(self.lines.get(run_id))

    def ended(self, run_id: str) -> bool:
        """Whether the run had ended."""
        kept = self.runs.get(run_id, ())
        return bool(kept) and kept[-1].type in CLOSING_TAGS


def cut(tree: RunTree, position: int) -> Cut:
    """The latest consistent cut of `tree` that has nothing above `position`."""
    return _Cutting(tree, position).cut()


def begun_calls(records: Sequence[Event]) -> dict[str, bool]:
    """The calls of models and tools by their ids, and whether they have their outcome."""
    calls: dict[str, bool] = {}
    for record in records:
        if isinstance(record, _INTENTS):
            calls[record.call_id] = False
        elif isinstance(record, _OUTCOMES):
            calls[record.call_id] = True
    return calls


class _Cutting:
    """The search for one cut."""

    def __init__(self, tree: RunTree, position: int) -> None:
        self._tree = tree
        self._position = position
        self._calls = tree.calls()
        self._children = tree.children()

    def cut(self) -> Cut:
        lines = {
            run_id: sum(moment <= self._position for moment in branch.moments)
            for run_id, branch in self._tree.branches.items()
        }
        while True:
            found = self._cut_at(lines)
            moved = self._moved_back(found)
            if not moved:
                return found
            lines |= moved

    def _cut_at(self, lines: Mapping[str, int]) -> Cut:
        branches = self._tree.branches.items()
        runs = {run_id: _without_open_calls(branch.history[: lines[run_id]]) for run_id, branch in branches}
        done = {
            record.call_id
            for kept in runs.values()
            for record in map(record_of, kept)
            if isinstance(record, ChildEnded | _OUTCOMES)
        }
        # What the tree's calls posted was posted if the cut has the call; what others posted, if it was there.
        unsent = self._calls - done
        boards = {
            run_id: [
                recorded
                for recorded, moment in zip(branch.board, branch.posted, strict=True)
                if moment <= self._position and entry_id_of(recorded) not in unsent
            ]
            for run_id, branch in branches
        }
        return Cut(self._position, dict(lines), runs, boards)

    def _moved_back(self, found: Cut) -> dict[str, int]:
        """The runs that have received what the cut does not send, and where they have to be cut instead."""
        asked = {
            record.run_id
            for kept in found.runs.values()
            for record in map(record_of, kept)
            if isinstance(record, ChildRequested)
        }
        moved: dict[str, int] = {}
        for run_id in self._tree.branches:
            if found.has(run_id) and run_id != self._tree.root and run_id not in asked:
                moved[run_id] = 0
                continue
            entries = set(map(entry_id_of, found.boards[run_id]))
            for recorded in found.runs[run_id]:
                if not self._was_sent(record_of(recorded), found, entries):
                    moved[run_id] = recorded.version - 1
                    break
        for session in self._tree.sessions.values():
            moved |= dict.fromkeys(self._too_early(session, found), 0)
        return moved

    def _was_sent(self, record: Event, found: Cut, entries: set[str]) -> bool:
        """Whether the cut has what this record received, if it received anything from within the tree."""
        match record:
            case ChildEnded():
                child = self._tree.branches.get(self._children.get(record.call_id, ""))
                return child is None or not child.closed or found.ended(child.run_id)
            case ValueRecorded(name=name, value=value) if name == BOARD_READ:
                read = {entry["entry_id"] for entry in value}
                return (read & self._calls) <= entries
            case _:
                return True

    def _too_early(self, session: Sequence[Recorded], found: Cut) -> list[str]:
        """The runs of a conversation that know an answer before them which the cut does not have."""
        early: list[str] = []
        ended = True
        for opened in opened_in(session):
            if opened.run_id not in self._tree.branches:
                continue
            if not ended and found.has(opened.run_id):
                early.append(opened.run_id)
            ended = ended and found.ended(opened.run_id)
        return early


def entry_id_of(recorded: Recorded) -> str:
    """The id of an entry of a board."""
    return recorded.event.entry_id if isinstance(recorded.event, Posted) else ""


def _without_open_calls(history: Sequence[Recorded]) -> list[Recorded]:
    records = [record_of(recorded) for recorded in history]
    calls = begun_calls(records)
    return [
        recorded
        for recorded, record in zip(history, records, strict=True)
        if not isinstance(record, _OF_CALLS) or calls[record.call_id]
    ]
