"""A run that is to be, and a run as the journal has it."""

from collections.abc import Sequence

from msgspec import Struct

from ..events.errors import NotFound
from ..events.journal import Journal
from ..events.message import Image, Message
from ..events.run import Run, RunStarted, evolve, run_stream
from .context import RunContext
from .manner import PLAIN, Manner
from .result import RunResult, result_of


class RunRequest(Struct, frozen=True, kw_only=True):
    """A run that is to be."""

    run_id: str
    prompt: str
    images: tuple[Image, ...] = ()
    user_id: str = ""
    session_id: str = ""
    history: Sequence[Message] = ()
    context: RunContext | None = None
    manner: Manner = PLAIN
    signal_id: str = ""
    parent_run_id: str = ""
    parent_call_id: str = ""
    depth: int = 0
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
