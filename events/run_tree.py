"""A run and all that it asked, as the journal has them: the streams that are forked together."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from .child_step import ChildRequested
from .envelope import Recorded
from .event import Event
from .fork_terms import ForkTerms
from .run import CLOSING_TAGS, RecordCopied, RunStarted
from .session import RunOpened
from .tool_step import ToolRequested


class Branch(Struct, frozen=True):
    """One run of a tree.

    Attributes:
        asked: What its parent recorded on asking it; None for the run on top, which nobody in the tree has asked.
        history: Its stream; empty when it never began.
        board: The stream of its blackboard.
    """

    run_id: str
    asked: ChildRequested | None
    parent_id: str
    history: Sequence[Recorded]
    board: Sequence[Recorded] = ()

    @property
    def started(self) -> RunStarted | None:
        first = self.history[0].event if self.history else None
        return first if isinstance(first, RunStarted) else None

    @property
    def moments(self) -> list[int]:
        """When each event of the run was there: what it shares with another run, when that one had it."""
        return [self._moment(recorded) for recorded in self.history]

    @property
    def posted(self) -> list[int]:
        """When each entry of its board was there."""
        shared = self._terms.posted[: len(self.board)]  # it may have been erased
        return [*shared, *(recorded.position for recorded in self.board[len(shared) :])]

    @property
    def _terms(self) -> ForkTerms:
        return (self.started.fork if self.started is not None else None) or ForkTerms(tree="")

    def _moment(self, recorded: Recorded) -> int:
        first = 0
        match recorded.event:
            case RecordCopied(position=position):
                first = position
            case RunStarted():
                first = self._terms.began
            case _ if recorded.type in CLOSING_TAGS:
                first = self._terms.ended
            case _:
                pass
        return first or recorded.position

    @property
    def closed(self) -> bool:
        return bool(self.history) and self.history[-1].type in CLOSING_TAGS

    @property
    def in_session(self) -> bool:
        """Whether it goes on with a conversation. A run by itself has its own id for a session's."""
        return bool(self.history) and self.history[0].session_id != self.run_id


class RunTree(Struct, frozen=True):
    """A run and all that it asked.

    Attributes:
        root: The run on top.
        branches: All runs by their ids, each after the one that asked it.
        sessions: The streams of the conversations that the asked ones went on with.
    """

    root: str
    branches: Mapping[str, Branch]
    sessions: Mapping[str, Sequence[Recorded]] = {}

    def children(self) -> dict[str, str]:
        """The runs that were asked, by the calls that asked them."""
        return {branch.asked.call_id: run_id for run_id, branch in self.branches.items() if branch.asked is not None}

    def calls(self) -> set[str]:
        """All calls of tools and questions in the tree."""
        return {
            record.call_id
            for branch in self.branches.values()
            for record in records_of(branch.history)
            if isinstance(record, ToolRequested | ChildRequested)
        }


def record_of(recorded: Recorded) -> Event:
    """What an event of a run says; of one that is shared, what it says there."""
    event = recorded.event
    return event.record if isinstance(event, RecordCopied) else event


def records_of(history: Sequence[Recorded]) -> Iterator[Event]:
    return map(record_of, history)


def questions_of(history: Sequence[Recorded]) -> list[ChildRequested]:
    """Whom a run asked, in this order."""
    return [record for record in records_of(history) if isinstance(record, ChildRequested)]


def opened_in(session: Sequence[Recorded]) -> list[RunOpened]:
    """The runs of a conversation, in this order."""
    return [recorded.event for recorded in session if isinstance(recorded.event, RunOpened)]
