"""Archives journals and is killed while it does: `python -m archiving_killed`, with the lives to lead on stdin.

Each life is led by a fork, so that Python starts once for all of them.
"""

import asyncio
import gzip
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from archiving import archive_all

STEPS = ("locked", "begun", "written", "verified", "named", "moved", "swept")
"""Places to die at: after these steps of the archiver."""

INSIDE = ("the second block", "the first fsync", "the rename", "the commit")
"""And before these."""


class Life(msgspec.Struct):
    """One process: which journal it archives, where to, and where it is killed."""

    spec: str
    into: str
    place: str


def main() -> None:
    lives = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Life])
    deaths: list[bool] = []
    for life in lives:
        pid = os.fork()
        if pid == 0:
            try:
                lead(life)
            finally:
                os._exit(3)
        status = os.waitpid(pid, 0)[1]
        deaths.append(os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL)
    sys.stdout.buffer.write(msgspec.json.encode(deaths))


def lead(life: Life) -> None:
    def die(*_: object, **__: object) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    def told(step: str) -> None:
        if step == life.place:
            die()

    match life.place:
        case "the second block":
            gzip.compress = _second(gzip.compress, die)
        case "the first fsync":
            os.fsync = die
        case "the rename":
            Path.rename = die  # type: ignore[method-assign]
        case "the commit":
            # The last statement before it.
            from psycopg.sql import SQL

            from treadle.gateways.archives import postgres, sqlite

            class Last(SQL):
                def as_bytes(self, context: object = None) -> bytes:
                    raise AssertionError(die())

            setattr(postgres, "COUNT_ARCHIVING", Last(""))  # noqa: B010 - a checker would call it final
            setattr(sqlite, "COUNT_ARCHIVING", "SELECT die()")  # noqa: B010
            _teach(sqlite.SqliteStore, die)
        case _:
            pass  # after a step
    asyncio.run(archive_all(life.spec, Path(life.into), file_bytes=200_000, told=told))


def _second(function: Callable[..., Any], then: Callable[[], Any]) -> Callable[..., Any]:
    calls: list[int] = []

    def called(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return function(*args, **options) if len(calls) < 2 else then()

    return called


def _teach(store: Any, die: Callable[..., Any]) -> None:
    prepare = store.prepare

    def prepared(self: Any) -> None:
        prepare(self)
        self._connection.create_function("die", 0, die)

    store.prepare = prepared


if __name__ == "__main__":
    main()
