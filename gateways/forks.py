"""Forks: a run begun anew from a recorded step of another one, with the same agent or with another model."""

import asyncio
from typing import Any

from msgspec import structs

from ..actors.result import RunResult
from ..actors.run_actor import ContinueRun, StartRun
from ..actors.run_history import Fork, RunRequest, history_of, messages_of, turns_before
from ..events.errors import ConfigError, Refused
from ..events.fork import copied, fork_point
from ..events.model_step import ModelRequested
from ..events.redaction import redacted
from ..events.run import run_stream
from .models.resolver import resolve_model
from .node import Node
from .run_event import Event

Answer = asyncio.Future[RunResult]
At = int | str | Event | None


class IdTaken(Refused):
    """There is a run of this id, and it is not the fork that was asked for: of another run, or at another version."""

    def __init__(self, run_id: str, what: str) -> None:
        super().__init__(f"there is a run {run_id!r}, {what}; leave fork_id out, or choose another")
        self.run_id = run_id


async def begin_fork(node: Node, run_id: str, *, at: At, model: Any = None, fork_id: str = "") -> tuple[str, Answer]:
    """Fork a run; its id, once the fork is on disk, and what it comes to.

    The same fork under an id that was forked before goes on with that one.

    Raises:
        IdTaken: The id is that of something else.
    """
    version = version_of(run_id, at)
    journal = node.journal
    history = await history_of(journal, run_id)
    origin, request = history.state.started, history.request
    assert origin is not None
    spec = node.host.agent(origin.agent)
    if model is None:
        spec, forked_to = node.host.going_on(spec, origin), origin.forked_to
    elif isinstance(model, str):
        spec, forked_to = structs.replace(spec, model=node.host.model(model)), model
    else:
        spec = structs.replace(spec, model=resolve_model(model))
        forked_to = spec.model.name
        node.host.lend(spec.model)
    events = await journal.read(run_stream(run_id))
    point = fork_point(run_id, version, events)
    ref = node.host.run(fork_id := fork_id or node.clock.new_id())
    if (await journal.head(run_stream(fork_id))).version:
        known = (await history_of(journal, fork_id)).state.started
        if known is None or known.forked_from != run_id:
            raise IdTaken(fork_id, f"which is no fork of {run_id!r}")
        if known.forked_at != point:
            raise IdTaken(fork_id, f"which was forked of {run_id!r} at version {known.forked_at}, not at {point}")
        return fork_id, _asked(ref.ask(ContinueRun(spec, reason="forked again")))
    copies = tuple(copied(run_id, fork_id, spec.model.name, events[:point]))
    output = origin.output
    if output is not None and not any(copy.type == ModelRequested.event_tag for copy in copies):
        # Nobody was told yet what the answer has to be: this model is, or is held to it.
        output = structs.replace(output, native=bool(getattr(spec.model, "native_output", False)))
    started = structs.replace(
        origin,
        output=output,
        model=redacted(spec.model.name),
        parent_run_id="",
        parent_call_id="",
        depth=0,
        signal_id="",
        forked_from=run_id,
        forked_at=point,
        forked_to=redacted(forked_to),
        conversation=await messages_of(journal, await turns_before(journal, history)),
    )
    fork = RunRequest(
        run_id=fork_id,
        prompt=origin.prompt,
        images=origin.images,
        user_id=request.user_id,
        causation_id=events[point - 1].id,
        fork=Fork(started, copies),
    )
    answer = _asked(ref.ask(StartRun(spec, fork)))
    await _begun(node, fork_id, answer)
    return fork_id, answer


def version_of(run_id: str, at: At) -> int | str:
    """What a caller means: a version, the name of a step, or an event of the run; None is its beginning.

    Raises:
        ConfigError: It is none of these.
    """
    if isinstance(at, Event):
        if at.run_id != run_id or not at.version:
            what = "is live and not recorded" if at.run_id == run_id else f"is of run {at.run_id!r}"
            raise ConfigError(f"run {run_id!r} cannot be forked at {at.type}, which {what}; name one of its own events")
        return at.version
    if at is None:
        return 1
    if isinstance(at, bool) or not isinstance(at, int | str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"at={at!r}; a run is forked at a version, at the name of a step, or at one of its events")
    return at


def _asked(asking: Any) -> Answer:
    answer: Answer = asyncio.ensure_future(asking)
    # Nobody need wait for a fork; its failure is in the journal.
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())
    return answer


async def _begun(node: Node, run_id: str, answer: Answer) -> None:
    """Until the run is on disk. Raises why it cannot begin."""

    async def first() -> None:
        async for _ in node.watch(run_id):
            return

    beginning = asyncio.ensure_future(first())
    try:
        await asyncio.wait((beginning, answer), return_when=asyncio.FIRST_COMPLETED)
        if not beginning.done():
            answer.result()
    finally:
        beginning.cancel()
        await asyncio.gather(beginning, return_exceptions=True)
