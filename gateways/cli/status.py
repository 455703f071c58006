"""`treadle status`: how the system stands."""

from typing import Any

import msgspec
import typer

from ...projections import Runs
from ..system import Status
from .asking import ask_over, connect
from .command import Call, command
from .reading import read_projections
from .system_file import SystemFile

app = typer.Typer()


@command(app)
async def status(call: Call) -> None:
    """Show how the system stands; exit code 1 when none runs."""
    place = call.place
    if place.nats is None:
        await _standing_still(call)
        return
    async with connect(place) as bus:
        found: Status = await ask_over(bus, place.subjects, "status", {}, wanted=Status)
    described = _described(place.running)
    if call.out.json:
        call.out.object({"running": True, **described, **msgspec.to_builtins(found)})
        return
    call.out.fields(
        {
            "system": f"running, {found.owner}",
            "agents": ", ".join(described.get("agents", ())),
            "since": place.running.started_at if place.running is not None else None,
            "nats": f"{found.nats}, {'connected' if found.nats_connected else 'not connected'}",
            "monitor": described.get("monitor", ""),
            "journal": f"{found.journal}, position {found.journal_position}",
            "behind": f"relay {found.relay_lag}, projections {found.projection_lag}",
            "actors": found.actors,
            "signals": f"{found.signals_running} running, {found.signals_done} done, {found.signals_parked} parked",
        }
    )


async def _standing_still(call: Call) -> None:
    kept = Runs()
    async with read_projections(call.place, kept) as projections:
        [lag] = (await projections.lag()).values()
        open_runs = len(await kept.open_runs())
    answer = {"running": False, "journal": call.place.journal, "journal_position": lag.position, "open_runs": open_runs}
    if call.out.json:
        call.out.object(answer)
    else:
        call.out.fields(
            {
                "system": "does not run; `treadle up` starts it",
                "journal": f"{call.place.journal}, position {lag.position}",
                "open runs": open_runs,
            }
        )
    call.exit(1)


def _described(system: SystemFile | None) -> dict[str, Any]:
    if system is None:
        return {}
    wanted = ("pid", "agents", "monitor", "namespace", "started_at")
    return {name: getattr(system, name) for name in wanted}
