"""`treadle resume`: goes on with a run that stands still, in the system that runs, or else in this process."""

import asyncio
from typing import Annotated, Any

import msgspec
import typer
from typer import Argument, Option

from ...actors.result import RunResult
from ...events.errors import NotFound
from ...events.run import RunState
from ...projections import RunRow, Runs
from ..system import System
from .agents import find_agents
from .asking import ask_over, connect
from .command import Call, command
from .following import OverJournal, OverNats
from .reading import read_projections
from .watch import Teller

app = typer.Typer()


@command(app)
async def resume(
    call: Call,
    target: Annotated[str, Argument(metavar="SESSION|RUN", help="A run, or the session whose run stands still.")],
    agents: Annotated[
        list[str] | None, Option(help="TOML file or module:object, when no system runs. Default: agents.toml.")
    ] = None,
    user: Annotated[str | None, Option(help="Whose session it is, when several users have one of that name.")] = None,
    no_wait: Annotated[bool, Option("--no-wait", help="Do not follow it; for a system that runs.")] = False,
) -> None:
    """Go on with a run that stands still."""
    row = await _open_run(call, target, user)
    if call.place.nats is not None:
        await _ask(call, row, no_wait)
    else:
        await _here(call, row, agents or [])


async def _open_run(call: Call, target: str, user: str | None) -> RunRow:
    kept = Runs()
    async with read_projections(call.place, kept):
        try:
            return await kept.get(target)
        except NotFound:
            rows = [row for row in await kept.list(session_id=target, user_id=user, limit=1000) if row.open]
    if not rows:
        raise NotFound("open run", target, "neither a run nor a session with an open run; see `treadle runs`")
    users = {(row.user_id, row.agent) for row in rows}
    if len(users) > 1:
        named = ", ".join(f"{row.run_id} of {row.user_id or 'anonymous'} with {row.agent}" for row in rows)
        raise NotFound("single open run", target, f"there are several; name one: {named}")
    return rows[0]


async def _ask(call: Call, row: RunRow, no_wait: bool) -> None:
    async with connect(call.place) as bus:
        subjects = call.place.subjects
        answer = await ask_over(bus, subjects, "resume", {"run_id": row.run_id})
        if no_wait:
            if call.out.json:
                call.out.object(answer)
            call.out.say(f"run {row.run_id} goes on")
            return
        teller = Teller(call.out)
        try:
            last = await OverNats(bus, subjects, call.out.note).run(row.run_id, row.version, teller.tell)
        finally:
            teller.close()
    call.exit(0 if last.type == "run.completed" else 1)


async def _here(call: Call, row: RunRow, references: list[str]) -> None:
    agents = find_agents(references)
    system = System(journal=call.place.journal, namespace=call.place.subjects.namespace, resume=False)
    async with system:
        for name, agent in agents.items():
            system.host(agent, name)
        assert system.services is not None
        teller = Teller(call.out)
        telling = asyncio.create_task(OverJournal(system.journal).run(row.run_id, row.version, teller.tell))
        try:
            asked: dict[str, Any] = {"run_id": row.run_id, "wait": True}
            result: RunResult = await system.services.resume(msgspec.json.encode(asked))
            if result.state in _ENDED:
                await telling
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            teller.close()
    if result.state == RunState.WAITING:
        asked_for = ", ".join(waits.call_id for waits in result.waiting_for)
        call.out.note(f"it waits for an approval of {asked_for}: start the system and use `treadle approve`")
    call.exit(0 if result.state in (RunState.COMPLETED, RunState.DEGRADED) else 1)


_ENDED = frozenset({RunState.COMPLETED, RunState.DEGRADED, RunState.FAILED, RunState.CANCELLED, RunState.INTERRUPTED})
