"""The harness's side of the zygote: starts lives, waits for them, reads what they left."""

import signal
import subprocess
import sys
from os import WIFSIGNALED, WTERMSIG, waitstatus_to_exitcode
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

TESTS = Path(__file__).parents[1]
DIED_AT = "died-at"


class Life(msgspec.Struct, kw_only=True):
    """One process on a journal.

    Attributes:
        kill: The place where it dies (see `points.py`); it leaves the place's name in the file `DIED_AT`.
        stop: The place where it stops by itself, until it gets a SIGCONT.
        user: Whose conversation it is.
        nats: The server, for the program that takes signals from it.
        resume: It begins by resuming, as whoever comes after a crash does.
        barrier: With `together` processes that name the same barrier it begins at the same moment.
    """

    program: str
    directory: str
    name: str = "1"
    kill: str = ""
    stop: str = ""
    user: str = "alice"
    nats: str = ""
    resume: bool = False
    barrier: str = ""
    together: int = 1


class Report(msgspec.Struct, kw_only=True):
    """What a life that was not cut short came to.

    Attributes:
        places: Where it might have been killed.
        kinds: What happens at each of them.
    """

    answers: list[str] = []
    refused: str = ""
    places: list[str] = []
    kinds: dict[str, str] = {}


class Died(AssertionError):
    """A child ended otherwise than it should; the message has its log."""


class Children:
    """A zygote and its children."""

    def __init__(self) -> None:
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "crash.zygote"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=TESTS
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        self._zygote.stdin.close()
        self._zygote.wait(timeout=10)
        self._zygote.stdout.close()

    def _request(self, **request: Any) -> dict[str, Any]:
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        self._zygote.stdin.write(msgspec.json.encode(request) + b"\n")
        self._zygote.stdin.flush()
        line = self._zygote.stdout.readline()
        if not line:
            raise Died("the zygote has died; what it said is on standard error")
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer

    def start(self, life: Life) -> int:
        """Begin a life; its process id."""
        pid: int = self._request(start=life)["pid"]
        return pid

    def wait(self, pid: int, kill_after_s: float | None = None) -> int:
        """Wait until it has ended, or stopped by itself; its wait status."""
        status: int = self._request(wait=pid, kill_after_s=kill_after_s)["status"]
        return status

    def live(self, life: Life) -> Report:
        """A whole life, to its end.

        Raises:
            Died: It did not get there.
        """
        return self.report(life, self.wait(self.start(life)))

    def report(self, life: Life, status: int) -> Report:
        directory = Path(life.directory)
        if status != 0:
            log = (directory / "log").read_text()
            raise Died(f"a life of {life.program!r} in {directory} ended with {waitstatus_to_exitcode(status)}:\n{log}")
        return msgspec.json.decode((directory / f"report-{life.name}").read_bytes(), type=Report)

    def die(self, life: Life, kill_after_s: float | None = None) -> bool:
        """A life that is to be killed; False when it came to its end before.

        Raises:
            Died: It ended in a third way.
        """
        status = self.wait(self.start(life), kill_after_s)
        if WIFSIGNALED(status) and WTERMSIG(status) == signal.SIGKILL:
            return True
        self.report(life, status)
        return False
