"""Tells systemd how a service stands (sd_notify(3)): ready, stopping, and again and again that it lives.

A datagram to the socket that systemd names; without one, nothing happens.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping

from ...events.logs import get_logger

_log = get_logger("treadle.health")


class Notifier:
    """What systemd is told by one service.

    Args:
        environ: Where systemd says that it listens: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._path = f"\0{path[1:]}" if path.startswith("@") else path
        ours = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.watchdog_s = int(environ.get("WATCHDOG_USEC", "0")) / 1e6 if ours and self._path else 0.0
        """After how many seconds of silence systemd ends the service; 0 when it does not."""

    def tell(self, *lines: str) -> None:
        """`READY=1`, `STATUS=…`. What cannot be told is logged: systemd's time-outs act then."""
        if not self._path:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto("\n".join(lines).encode(), self._path)
        except OSError as exc:
            _log.warning("systemd was not told %s: %s", lines[0], exc)

    async def watch(self, trouble: Callable[[], str]) -> None:
        """Say for ever that the service lives, twice as often as has to be, while there is no `trouble`."""
        if not self.watchdog_s:
            return
        while True:
            if why := trouble():
                self.tell(f"STATUS=not well: {why}")
            else:
                self.tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / 2)
