"""`treadle projection`: lists the read models, and folds them anew."""

import contextlib
from typing import Annotated

import typer
from msgspec import Struct
from typer import Argument

from ...projections import (
    Blackboards,
    BudgetView,
    Facts,
    Lag,
    Projection,
    Projections,
    ProjectionStopped,
    Runs,
    Sessions,
    Workspaces,
)
from .command import Call, command
from .output import Columns
from .place import Place
from .reading import audit_home, read_projections

app = typer.Typer(help="List and rebuild projections.", no_args_is_help=True)


class ProjectionRow(Struct, frozen=True):
    """One projection.

    Attributes:
        position: Up to where it has folded the journal.
        problems: Events that it could not read and left out.
        stopped: Why it does not go on; empty while it does.
        state_hash: SHA-256 over its rows: equal for equal histories.
    """

    name: str
    position: int
    problems: int
    stopped: str
    state_hash: str


@app.callback()
def group() -> None:
    """List and rebuild projections."""


@command(app, "list")
async def list_(call: Call) -> None:
    """List the projections: how far they are, and the hash of their rows."""
    async with read_projections(call.place, *_all(call.place), catch_up=False) as projections:
        last = (await projections.lag())[projections.names[0]].last_position
        for name in projections.names:
            with contextlib.suppress(ProjectionStopped):  # the row says so
                await projections.wait_for(last, projection=name)
        rows = [await _row(projections, name, lag) for name, lag in (await projections.lag()).items()]
    call.out.rows(rows, COLUMNS)


@command(app)
async def rebuild(
    call: Call, names: Annotated[list[str] | None, Argument(metavar="[NAME]...", help="Which. Default: all.")] = None
) -> None:
    """Drop the rows of projections and fold them again from the first event; they can be read meanwhile."""
    rows: list[ProjectionRow] = []
    async with read_projections(call.place, *_all(call.place), catch_up=False) as projections:
        with call.out.progress() as progress:
            task = progress.add_task("")
            for name in names or projections.names:
                progress.update(task, description=f"folding {name}")
                await projections.rebuild(name)
                rows.append(await _row(projections, name, (await projections.lag())[name]))
    call.out.rows(rows, COLUMNS)


def _all(place: Place) -> list[Projection]:
    # Without a key: the system that keeps the audit seals it.
    return [Runs(), Sessions(), Facts(), BudgetView(), Blackboards(), Workspaces(), audit_home(place).looking()]


async def _row(projections: Projections, name: str, lag: Lag) -> ProjectionRow:
    return ProjectionRow(name, lag.position, lag.problems, lag.stopped, await projections.state_hash(name))


COLUMNS: Columns[ProjectionRow] = {
    "projection": lambda row: row.name,
    "position": lambda row: row.position,
    "problems": lambda row: row.problems,
    "state": lambda row: row.state_hash[:16],
    "stopped": lambda row: row.stopped,
}
