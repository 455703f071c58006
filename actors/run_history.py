"""A run that is to be, and a run as the journal has it."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from ..events.budget import Scope
from ..events.errors import NotFound
from ..events.event import Event
from ..events.fork_terms import ForkTerms
from ..events.journal import Append, Journal
from ..events.message import Image, Message
from ..events.run import Run, RunStarted, evolve, run_stream
from ..events.session import RunOpened, Session, Turn, session_stream
from ..events.session import evolve as evolve_session
from .context import RunContext
from .manner import PLAIN, Manner
from .result import RunResult, result_of


class Fork(Struct, frozen=True):
    """How a run begins that shares the beginning of another one.

    Attributes:
        records: What it begins with: those that it shares, and what it is told further.
        rest: The other streams of its tree, which begin in the same append.
        shown: Of a replay: how much of what the run was told each step was shown, by the steps' names.
    """

    started: RunStarted
    records: tuple[Event, ...]
    rest: tuple[Append, ...] = ()
    shown: Mapping[str, int] | None = None


class RunRequest(Struct, frozen=True, kw_only=True):
    """A run that is to be.

    Attributes:
        terms: Of the forked tree that it is asked in.
    """

    run_id: str
    prompt: str
    images: tuple[Image, ...] = ()
    user_id: str = ""
    session_id: str = ""
    history: Sequence[Message] = ()
    context: RunContext | None = None
    manner: Manner = PLAIN
    signal_id: str = ""
    previous_run_id: str = ""
    parent_run_id: str = ""
    parent_call_id: str = ""
    depth: int = 0
    budgets: tuple[Scope, ...] = ()
    fork: "Fork | None" = None
    terms: ForkTerms | None = None
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""


class RunHistory(Struct, frozen=True):
    """A run as the journal has it, without taking it over."""

    state: Run
    result: RunResult
    request: RunRequest

    @property
    def agent(self) -> str:
        return self.state.started.agent if self.state.started is not None else ""

    @property
    def in_session(self) -> bool:
        """A run without a session of its own has its id for a session id."""
        return self.request.session_id != self.request.run_id


async def history_of(journal: Journal, run_id: str) -> RunHistory:
    """What the journal has of a run.

    Raises:
        NotFound: Nothing.
    """
    state, events = Run(), await journal.read(run_stream(run_id))
    for recorded in events:
        evolve(state, recorded.event)
    if state.started is None:
        raise NotFound("run", run_id, f"journal {journal.name} has no stream {run_stream(run_id)!r}")
    first, last = events[0], events[-1]
    result = result_of(
        state, run_id=run_id, session_id=first.session_id, user_id=first.user_id, started_at=first.at, last_at=last.at
    )
    request = RunRequest(
        run_id=run_id,
        prompt=state.started.prompt,
        images=state.started.images,
        user_id=first.user_id,
        session_id=first.session_id,
        correlation_id=first.correlation_id,
        causation_id=first.causation_id,
        traceparent=first.traceparent,
    )
    return RunHistory(state, result, request)


async def images_of_run(journal: Journal, run_id: str) -> tuple[Image, ...]:
    """The pictures that a run was begun with; none when the journal does not have it."""
    begun = await journal.read(run_stream(run_id), 0, 1)
    started = begun[0].event if begun else None
    return started.images if isinstance(started, RunStarted) else ()


async def turns_before(journal: Journal, history: RunHistory) -> tuple[Turn, ...]:
    """The conversation that the run's session held when it began; of a fork, that of the run it was forked from."""
    started, request = history.state.started, history.request
    if started is not None and started.forked_from:
        return await turns_before(journal, await history_of(journal, started.forked_from))
    if not history.in_session:
        return ()
    session, version = Session(), 0
    stream = session_stream(request.user_id, history.agent, request.session_id)
    while page := await journal.read(stream, version):
        version = page[-1].version
        for recorded in page:
            event = recorded.event
            if isinstance(event, RunOpened) and event.run_id == request.run_id:
                return tuple(session.turns)
            evolve_session(session, event)
    return ()


async def messages_of(journal: Journal, turns: Sequence[Turn]) -> tuple[Message, ...]:
    """A conversation as a model is shown it, with its pictures."""
    images = {turn.run_id: await images_of_run(journal, turn.run_id) for turn in turns if turn.images}
    return tuple(Session(list(turns)).history_with(images))
