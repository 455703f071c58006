"""The story: a desk that works, a host that is killed twice, and nothing that is lost or done twice."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from rich.console import Console

from .children import Child, DidNotHold, host, producer, watcher
from .display import Display
from .picture import Picture
from .place import HOST, Place

OPEN_AT_A_KILL = 3
"""How many runs are to be open when the host is killed."""


@dataclass
class Kill:
    """One death of the host.

    Attributes:
        open_runs: What the watcher had seen begin and not end.
        observed: Signals that the producer had for the desk while the host was dead.
    """

    pid: int
    during: str
    open_runs: list[str]
    observed: set[str] = field(default_factory=set[str])


class Demo:
    """Runs the desk in a place, and kills its host.

    Every wait has a deadline; a process that ends by itself ends the demonstration.
    """

    def __init__(self, place: Place, console: Console) -> None:
        self.place = place
        self.picture = Picture(place)
        self.kills: list[Kill] = []
        self.codes: dict[str, int] = {}
        self._host = host(place)
        self._producer = producer(place)
        self._watcher = watcher(place)
        self._children: list[Child] = []
        self._display = Display(console, self)

    @property
    def host_pid(self) -> int:
        """0 while it is dead."""
        return self._host.pid

    def run(self) -> None:
        """From the first start to the last signal's run.

        Raises:
            DidNotHold: Something did not come in time, or a process ended by itself.
        """
        with self._display, self._ended_at_last():
            self._start(self._host)
            self._wait("the host to come up", self._up, 15)
            self._start(self._watcher)
            self._start(self._producer)
            self._kill_when("a page is on its way", lambda: self.picture.page_in_flight(self._host.pid))
            self._kill_when("the prober measures", lambda: len(self.picture.calling("cpu_time")) >= 2)
            self._end(self._producer, 10)
            self._wait("a run for every signal", lambda: self.picture.handled >= len(self.picture.accepted), 20)
            self._end(self._watcher, 12)
            self._end(self._host, 12)

    def _kill_when(self, during: str, condition: Callable[[], bool]) -> None:
        """Kill the host in the middle of something, let the producer see that it is gone, and start it again."""
        picture, handled = self.picture, self.picture.handled
        self._wait(
            f"a moment when {during}",
            # Runs that have ended since the last start show that the desk is at work again.
            lambda: len(picture.open) >= OPEN_AT_A_KILL and picture.handled > handled + 3 and condition(),
            20,
        )
        kill = Kill(self._host.pid, during, [run.run_id for run in picture.open])
        self._children.remove(self._host)
        self._host.kill()
        before = set(picture.observed)
        self.kills.append(kill)
        self._wait("signals while the host is dead", lambda: len(picture.observed - before) >= 2, 10)
        kill.observed = picture.observed - before
        self._start(self._host)
        self._wait("the host to come up again", self._up, 15)

    def _start(self, child: Child) -> None:
        child.start()
        self._children.append(child)

    def _end(self, child: Child, within_s: float) -> None:
        self._display.doing(f"the {child.name} to end")
        self._children.remove(child)
        self.codes[child.name] = child.end(within_s)
        self.picture.update()

    def _wait(self, what: str, condition: Callable[[], bool], within_s: float) -> None:
        self._display.doing(what)
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                raise DidNotHold(f"waited {within_s:g} s for {what}, in vain; the logs are in {self.place.directory}")
            for child in self._children:
                child.check()
            time.sleep(0.02)
            self.picture.update()
            self._display.refresh()

    def _up(self) -> bool:
        """`treadle up` has said that it is ready, as often as it was started."""
        return self._host.log.read_text("utf-8").count('{"ready":') > len(self.kills)

    @contextlib.contextmanager
    def _ended_at_last(self) -> Generator[None]:
        try:
            yield
        finally:
            # Ctrl-C comes twice from an impatient person; the second must not leave a process behind.
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            for child in self._children:
                child.kill()
            signal.signal(signal.SIGINT, before)


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on now."""
    with socket.create_server((HOST, 0)) as one, socket.create_server((HOST, 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
