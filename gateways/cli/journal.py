"""`treadle journal`: what is closed goes to archives."""

from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct
from typer import Option

from ..archives.catalog import Archive
from ..archives.opening import archive_closed
from ..archives.read_through import ReadThrough
from .command import Call, command
from .output import Columns
from .reading import read_journal
from .times import moment

app = typer.Typer(help="Archive what is closed.", no_args_is_help=True)


class ArchiveRow(Struct, frozen=True):
    """One archive."""

    path: str
    streams: int
    events: int
    raw_bytes: int
    size_bytes: int
    first_position: int
    last_position: int
    sha256: str


@app.callback()
def group() -> None:
    """Archive what is closed."""


@command(app)
async def archive(
    call: Call,
    closed_before: Annotated[str, Option(help="Runs that ended before this time: 2026-01-31, in UTC.")],
    into: Annotated[
        Path | None,
        Option(help="Where the files go. Default: beside an SQLite journal; on PostgreSQL it has to be said."),
    ] = None,
) -> None:
    """Move the runs that ended before a time to compressed files, which are read as if nothing had moved."""
    before = moment(closed_before, "--closed-before")
    assert before is not None
    with call.out.progress() as progress:
        task = progress.add_task("archiving")
        report = await archive_closed(
            call.place.journal,
            closed_before=before,
            into=into,
            told=lambda step: progress.update(task, description=f"archiving: {step}"),
        )
    for path in report.removed:
        call.out.note(f"an archiving that did not end had left {path!r}; it was removed, nothing is lost")
    for kept in report.kept:
        call.out.note(f"stays in the journal: {kept.why}")
    call.out.rows([_row(archive) for archive in report.archives], ARCHIVES, empty="nothing to archive")


@command(app)
async def archives(call: Call) -> None:
    """List the archives of the journal."""
    async with read_journal(call.place) as journal:
        found = await journal.archives() if isinstance(journal, ReadThrough) else ()
    call.out.rows([_row(archive) for archive in found], ARCHIVES, empty="no archives")


def _row(archive: Archive) -> ArchiveRow:
    return ArchiveRow(
        str(archive.path),
        archive.streams,
        archive.events,
        archive.raw_bytes,
        archive.size_bytes,
        archive.first_position,
        archive.last_position,
        archive.sha256,
    )


def _bytes(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.1f} {unit}" if unit != "bytes" else f"{size:.0f} bytes"


ARCHIVES: Columns[ArchiveRow] = {
    "archive": lambda row: row.path,
    "streams": lambda row: row.streams,
    "events": lambda row: row.events,
    "size": lambda row: _bytes(row.size_bytes),
    "of": lambda row: _bytes(row.raw_bytes),
    "sha256": lambda row: row.sha256[:16],
}
