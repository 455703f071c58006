"""What commands print: JSON for programs, text, tables and colour for people.

With `--json` standard output holds JSON and nothing else, one object a line. Without it a person reads: columns, and
colour on a terminal only (`NO_COLOR` is respected). What is said beside the answer goes to standard error.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from ...events.redaction import redact

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

T = TypeVar("T")
Columns: TypeAlias = Mapping[str, Callable[[T], Any]]
"""What a table shows of an item, by the column's title."""

_WIDE = 10_000
"""Columns where there is no terminal: whoever reads a pipe wants whole ids."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}


class Output:
    """The output of one command.

    Args:
        json: For programs.
    """

    def __init__(self, json: bool = False) -> None:
        self.json = json

    @cached_property
    def console(self) -> "Console":
        return _console(sys.stdout)

    @cached_property
    def err(self) -> "Console":
        return _console(sys.stderr)

    @property
    def live(self) -> bool:
        """Whether a person waits at a terminal."""
        return not self.json and sys.stdout.isatty()

    def object(self, value: Any) -> None:
        """One JSON object in a line, whatever the mode."""
        self.raw(msgspec.json.encode(value))

    def raw(self, line: bytes) -> None:
        """One line of bytes that are JSON already."""
        sys.stdout.write(line.decode("utf-8", "replace") + "\n")
        sys.stdout.flush()

    def say(self, text: str, style: str = "") -> None:
        """A line for people; nothing with `--json`."""
        if not self.json:
            self.console.print(plain(text), style=style or None)

    def note(self, text: str) -> None:
        """A remark on standard error."""
        self.err.print(plain(text), style="dim")

    def error(self, kind: str, message: str, hint: str = "") -> None:
        """The one line that a command fails with: on standard error, and as an object with `--json`; redacted."""
        message = redact(message)
        if self.json:
            self.object({"error": {"type": kind, "message": message}})
        line = " ".join(message.split()) + (f"; {hint}" if hint else "")
        self.err.print(plain(f"error: {line}"), style="red")

    def rows(self, items: Iterable[T], columns: Columns[T], *, empty: str = "none") -> None:
        """A table; with `--json` each item is an object in a line."""
        if self.json:
            for item in items:
                self.object(item)
            return
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for name in columns:
            table.add_column(name, overflow="fold")
        for item in items:
            table.add_row(*(plain(text_of(value(item))) for value in columns.values()))
        if table.row_count:
            self.console.print(table)
        else:
            self.say(empty, "dim")

    def fields(self, fields: Mapping[str, Any]) -> None:
        """Names and values for people, one a line; those that are empty are left out."""
        from rich.table import Table

        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in fields.items():
            if value not in (None, "", (), []):
                table.add_row(name, plain(text_of(value)))
        self.console.print(table)

    def progress(self) -> "Progress":
        """A spinner with a text, on standard error, where a person waits; invisible elsewhere."""
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
        return Progress(*columns, console=self.err, transient=True, disable=self.json or not sys.stderr.isatty())


def plain(text: str) -> str:
    """`text` without what would steer a terminal: it may come from anybody who can send a signal."""
    return text.translate(_CONTROLS)


def text_of(value: Any) -> str:
    """A value as people read it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6f}".rstrip("0").rstrip(".")
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case _:
            return str(value)


def _console(file: Any) -> "Console":
    from rich.console import Console

    width = None if file.isatty() else _WIDE
    return Console(file=file, markup=False, highlight=False, emoji=False, soft_wrap=not file.isatty(), width=width)
