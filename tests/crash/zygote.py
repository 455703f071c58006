"""A process that has imported everything and forks a child for each life of a program: a start takes milliseconds.

It lives one life itself, which loads whatever a life loads, and is left without a thread or an event loop: what it
forks begins as clean as a new interpreter. It reads one JSON request a line and answers one line each:

    {"start": {…a Life…}}              → {"pid": 4711}
    {"wait": 4711, "kill_after_s": s}  → {"status": what waitpid says, "stopped": whether it only stopped}

Every child has an alarm: none lives longer than `LIFE_LIMIT_S`.
"""

import asyncio
import gc
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import NoReturn

import msgspec

from .children import Life
from .ledger import Ledger
from .lives import begin
from .points import Points
from .programs import LEDGER, World, live, programs

LIFE_LIMIT_S = 60


class Request(msgspec.Struct):
    """A line of standard input."""

    start: Life | None = None
    wait: int = 0
    kill_after_s: float | None = None


def serve() -> None:
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=Request)
        answer = start(request.start) if request.start is not None else wait(request.wait, request.kill_after_s)
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


def start(life: Life) -> dict[str, int]:
    pid = os.fork()
    if pid == 0:
        run(life)
    return {"pid": pid}


def wait(pid: int, kill_after_s: float | None) -> dict[str, int | bool]:
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(pid, signal.SIGKILL)  # it is ours and not waited for, so the number is still its own
    _, status = os.waitpid(pid, os.WUNTRACED)
    return {"status": status, "stopped": os.WIFSTOPPED(status)}


def run(life: Life) -> NoReturn:
    signal.alarm(LIFE_LIMIT_S)
    log = os.open(Path(life.directory) / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        asyncio.run(begin(life))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)


def warm_up() -> None:
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name), Ledger(Path(name) / LEDGER), Points())
        asyncio.run(live(programs()["parallel"], world))
        asyncio.run(live(programs()["delegation"], world))
    if threading.active_count() > 1:
        raise RuntimeError(f"a process with threads cannot fork: {threading.enumerate()}")
    gc.freeze()  # what is shared stays shared: no child's collector writes to it


if __name__ == "__main__":
    warm_up()
    serve()
