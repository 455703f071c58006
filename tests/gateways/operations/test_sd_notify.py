"""What systemd hears, by a socket in its place."""

import asyncio
import socket
import tempfile
from collections.abc import Iterator

import pytest

from treadle.gateways.operations.sd_notify import Notifier


class Systemd:
    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.setblocking(False)
        self.path = path

    async def hears(self) -> list[str]:
        async with asyncio.timeout(20):
            return (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode().split("\n")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    with tempfile.TemporaryDirectory() as directory:  # a socket's path is short
        systemd = Systemd(f"{directory}/notify")
        yield systemd
        systemd.close()


async def test_lines_come_as_one_datagram(systemd: Systemd) -> None:
    Notifier({"NOTIFY_SOCKET": systemd.path}).tell("READY=1", "STATUS=desk")
    assert await systemd.hears() == ["READY=1", "STATUS=desk"]


async def test_the_watchdog_hears_that_it_lives_until_there_is_trouble(systemd: Systemd) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "20000"})
    troubles = iter(["", "", "the relay has ended"])
    watching = asyncio.create_task(notifier.watch(lambda: next(troubles, "the relay has ended")))
    assert [await systemd.hears() for _ in range(3)] == [
        ["WATCHDOG=1"], ["WATCHDOG=1"], ["STATUS=not well: the relay has ended"],
    ]  # fmt: skip
    watching.cancel()


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "1000"}, {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}],
)
async def test_nobody_who_listens_for_us_is_no_watchdog(environ: dict[str, str]) -> None:
    async with asyncio.timeout(20):
        await Notifier(environ).watch(lambda: "")


def test_a_socket_that_has_gone_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    Notifier({"NOTIFY_SOCKET": "/nowhere/notify"}).tell("READY=1")
    assert "systemd was not told READY=1" in caplog.text


async def test_an_abstract_socket_is_reached(tmp_path: object) -> None:
    systemd = Systemd(f"\0treadle-{id(tmp_path)}")
    Notifier({"NOTIFY_SOCKET": "@" + systemd.path[1:]}).tell("STOPPING=1")
    assert await systemd.hears() == ["STOPPING=1"]
    systemd.close()
