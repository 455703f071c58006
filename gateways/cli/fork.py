"""`treadle fork`: a run once more from one of its steps, in the system that runs, or else in this process."""

import asyncio
from typing import Annotated

import typer
from msgspec import to_builtins
from typer import Argument, Option

from ...events.run import RunState
from ..forks import begin_fork
from ..run_event import Event
from ..services import AskFork
from ..system import System
from .agents import find_agents
from .asking import ask_over, connect
from .command import Call, command
from .following import OverJournal, OverNats
from .run_progress import Tell
from .watch import FAILED, Teller

app = typer.Typer()


@command(app)
async def fork(
    call: Call,
    run: Annotated[str, Argument(help="The run.")],
    at: Annotated[
        str, Option(metavar="VERSION|step:NAME", help="Up to where the run is shared. Default: its question alone.")
    ] = "",
    of: Annotated[str, Option(metavar="RUN", help="A run that it asked, which --at is a version or a step of.")] = "",
    model: Annotated[str, Option(help="Who goes on. Default: the agent's model.")] = "",
    models: Annotated[
        list[str] | None, Option("--model-of", metavar="ROLE=MODEL", help="Who answers for an agent that it asks.")
    ] = None,
    prompt: Annotated[str, Option(help="Another question, at the beginning; later what is said further.")] = "",
    instructions: Annotated[str | None, Option(help="In the place of the agent's instructions, from there on.")] = None,
    fork_id: Annotated[str, Option("--id", help="The fork's id (`fork_id`). Default: a new one.")] = "",
    agents: Annotated[
        list[str] | None, Option(help="TOML file or module:object, when no system runs. Default: agents.toml.")
    ] = None,
    no_wait: Annotated[bool, Option("--no-wait", help="Do not follow it; for a system that runs.")] = False,
) -> None:
    """Run a run once more from one of its steps, with the same agent or another model."""
    asked = AskFork(
        run_id=run,
        at=point(at),
        of=of,
        model=model,
        models=dict(map(_named, models or [])),
        prompt=prompt,
        instructions=instructions,
        fork_id=fork_id,
    )
    if call.place.nats is not None:
        await _ask(call, asked, no_wait)
    else:
        await _here(call, asked, agents or [])


def _named(text: str) -> tuple[str, str]:
    role, named, model = text.partition("=")
    if not (role and named and model):
        raise typer.BadParameter(f"--model-of {text}: ROLE=MODEL is wanted")
    return role, model


def point(text: str) -> int | str:
    """A version, or the name of a step after `step:`; by default the question alone.

    Raises:
        typer.BadParameter: It is neither.
    """
    if not text:
        return 1
    if text.isdecimal():
        return int(text)
    step = text.removeprefix("step:")
    if not step or step == text:
        raise typer.BadParameter(f"--at {text}: a version is wanted, or step:NAME; `treadle replay RUN` shows both")
    return step


async def _ask(call: Call, asked: AskFork, no_wait: bool) -> None:
    async with connect(call.place) as bus:
        answer = await ask_over(bus, call.place.subjects, "fork", to_builtins(asked))
        _say(call, answer)
        if no_wait:
            return
        teller = Teller(call.out)
        try:
            following = OverNats(bus, call.place.subjects, call.out.note)
            last = await following.run(answer["run_id"], 0, _telling(call, teller))
        finally:
            teller.close()
    call.exit(1 if last.type in FAILED else 0)


async def _here(call: Call, asked: AskFork, references: list[str]) -> None:
    agents = find_agents(references)
    system = System(journal=call.place.journal, namespace=call.place.subjects.namespace, resume=False)
    async with system:
        for name, agent in agents.items():
            system.host(agent, name)
        made, answer = await begin_fork(
            system.node, asked.run_id, at=asked.at, of=asked.of, changes=asked.changes, fork_id=asked.fork_id
        )
        _say(call, {"run_id": made, "session_id": made, "forked_from": asked.run_id})
        teller = Teller(call.out)
        telling = asyncio.create_task(OverJournal(system.journal).run(made, 0, teller.tell))
        try:
            result = await answer
            if result.state != RunState.WAITING:
                await telling
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            teller.close()
    if result.state == RunState.WAITING:
        asked_for = ", ".join(waits.call_id for waits in result.waiting_for)
        call.out.note(f"it waits for an approval of {asked_for}: start the system and use `treadle approve`")
    call.exit(0 if result.state in (RunState.COMPLETED, RunState.DEGRADED) else 1)


def _telling(call: Call, teller: Teller) -> Tell:
    """Tell the events; of an approval that the fork waits for, or that a run below it does, also how it is given."""

    def tell(event: Event) -> None:
        teller.tell(event)
        asked = [event.payload] if event.type == "approval.requested" else event.payload.get("waiting", ())
        for each in asked:
            call.out.note(
                f"it waits for an approval: `treadle approve {event.run_id} {each['call_id']} --allow`, or --deny"
            )

    return tell


def _say(call: Call, answer: dict[str, str]) -> None:
    if call.out.json:
        call.out.object(answer)
    call.out.say(f"run {answer['run_id']} is forked from {answer['forked_from']}", "green")
