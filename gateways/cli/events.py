"""`treadle events`: the journal's events as they are stored."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer
from typer import Option

from ...events.envelope import Recorded
from ...events.errors import CorruptEvent, TreadleError
from ...events.journal import Journal
from ...projections.source import read_page
from .command import Call, command
from .reading import read_journal
from .writing import open_output

app = typer.Typer(help="Read the journal's events.", no_args_is_help=True)

_PAGE = 1000


class Damaged(TreadleError):
    """Some events cannot be read; the others were written."""


@app.callback()
def group() -> None:
    """Read the journal's events."""


@command(app)
async def export(
    call: Call,
    stream: Annotated[str, Option(help="Only this stream: run-…, session-…")] = "",
    category: Annotated[str, Option(help="Only this category: run, session, memory …")] = "",
    user: Annotated[str | None, Option(help="Only this user's.")] = None,
    after: Annotated[int, Option(min=0, help="Only above this position; with --stream above this version.")] = 0,
    output: Annotated[Path | None, Option("--output", "-o", help="A new file. Default: standard output.")] = None,
    format: Annotated[Literal["jsonl"], Option(help="One stored event a line, byte by byte.")] = "jsonl",
) -> None:
    """Write events as they are stored, in order; each can be checked alone, see docs/journal.md."""
    written, damaged = 0, 0
    async with read_journal(call.place) as journal:
        with open_output(output) as out:
            found = _of_stream(journal, stream, after) if stream else _of_all(journal, after)
            async for event in found:
                if isinstance(event, CorruptEvent):
                    call.out.note(str(event))
                    damaged += 1
                elif (not category or event.category == category) and user in (None, event.user_id):
                    _write(out, event)
                    written += 1
    if damaged:
        raise Damaged(f"{damaged} events of journal {call.place.journal} are corrupt and were left out")
    if output is not None:
        if call.out.json:
            call.out.object({"events": written, "output": str(output)})
        call.out.say(f"{written} events written to {output}")


def _write(out: BinaryIO, event: Recorded) -> None:
    out.write(event.stored + b"\n")


async def _of_all(journal: Journal, after: int) -> AsyncGenerator[Recorded | CorruptEvent]:
    while True:
        page, corrupt = await read_page(journal, after, _PAGE)
        for event in page:
            after = event.position
            yield event
        if corrupt is not None:
            after = corrupt.position
            yield corrupt
        elif not page:
            return


async def _of_stream(journal: Journal, stream: str, after: int) -> AsyncGenerator[Recorded | CorruptEvent]:
    limit = _PAGE
    while True:
        try:
            page = await journal.read(stream, after, limit)
        except CorruptEvent as exc:
            if exc.version > after + 1:
                limit = exc.version - 1 - after  # what is before it reads well
                continue
            yield exc
            after, limit = exc.version, _PAGE
            continue
        for event in page:
            yield event
        if not page:
            return
        after, limit = page[-1].version, _PAGE
