"""What a fork takes over of a run and of all that it asked: the streams of the fork's tree, made of a cut.

A run of the fork has the id of the one whose beginning it shares, with the fork's id in the place of that of the run on
top. So the fork finds its children where any run does: by the call that asks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw, Struct, structs

from .blackboard import Posted, blackboard_stream
from .child_step import ChildRequested
from .cut import BOARD_READ, Cut
from .envelope import Recorded, StreamName, encode_event
from .event import Event, UnknownEvent
from .fork_terms import ForkTerms
from .message import Usage
from .model_step import ModelAttemptFailed, ModelCompleted, ModelFailed, ModelRequested
from .run import CLOSING_TAGS, Closing, RecordCopied, RunSuspended, ValueRecorded, run_stream
from .run_tree import Branch, RunTree
from .session import RunEnded, RunOpened, session_key, session_stream

NOT_COPIED = frozenset({"run.started", "run.taken_over", "run.suspended", "run.child_waits"}) | CLOSING_TAGS
"""Who worked on the run, what approvals those below it waited for and how it ended is the other run's own."""

_WAITS = "it was forked, and goes on when the run that asked for it does"


class Copy(Struct, frozen=True):
    """One stream of a fork.

    Attributes:
        run_id, session_id: Whose it is; of a blackboard and a session, the run's on top.
        call_id: The call that asked for the run; empty for other streams.
    """

    stream: StreamName
    events: Sequence[Event]
    user_id: str
    session_id: str
    run_id: str = ""
    call_id: str = ""


class Copying:
    """The streams of one fork.

    Args:
        terms: Those of the fork on top.
        owner: Who begins it.
    """

    def __init__(self, tree: RunTree, cut: Cut, terms: ForkTerms, owner: str) -> None:
        self._tree = tree
        self._cut = cut
        self._terms = terms
        self._owner = owner
        self._names = names_in(tree, terms.tree)
        before = tree.branches[tree.root].started
        self._was_in = before.fork.tree if before is not None and before.fork is not None else ""
        self._depth = before.depth if before is not None else 0

    def records(self, run_id: str, model: str) -> list[RecordCopied]:
        """The records of a run that the cut has, as they stand in its fork, which `model` goes on with."""
        started = self._tree.branches[run_id].started
        own = started.model if started is not None else ""
        moments = self._tree.branches[run_id].moments
        return copied(run_id, self._names, "" if own == model else own, self._cut.runs[run_id], moments)

    def terms(self, run_id: str, terms: ForkTerms) -> ForkTerms:
        """The terms of a run that shares the beginning of `run_id`: what it has from there, and since when."""
        branch = self._tree.branches[run_id]
        kept = {recorded.version for recorded in self._cut.boards[run_id]}
        posted = zip(branch.board, branch.posted, strict=True)
        return structs.replace(
            terms_of(branch, terms),
            began=branch.moments[0],
            posted=tuple(moment for recorded, moment in posted if recorded.version in kept),
        )

    def rest(self) -> list[Copy]:
        """All streams of the fork but that of the run on top."""
        runs = [branch for branch in self._tree.branches.values() if self._cut.has(branch.run_id)]
        asked = [self._run(branch) for branch in runs if branch.run_id != self._tree.root]
        boards = [self._board(branch) for branch in runs if self._cut.boards[branch.run_id]]
        sessions = [self._session(stream, events) for stream, events in self._tree.sessions.items()]
        return [*asked, *boards, *(copy for copy in sessions if copy.events)]

    # --- the runs that were asked ---

    def _run(self, branch: Branch) -> Copy:
        run_id, started, asked = branch.run_id, branch.started, branch.asked
        assert started is not None and asked is not None
        session_id = self.conversation(branch.history[0].session_id) if branch.in_session else self._names[run_id]
        model = self._terms.models.get(asked.role, "")
        call_id = _called(asked.call_id, branch.parent_id, self._names)
        begun = structs.replace(
            started,
            owner=self._owner,
            model=model or started.model,
            parent_run_id=self._names[branch.parent_id],
            parent_call_id=call_id,
            depth=started.depth - self._depth,
            forked_from=run_id,
            forked_at=self._cut.lines[run_id],
            forked_to=model or started.forked_to,
            previous_run_id=self._names.get(started.previous_run_id, started.previous_run_id),
        )
        last = self._cut.runs[run_id][-1].event
        end: Event = RunSuspended(reason=_WAITS)
        terms = self.terms(run_id, self._terms.inherited)
        if self._cut.ended(run_id) and isinstance(last, Closing):
            end = structs.replace(last, usage=Usage())  # what it used is the other run's
            terms = structs.replace(terms, ended=branch.moments[-1])
        begun = structs.replace(begun, fork=terms)
        events = [begun, *self.records(run_id, begun.model), end]
        user_id = branch.history[0].user_id
        return Copy(run_stream(self._names[run_id]), events, user_id, session_id, self._names[run_id], call_id)

    def conversation(self, session_id: str) -> str:
        """The fork's own conversation for one of the tree that it was forked from."""
        return self._terms.conversation(session_id.removesuffix(f"~{self._was_in}"))

    # --- what they share ---

    def _board(self, branch: Branch) -> Copy:
        first, name = self._cut.boards[branch.run_id][0], self._names[branch.run_id]
        entries: list[Event] = []
        for recorded in self._cut.boards[branch.run_id]:
            entry = recorded.event
            if isinstance(entry, Posted):
                entry = structs.replace(entry, entry_id=_called(entry.entry_id, branch.run_id, self._names))
            entries.append(entry)
        return Copy(blackboard_stream(name), entries, first.user_id, name, name)

    def _session(self, stream: str, events: Sequence[Recorded]) -> Copy:
        """A conversation as it was at the cut: of runs that were open then, those of the tree."""
        user_id, agent, session_id = session_key(stream)
        branches, taken = self._tree.branches, list[Event]()
        ended = {end.run_id for recorded in events if (end := self._end_in(recorded)) is not None}
        for recorded in events:
            event = recorded.event
            if isinstance(event, RunOpened):
                has = self._cut.has(event.run_id) if event.run_id in branches else event.run_id in ended
                if has:
                    run_id = self._names.get(event.run_id, event.run_id)
                    taken.append(structs.replace(event, run_id=run_id, signal_id=""))
            elif isinstance(event, RunEnded) and event.run_id in ended:
                own_id = self._names.get(event.run_id, event.run_id)
                taken.append(structs.replace(event, run_id=own_id, position=event.position or recorded.position))
        own = self.conversation(session_id)
        return Copy(session_stream(user_id, agent, own), taken, user_id, own)

    def _end_in(self, recorded: Recorded) -> RunEnded | None:
        """The end of a run of a conversation, if the cut has it."""
        event = recorded.event
        if not isinstance(event, RunEnded):
            return None
        own = event.run_id in self._tree.branches
        has = self._cut.ended(event.run_id) if own else (event.position or recorded.position) <= self._cut.position
        return event if has else None


