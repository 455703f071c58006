"""What is going on, as far as the files of the other processes tell: the watcher's events, the ledger, the signals.

The main process looks at nothing else while the desk works: what it shows has come over NATS.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .place import AGENT, Place
from .watcher import CLOSED


class Tail:
    """The JSON lines of a file that somebody else appends to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """The whole lines since the last time."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield json.loads(line)


@dataclass
class SeenRun:
    """A run as the events show it. `calls` are its open tool calls: tool by call id."""

    run_id: str
    agent: str
    topic: str
    signal_id: str
    calls: dict[str, str] = field(default_factory=dict[str, str])
    taken_over: int = 0
    closed: str = ""


class Picture:
    """The state of the desk, seen from outside."""

    def __init__(self, place: Place) -> None:
        self._events = Tail(place.watched)
        self._ledger = Tail(place.ledger)
        self._published = Tail(place.published)
        self.runs: dict[str, SeenRun] = {}
        self.events = 0
        self.pages: Counter[str] = Counter()
        self.newest_page: tuple[int, str] = (0, "")
        self.observed: set[str] = set()
        self.accepted: set[str] = set()

    def update(self) -> None:
        for event in self._events.new():
            self.events += 1
            if event["stream"].startswith("run-"):
                self._run(event)
        for entry in self._ledger.new():
            if entry["what"] == "paged":
                self.pages[entry["call_id"]] += 1
                self.newest_page = entry["pid"], entry["call_id"]
        for line in self._published.new():
            (self.observed if line["what"] == "observed" else self.accepted).add(line["id"])

    @property
    def open(self) -> list[SeenRun]:
        """Runs that have begun and not ended."""
        return [run for run in self.runs.values() if not run.closed]

    @property
    def handled(self) -> int:
        """Signals whose run has ended."""
        return sum(run.agent == AGENT and bool(run.closed) for run in self.runs.values())

    def calling(self, tool: str) -> list[SeenRun]:
        """Open runs that wait for this tool."""
        return [run for run in self.open if tool in run.calls.values()]

    def page_in_flight(self, pid: int) -> bool:
        """The process has sent a page, and nobody has recorded so."""
        sender, call_id = self.newest_page
        return sender == pid and any(call_id in run.calls for run in self.open)

    def _run(self, event: dict[str, Any]) -> None:
        run_id, data = event["run_id"], event["data"]
        if event["type"] == "run.started":
            topic = event["session_id"] if data["agent"] == AGENT else "measuring"
            self.runs[run_id] = SeenRun(run_id, data["agent"], topic, data.get("signal_id", ""))
            return
        run = self.runs[run_id]
        match event["type"]:
            case "run.taken_over":
                run.taken_over += 1
            case "run.tool_requested":
                run.calls[data["call_id"]] = data["tool"]
            case "run.tool_completed" | "run.tool_failed" | "run.tool_outcome_unknown":
                run.calls.pop(data["call_id"], None)
            case closing if closing in CLOSED:
                run.closed = closing.removeprefix("run.")
            case _:
                pass
