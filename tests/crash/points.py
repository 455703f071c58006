"""The places where a process may be killed, and the killing.

A place has a name that is the same in every run of a program: the event whose append it stands at, the effect it
stands before. (Which events share an append depends on who is quicker, a thread or the loop.) A dry run lists the
places; a run with `kill` set to one of them ends there, with SIGKILL, so that nothing of the process can tidy up. The
journal is told nothing of this: its queue and its store are wrapped.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from treadle.gateways.journals.group_commit import GroupCommit
from treadle.gateways.journals.postgres_store import PostgresStore
from treadle.gateways.journals.sqlite_store import SqliteStore
from treadle.gateways.journals.submission import Submission


class Points:
    """Counts the places that a process comes by.

    Attributes:
        seen: Their names, in order.
        kinds: What happens at each of them: an event of a type, an effect of a tool.

    Args:
        kill: The name of a place, or `#17` for the seventeenth place whatever its name; empty to live.
        stop: Where it stops instead (SIGSTOP), and goes on when it is told to.
        will: A file for the name of the place where it died.
    """

    def __init__(self, kill: str = "", stop: str = "", will: Path | None = None) -> None:
        self.seen: list[str] = []
        self.kinds: dict[str, str] = {}
        self._kill = kill
        self._stop = stop
        self._will = will
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def reach(self, place: str, kind: str = "") -> None:
        """This process is at `place`; it may be the last thing that it does."""
        with self._lock:
            self.seen.append(place)
            self.kinds[place] = kind or place
            if self._kill in (place, f"#{len(self.seen)}"):
                if self._will is not None:
                    self._will.write_text(place)
                os.kill(os.getpid(), signal.SIGKILL)
            if self._stop == place:
                os.kill(os.getpid(), signal.SIGSTOP)

    def reach_again(self, place: str) -> None:
        """A place that a process comes by more than once: each time has its number."""
        with self._lock:
            self._counts[place] += 1
            number = self._counts[place]
        self.reach(f"{place} {number}", place.partition(" ")[2])


def watch_appends(points: Points) -> None:
    """Make places of every event in this process: before it is queued, and when it is on disk but nobody knows."""
    events: dict[Submission, list[tuple[str, str]]] = {}
    streams: dict[str, str] = {}
    named: Counter[str] = Counter()
    submit: Callable[[GroupCommit, Submission], None] = GroupCommit.submit

    def name_of(stream: str) -> str:
        # Ids differ from run to run, the order in which a category's streams begin does not.
        if stream not in streams:
            category = stream.partition("-")[0]
            named[category] += 1
            streams[stream] = f"{category} {named[category]}"
        return streams[stream]

    def submit_here(self: GroupCommit, submission: Submission) -> None:
        events[submission] = [
            (f"event {version} of {name_of(stream)}", type) for stream, version, type, _ in submission.rows
        ]
        for event, type in events[submission]:
            points.reach(f"before {event}", type)
        submit(self, submission)

    def watch_commits(store: Any) -> None:
        commit: Callable[[Any, Sequence[Submission]], int] = store.commit

        def commit_here(self: Any, batch: Sequence[Submission]) -> int:
            position = commit(self, batch)
            for submission in batch:
                for event, type in events.pop(submission):
                    points.reach(f"after {event}", type)
            return position

        store.commit = commit_here

    GroupCommit.submit = submit_here  # type: ignore[method-assign]
    watch_commits(SqliteStore)
    watch_commits(PostgresStore)
