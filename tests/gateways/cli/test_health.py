"""`treadle health` and what systemd hears, with a system as a process."""

import json
import signal
import socket
import tempfile
import urllib.request
from pathlib import Path

import pytest
from shell import DEADLINE_S, Shell


def test_a_system_that_runs_is_alive_and_ready(shell: Shell) -> None:
    shell.up()
    assert shell.run("health").stdout == "ready\n"
    [told] = shell.lines("health", "--ready")
    assert told == {"healthy": True, "ready": True, "troubles": []}


def test_where_no_system_runs_nothing_is_alive(shell: Shell) -> None:
    assert "no system runs in" in shell.run("health", code=1).stderr
    up = shell.up()
    up.kill()
    assert f"(process {up.process.pid}) is dead" in shell.run("health", code=1).stderr


def test_a_process_that_stands_still_is_not_alive(shell: Shell) -> None:
    up = shell.up()
    up.process.send_signal(signal.SIGSTOP)
    try:
        told = shell.run("health", "--timeout", "0.3", code=1)
        assert "does not answer" in told.stdout
    finally:
        up.process.send_signal(signal.SIGCONT)
    assert shell.run("health", "--ready").stdout == "ready\n"


def test_health_is_served_where_it_was_asked_to(shell: Shell) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    up = shell.up("--health", address)
    assert up.ready["health"] == f"http://{address}"
    with urllib.request.urlopen(f"http://{address}/readyz", timeout=DEADLINE_S) as answer:
        assert json.load(answer)["ready"] is True
    assert shell.run("health", "--url", f"http://{address}").stdout == "ready\n"
    assert "is no URL" in shell.run("health", "--url", address, code=1).stderr


def test_an_address_that_cannot_be_served_on_is_named_before_anything_starts(shell: Shell) -> None:
    refused = shell.run("up", "--nats-port", "0", "--health", "8080", code=1)
    assert refused.stderr.startswith("error: '8080' is no address to serve health on")


def test_systemd_hears_that_it_is_ready_lives_and_stops(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        path = str(Path(directory) / "notify")
        systemd.bind(path)
        systemd.settimeout(DEADLINE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        up = shell.up()
        assert systemd.recv(4096).startswith(b"READY=1\nSTATUS=desk, ops on nats://")
        assert systemd.recv(4096) == b"WATCHDOG=1"
        assert up.stop()[0] == 0
        heard = b""
        while heard != b"STOPPING=1":
            assert heard in (b"", b"WATCHDOG=1")
            heard = systemd.recv(4096)
