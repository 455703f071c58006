"""`treadle record`: the answers of models in a run, as a cassette for tests."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from ...actors.run_history import history_of
from ...events.errors import ConfigError
from ...projections import Runs
from ..cassettes import file
from ..cassettes.cut import cut
from .command import Call, command
from .reading import read_journal, read_projections

app = typer.Typer()


@command(app)
async def record(
    call: Call,
    run: Annotated[str, Argument(help="The run.")],
    out: Annotated[Path, Option("-o", "--out", help="The cassette's file.")],
    alone: Annotated[bool, Option("--alone", help="Without the runs that it delegated to.")] = False,
    force: Annotated[bool, Option("--force", help="Replace the file if there is one.")] = False,
) -> None:
    """Freeze the answers of models in a run as a cassette for tests."""
    if out.exists() and not force:
        raise ConfigError(f"{out} exists; --force replaces it")
    runs = [run] if alone else await with_delegated(call, run)
    async with read_journal(call.place) as journal:
        started = (await history_of(journal, run)).state.started
        assert started is not None
        entries = await cut(journal, runs)
    file.write(out, entries, file.Origin(started.agent, started.prompt))
    if call.out.json:
        call.out.object({"cassette": str(out), "calls": len(entries), "runs": runs})
    call.out.say(f"{len(entries)} calls of {len(runs)} runs are in {out}", "green")


async def with_delegated(call: Call, run: str) -> list[str]:
    """The run, and the runs that it delegated to, and they."""
    runs, kept = [run], Runs()
    async with read_projections(call.place, kept):
        for parent in runs:
            children = await kept.list(parent_run_id=parent, limit=1000)
            runs += [child.run_id for child in reversed(children)]
    return runs
