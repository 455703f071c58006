"""Forks: a run begun anew from a moment of another one, with all that it had asked by then."""

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, structs

from ..actors.result import RunResult
from ..actors.run_actor import ContinueRun, StartRun
from ..actors.run_history import Fork, RunHistory, RunRequest, history_of, messages_of, turns_before
from ..events.cut import Cut, cut
from ..events.envelope import EMPTY, Meta
from ..events.errors import ConfigError, NotFound, Refused
from ..events.fork import cut_at
from ..events.fork_copy import Copy, Copying
from ..events.fork_terms import ForkTerms
from ..events.journal import Append
from ..events.redaction import redacted
from ..events.run import RunStarted, run_stream
from ..events.run_tree import RunTree
from ..events.steering import RunSteered
from .fork_changes import Changes, changed, going_on, has_tools, lent, said_further
from .node import Node
from .run_event import Event
from .run_trees import tree_of

Answer = asyncio.Future[RunResult]


class Moment(Struct, frozen=True):
    """A place in the journal: a run is cut there as a crash would have left it, whatever went on."""

    position: int


At = int | str | Event | Moment | None


class IdTaken(Refused):
    """There is a run of this id, and it is not the fork that was asked for: of another run, or at another version."""

    def __init__(self, run_id: str, what: str) -> None:
        super().__init__(f"there is a run {run_id!r}, {what}; leave fork_id out, or choose another")
        self.run_id = run_id


async def begin_fork(
    node: Node, run_id: str, *, at: At = None, of: str = "", changes: Changes | None = None, fork_id: str = ""
) -> tuple[str, Answer]:
    """Fork a run and all that it had asked; its id, once the fork is on disk, and what it comes to.

    The same fork under an id that was forked before goes on with that one.

    Args:
        of: The run of the tree that `at` is a version or a step of; by default the forked run itself.
    Raises:
        IdTaken: The id is that of something else.
    """
    changes, fork_id = changes or Changes(), fork_id or node.clock.new_id()
    changes.check()
    of, version = place_of(run_id, of, at)
    tree = await tree_of(node.journal, run_id)
    found = _cut(tree, of, version)
    point = found.lines[run_id]
    if not point:
        raise NotFound("position", str(found.position), f"run {run_id!r} began later")
    origin = tree.branches[run_id].started
    assert origin is not None
    spec, forked_to = going_on(node, fork_id, origin, changes)
    before = origin.fork or ForkTerms(tree="")
    models = {**before.models, **{role: lent(node, model) for role, model in changes.models.items()}}
    deeper = before.deeper + origin.depth
    terms = ForkTerms(tree=fork_id, models=models, deeper=deeper, position=found.position)
    copying = Copying(tree, found, terms, node.journal.owner)
    said = said_further(fork_id, run_id, changes, found)
    own = structs.replace(copying.terms(run_id, terms), tools=has_tools(origin, changes))
    began = changed(tree, spec, changes, found, own)
    ref = node.host.run(fork_id)
    if (await node.journal.head(run_stream(fork_id))).version:
        _check_same(await history_of(node.journal, fork_id), began, said, run_id, found)
        return fork_id, _asked(ref.ask(ContinueRun(spec, reason="forked again")))
    history = await history_of(node.journal, run_id)
    started = structs.replace(
        began,
        model=redacted(spec.model.name),
        parent_run_id="",
        parent_call_id="",
        depth=0,
        signal_id="",
        forked_from=run_id,
        forked_at=point,
        forked_to=redacted(forked_to),
        conversation=await messages_of(node.journal, await turns_before(node.journal, history)),
    )
    rest = tuple(_append(copy, fork_id, node) for copy in copying.rest())
    fork = RunRequest(
        run_id=fork_id,
        prompt=started.prompt,
        images=origin.images,
        user_id=history.request.user_id,
        causation_id=tree.branches[run_id].history[point - 1].id,
        fork=Fork(started, (*copying.records(run_id, spec.model.name), *said), rest),
    )
    answer = _asked(ref.ask(StartRun(spec, fork)))
    await _begun(node, fork_id, answer)
    return fork_id, answer


def place_of(run_id: str, of: str, at: At) -> tuple[str, int | str | Moment]:
    """What a caller means: a version, the name of a step, or an event of a run; None is its beginning.

    Raises:
        ConfigError: It is none of these.
    """
    if isinstance(at, Event):
        if not at.version:
            what = "is live and not recorded"
            raise ConfigError(f"run {run_id!r} cannot be forked at {at.type}, which {what}; name one of its own events")
        return at.run_id, at.version
    if at is None:
        return of or run_id, 1
    if isinstance(at, bool) or not isinstance(at, int | str | Moment):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"at={at!r}; a run is forked at a version, at the name of a step, or at one of its events")
    return of or run_id, at


def _cut(tree: RunTree, of: str, at: int | str | Moment) -> Cut:
    if isinstance(at, Moment):
        return cut(tree, at.position)
    branch = tree.branches.get(of)
    if branch is None or not branch.history:
        raise ConfigError(
            f"run {tree.root!r} cannot be forked at an event of run {of!r}, which it has not asked; name one of its "
            "own events, or of the runs that it asked"
        )
    return cut_at(tree, of, at)


# --- what is written -------------------------------------------------------------------------------------------------


def _append(copy: Copy, fork_id: str, node: Node) -> Append:
    meta = Meta(
        user_id=copy.user_id,
        session_id=copy.session_id,
        run_id=copy.run_id,
        correlation_id=fork_id,
        causation_id=copy.call_id,
        epoch=1,
    )
    return Append(copy.stream, EMPTY, copy.events, meta, node.clock.now())


def _check_same(known: RunHistory, began: RunStarted, said: Sequence[RunSteered], run_id: str, found: Cut) -> None:
    """Refuse an id that is another fork's, or none's."""
    fork_id, started = known.request.run_id, known.state.started
    if started is None or started.forked_from != run_id:
        raise IdTaken(fork_id, f"which is no fork of {run_id!r}")
    if started.forked_at != found.lines[run_id]:
        at = f"at version {started.forked_at}, not at {found.lines[run_id]}"
        raise IdTaken(fork_id, f"which was forked of {run_id!r} {at}")
    if started.fork is not None and started.fork.position != found.position:
        raise IdTaken(fork_id, f"which was forked of {run_id!r} at another event of the runs that it had asked")
    told = [steered for steered in known.state.steerings if steered.steering_id == fork_id]
    if started.prompt != began.prompt or told != list(said):
        raise IdTaken(fork_id, f"which was forked of {run_id!r} with another prompt")
    if _instructions(started) != _instructions(began):
        raise IdTaken(fork_id, f"which was forked of {run_id!r} with other instructions")


def _instructions(started: RunStarted) -> tuple[str, str | None]:
    return started.instructions, started.fork.instructions if started.fork is not None else None


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
