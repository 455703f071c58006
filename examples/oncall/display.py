"""What a person sees while they wait."""

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from .place import AGENT

if TYPE_CHECKING:
    from .demo import Demo

_EVERY_S = 0.15
_ROWS = 10


class Display:
    """A live table of the newest runs on a terminal; a line for each step elsewhere."""

    def __init__(self, console: Console, demo: "Demo") -> None:
        self._console = console
        self._demo = demo
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._spinner = Spinner("dots")
        self._doing = ""
        self._started = time.monotonic()
        self._drawn = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def doing(self, what: str) -> None:
        """What is waited for from now on."""
        elapsed = f"{time.monotonic() - self._started:5.1f} s"
        self._doing = what
        line = Text.assemble((elapsed, "dim"), "  ", self._status(), ("  waiting for ", "dim"), what)
        self._console.print(line, soft_wrap=True)
        self.refresh()

    def refresh(self) -> None:
        now = time.monotonic()
        if self._live is not None and now - self._drawn > _EVERY_S:
            self._drawn = now
            self._spinner.update(text=f"waiting for {self._doing}")
            self._live.update(Group(self._runs(), self._spinner), refresh=True)

    def _status(self) -> Text:
        demo, picture = self._demo, self._demo.picture
        host = (f"host {demo.host_pid:<7}", "green") if demo.host_pid else ("host dead   ", "bold red")
        return Text.assemble(
            host, f"{len(picture.accepted):>3} signals {picture.handled:>3} handled {len(picture.open):>3} runs open"
        )

    def _runs(self) -> Table:
        table = Table(title=self._status(), expand=False, title_justify="left")
        for column in ("run", "agent", "about", "state", "taken over"):
            table.add_column(column)
        for run in list(self._demo.picture.runs.values())[-_ROWS:]:
            state = Text(run.closed, "green") if run.closed else Text(", ".join(run.calls.values()) or "…", "yellow")
            indent = "" if run.agent == AGENT else "└ "
            table.add_row(indent + run.run_id[-12:], run.agent, run.topic, state, "⚡" * run.taken_over)
        return table
