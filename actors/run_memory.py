"""What a run has of its user's memory: recalled before its strategy begins, remembered before its end is recorded."""

from typing import TYPE_CHECKING, Literal

from ..events.errors import CorruptEvent
from ..events.logs import get_logger
from ..events.memory import EpisodeRemembered
from ..events.run import MemoryRecalled, MemoryUnreadable

if TYPE_CHECKING:
    from .run import RunActivation

_log = get_logger("treadle.actors")


async def recall(run: "RunActivation") -> None:
    """Record what memory puts before the model; once, so that a replay is shown the same."""
    if not run.spec.memory or run.services.memory is None or "memory" in run.state.values:
        return
    try:
        found = await run.services.memory.recall(run.user_id, run.session_id, run.started.prompt)
    except CorruptEvent as exc:
        _without_memory(run, "memory", exc)
        return
    run.record([MemoryRecalled(step="memory", blocks=found.blocks, facts=found.facts, episodes=found.episodes)])


async def remember(run: "RunActivation", output: str) -> None:
    """Before the end is recorded, so that a run that has ended is remembered; once, because its id is the run's."""
    if not run.spec.memory or run.services.memory is None:
        return
    # An activation that was taken over finds out here: the episode that is written first is the one that stays.
    await run.barrier()
    tools = tuple(step.requested.tool for step in run.state.tools.values() if step.requested is not None)
    episode = EpisodeRemembered(
        episode_id=run.run_id,
        agent=run.spec.name,
        session_id=run.session_id,
        input=run.started.prompt,
        output=output,
        tools=tools,
    )
    try:
        await run.services.memory.remember(run.user_id, episode, run.cause(run.run_id))
    except CorruptEvent as exc:
        _without_memory(run, "remember", exc)


def _without_memory(run: "RunActivation", step: Literal["memory", "remember"], exc: CorruptEvent) -> None:
    """Say that the run goes on without its user's memory, and why; the memory itself is left as it is."""
    _log.error("run %s goes on without the memory of user %r: %s", run.run_id, run.user_id, exc)
    if step not in run.state.values:
        unreadable = MemoryUnreadable(
            step=step, stream=exc.stream, version=exc.version, position=exc.position, reason=str(exc)
        )
        run.record([unreadable])