def copied(
    run_id: str, names: Mapping[str, str], model: str, history: Sequence[Recorded], moments: Sequence[int] = ()
) -> list[RecordCopied]:
    """The records of `history`, of run `run_id`, as they stand in its fork.

    Args:
        names: The ids of the fork's runs, by those whose beginnings they share.
        model: Who gave the answers that do not say it; empty for the fork's own model.
        moments: When each event of the run was there, by its version; none when that was in another journal.
    """
    copies: list[RecordCopied] = []
    for recorded in history:
        source = recorded.event if isinstance(recorded.event, RecordCopied) else recorded
        event = source.record if isinstance(source, RecordCopied) else source.event
        if source.type in NOT_COPIED:
            continue
        # It is written as today's Treadle writes it, whatever it was lifted from.
        schema = source.schema if isinstance(event, UnknownEvent) else event.event_schema
        data = Raw(encode_event(_renamed(event, run_id, names, model)))
        position = moments[recorded.version - 1] if moments else 0
        copies.append(RecordCopied(type=source.type, schema=schema, at=source.at, data=data, position=position))
    return copies


def _renamed(event: Event, run_id: str, names: Mapping[str, str], model: str) -> Event:
    """The event with the fork's ids in the place of the run's, and the name of the model that it leaves out."""
    changes: dict[str, Any] = {}
    for field in ("call_id", "step"):  # what a tool asks has the tool's call for its step
        made: str = getattr(event, field, "")
        if made.startswith(f"{run_id}_"):
            changes[field] = _called(made, run_id, names)
    match event:
        case ChildRequested():
            changes["run_id"] = names.get(event.run_id, event.run_id)
        case ValueRecorded(name=name, value=value) if name == BOARD_READ:
            changes["value"] = [{**each, "entry_id": _called(each["entry_id"], run_id, names)} for each in value]
        case ModelRequested() | ModelAttemptFailed() | ModelCompleted() | ModelFailed() if not event.model:
            changes["model"] = model
        case _:
            pass
    return structs.replace(event, **changes) if changes else event


def _called(made: str, run_id: str, names: Mapping[str, str]) -> str:
    """An id that is made of a run's, made of that of its fork."""
    return names[run_id] + made.removeprefix(run_id) if made.startswith(f"{run_id}_") else made


def names_in(tree: RunTree, fork_id: str) -> Mapping[str, str]:
    """The ids of a fork's runs, by those of the runs whose beginnings they share."""
    names = {tree.root: fork_id}
    for run_id, branch in tree.branches.items():
        asked = branch.asked
        if asked is None:
            continue
        call_id = asked.call_id.replace(branch.parent_id, names[branch.parent_id], 1)
        # Forks of an older Treadle share their children, whose ids are made of another run's.
        role = run_id.removeprefix(asked.call_id) if run_id.startswith(asked.call_id) else f"_{asked.role}"
        names[run_id] = f"{call_id}{role}"
    return names


def terms_of(branch: Branch, terms: ForkTerms) -> ForkTerms:
    """The terms of a run that shares the beginning of `branch`: whose conversation it goes on with."""
    started = branch.started
    first = started.fork if started is not None else None
    if first is not None and first.run:
        return structs.replace(terms, run=first.run, session=first.session)
    return structs.replace(terms, run=branch.run_id, session=branch.history[0].session_id)
