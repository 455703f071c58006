"""`treadle diff`: two runs side by side, from the journal."""

from typing import Annotated

import typer
from msgspec import to_builtins
from typer import Argument

from ..diff import diff as diff_of
from .command import Call, command
from .reading import read_journal

app = typer.Typer()


@command(app)
async def diff(
    call: Call,
    run: Annotated[str, Argument(help="The run.")],
    other: Annotated[str, Argument(help="The one to compare it with: a fork of it, or any other.")],
) -> None:
    """Compare two runs: what they share, where they first differ, what came of them."""
    async with read_journal(call.place) as journal:
        found = await diff_of(journal, run, other)
    if call.out.json:
        first = found.first_difference
        call.out.object({**to_builtins(found), "first_difference": first.name if first is not None else None})
        return
    call.out.say(str(found))
