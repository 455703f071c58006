"""The world outside: a file that knows what the tools did to it, whatever the journal says.

Every tool notes here that it was executed, and the pager keeps its pages here: one line of JSON each, on the disk
before it counts. After a crash this file tells what happened and how often; nothing of Treadle reads or writes it.
"""

import fcntl
import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from treadle import current_call

from .place import here


def note_execution() -> None:
    """The tool that calls this is being executed, in this process."""
    with _locked(here().ledger) as file:
        _append(file, "executed")


def page_once(urgency: str, text: str) -> bool:
    """Page the on-call person, once for each call id; whether this was the time.

    The pager's own memory of call ids is what makes the tool idempotent, as an idempotency key does with any such
    service.
    """
    call = current_call()
    with _locked(here().ledger) as file:
        known = any(entry["what"] == "paged" and entry["call_id"] == call.call_id for entry in map(json.loads, file))
        if not known:
            _append(file, "paged", urgency=urgency, text=text)
    return not known


def _append(file: IO[str], what: str, **more: str) -> None:
    call = current_call()
    entry: dict[str, Any] = {
        "what": what,
        "tool": call.tool,
        "call_id": call.call_id,
        "attempt": call.attempt,
        "run_id": call.run_id,
        "pid": os.getpid(),
        "at": time.time(),
        **more,
    }
    file.write(json.dumps(entry) + "\n")
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _locked(path: Path) -> Generator[IO[str]]:
    """The ledger, from its beginning, for one writer at a time in all processes."""
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file
