"""`treadle replay`: a run as the journal has it, event by event or folded up to one of them; or run by today's code."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import typer
from typer import Argument, Option

from ...actors.run_history import history_of
from ...events.envelope import Recorded, verify_chain
from ...events.errors import NotFound, TreadleError
from ...events.run import Run, evolve, run_stream
from ...projections import Runs
from ..run_event import of_recorded
from ..system import System
from .agents import find_agents
from .command import Call, command
from .narration import called, cut
from .reading import read_journal, read_projections
from .record import with_delegated
from .watch import Teller

app = typer.Typer()


class Differs(TreadleError):
    """A projection does not show what the events say."""


@command(app)
async def replay(
    call: Call,
    run: Annotated[str, Argument(help="The run.")],
    after: Annotated[int, Option(min=0, help="Only events above this version.")] = 0,
    at: Annotated[int | None, Option(min=1, help="Show the state after this version, instead of events.")] = None,
    verify: Annotated[bool, Option("--verify", help="Check every hash and the chain, and fold the run again.")] = False,
    agents: Annotated[
        list[str] | None,
        Option(help="TOML file or module:object: run it with these, answered as then; exit code 1 where it differs."),
    ] = None,
    tools: Annotated[
        Literal["frozen", "call"], Option(help="With --agents: tools answer as they did then, or are called.")
    ] = "frozen",
) -> None:
    """Print the events of a run from the journal, in order."""
    if agents:
        await _again(call, run, agents, tools == "call")
        return
    async with read_journal(call.place) as journal:
        events = await journal.read(run_stream(run))
    if not events:
        raise NotFound("run", run, f"journal {call.place.journal} has no stream {run_stream(run)!r}")
    if at is not None:
        if at > len(events):
            raise NotFound("version", str(at), f"run {run!r} has {len(events)} events")
        _show_state(call, events[:at])
        return
    if verify:
        await _verify(call, run, events)
        return
    teller = Teller(call.out)
    for recorded in events[after:]:
        if call.out.json:
            call.out.raw(recorded.stored)
        else:
            teller.tell(of_recorded(recorded))


async def _again(call: Call, run: str, references: Sequence[str], call_tools: bool) -> None:
    """Run it with today's agent; nothing of this is kept."""
    from ..cassettes.replay import replay as replay_run

    hosted = find_agents(references)
    _, *delegated = await with_delegated(call, run) if call_tools else [run]
    async with read_journal(call.place) as journal, System(projections=False) as system:
        for name, agent in hosted.items():
            system.host(agent, name)
        spec = system.node.host.agent((await history_of(journal, run)).agent)
        replayed = await replay_run(journal, run, system.node, spec, call_tools=call_tools, delegated=delegated)
    teller = Teller(call.out)
    for recorded in replayed.events:
        teller.tell(of_recorded(recorded))
    if call.out.json:
        call.out.object({"run_id": run, "state": replayed.result.state, "differences": replayed.differences})
    for difference in replayed.differences:
        call.out.say(difference, "red")
    if not replayed.differences:
        call.out.say("it goes as it went", "green")
    call.exit(1 if replayed.differences else 0)


async def _verify(call: Call, run: str, events: Sequence[Recorded]) -> None:
    """Raises CorruptEvent where the chain breaks, and Differs when the projection shows something else."""
    head = verify_chain(events)
    state = folded(events)
    kept = Runs()
    async with read_projections(call.place, kept):
        row = await kept.get(run)
    for name, said, found in (
        ("state", row.state, state.state),
        ("turns", row.turns, state.turns),
        ("version", row.version, head.version),
        ("tokens", row.tokens, state.usage.total_tokens),
    ):
        if said != found:
            raise Differs(
                f"run {run!r}: the events give {name} {found}, the projection shows {said}; "
                "rebuild it with `treadle projection rebuild runs`"
            )
    answer: dict[str, Any] = {"run_id": run, "ok": True, "events": len(events), "head": head.hash, "state": state.state}
    if call.out.json:
        call.out.object(answer)
    call.out.say(f"{len(events)} events, chain intact up to {head.hash[:16]}…; folded again: {state.state}", "green")


def folded(events: Sequence[Recorded]) -> Run:
    """The state of a run after these events."""
    state = Run()
    for recorded in events:
        evolve(state, recorded.event)
    return state


def _show_state(call: Call, events: Sequence[Recorded]) -> None:
    state, last = folded(events), events[-1]
    if call.out.json:
        fold = msgspec.Raw(msgspec.json.encode(state))
        named = {"run_id": last.run_id, "version": last.version, "at": last.at, "state": state.state, "fold": fold}
        call.out.object(named)
        return
    open_calls = [
        called(step.requested.tool, step.requested.args)
        for step in state.tools.values()
        if step.requested is not None and step.outcome is None
    ]
    call.out.fields(
        {
            "run": last.run_id,
            "version": f"{last.version}, {last.type}",
            "at": last.at,
            "state": state.state.value,
            "agent": state.started.agent if state.started is not None else "",
            "prompt": cut(state.started.prompt) if state.started is not None else "",
            "owner": state.owner,
            "turns": state.turns,
            "tokens": state.usage.total_tokens,
            "tools": f"{sum(step.outcome is not None for step in state.tools.values())} with an outcome",
            "open": ", ".join(open_calls),
            "waits for": ", ".join(asked.call_id for asked in state.waiting_for),
        }
    )
