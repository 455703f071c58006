"""`treadle journal`: what is closed goes to archives, and how large the rest is."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct
from typer import Option

from ..archives.catalog import Archive
from ..archives.opening import archive_closed
from ..archives.read_through import ReadThrough
from ..journals.figures import CategoryFigures, journal_figures
from .command import Call, command
from .output import Columns
from .reading import read_journal
from .times import moment

app = typer.Typer(help="Archive what is closed, and show how large the journal is.", no_args_is_help=True)


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


class CategoryRow(Struct, frozen=True):
    """What a category has in the journal."""

    category: str
    streams: int
    events: int
    size_bytes: int
    bytes_per_stream: int


@app.callback()
def group() -> None:
    """Archive what is closed, and show how large the journal is."""


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


@command(app)
async def size(call: Call) -> None:
    """Show what is in the journal by category, what is in archives, and how much came in the last day."""
    async with read_journal(call.place) as journal:
        figures = await journal_figures(journal, datetime.now(UTC))
    if call.out.json:
        call.out.object(figures)
        return
    rows = [_category(name, of) for name, of in figures.categories.items()]
    call.out.rows(rows, CATEGORIES, empty="no events")
    call.out.fields(
        {
            "events": f"{figures.events:,}" + ("" if figures.exact else ", estimated from a sample"),
            "database": _bytes(figures.database_bytes),
            "last day": f"{figures.new_events:,} events, about {_bytes(figures.new_bytes)}",
            "archived": f"{figures.archived.streams:,} streams, {figures.archived.events:,} events in "
            f"{figures.archived.archives} files, {_bytes(figures.archived.size_bytes)} of "
            f"{_bytes(figures.archived.raw_bytes)}"
            if figures.archived.archives
            else "",
        }
    )


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


def _category(name: str, figures: CategoryFigures) -> CategoryRow:
    return CategoryRow(name, figures.streams, figures.events, figures.size_bytes, round(figures.bytes_per_stream))


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

CATEGORIES: Columns[CategoryRow] = {
    "category": lambda row: row.category,
    "streams": lambda row: row.streams,
    "events": lambda row: row.events,
    "size": lambda row: _bytes(row.size_bytes),
    "per stream": lambda row: _bytes(row.bytes_per_stream),
}
