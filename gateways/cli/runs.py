"""`treadle runs`: what is going on, and what came of it."""

from datetime import datetime, timedelta
from typing import Annotated

import typer
from typer import Option

from ...events.run import RunState
from ...projections import RunRow, Runs
from .command import Call, command
from .narration import cut
from .output import Columns
from .reading import read_projections

app = typer.Typer()


@command(app)
async def runs(
    call: Call,
    state: Annotated[RunState | None, Option(help="Only runs in this state.")] = None,
    user: Annotated[str | None, Option(help="Only this user's.")] = None,
    agent: Annotated[str | None, Option(help="Only this agent's.")] = None,
    session: Annotated[str | None, Option(help="Only those of this session.")] = None,
    parent: Annotated[str | None, Option(help="Only those that this run has delegated.")] = None,
    before: Annotated[int | None, Option(help="Only those that began before this journal position.")] = None,
    limit: Annotated[int, Option(min=1, help="How many.")] = 50,
) -> None:
    """List runs, the newest first."""
    kept = Runs()
    async with read_projections(call.place, kept):
        rows = await kept.list(
            state=state,
            user_id=user,
            agent=agent,
            session_id=session,
            parent_run_id=parent,
            before=before,
            limit=limit,
        )
    call.out.rows(rows, COLUMNS, empty="no runs")


def took(row: RunRow) -> str:
    """How long it lasted; empty while it lasts."""
    return "" if row.finished_at is None else span(row.finished_at, row.started_at)


def span(end: datetime, start: datetime) -> str:
    """A duration as people read it."""
    duration: timedelta = end - start
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else str(timedelta(seconds=round(seconds)))


COLUMNS: Columns[RunRow] = {
    "run": lambda row: row.run_id,
    "state": lambda row: row.state.value,
    "agent": lambda row: row.agent,
    "user": lambda row: row.user_id,
    "session": lambda row: "" if row.session_id == row.run_id else row.session_id,
    "turns": lambda row: row.turns,
    "tokens": lambda row: row.tokens,
    "started": lambda row: row.started_at,
    "took": took,
    "prompt": lambda row: cut(row.prompt, 60),
}
