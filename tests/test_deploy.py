"""The files to deploy with, `docs/deploy/`: they are well formed, and what they start works."""

import configparser
import json
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from compose import DEADLINE_S, FILE, Compose
from shell import Shell
from waiting import until

from treadle.gateways.broker.streams import STREAMS
from treadle.gateways.buses.nats import NatsBus

DEPLOY = FILE.parent


def test_the_compose_file_is_one() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(check, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(180)
async def test_three_nodes_of_the_compose_file_work_together_and_outlive_a_server(
    tmp_path: Path, postgres_url: str
) -> None:
    with Compose(tmp_path, postgres_url) as compose:
        for prefix in ("nats-", "node-"):
            for service in compose.names(prefix):
                compose.start(service)
            for service in compose.names(prefix):
                compose.wait(service)

        def nodes() -> dict[str, Any]:
            told: dict[str, Any] = json.loads(compose.treadle("nodes", "--json"))
            return told

        found = nodes()
        assert found["answered"] == 3
        assert found["warnings"] == []
        assert {node["status"]["journal"] for node in found["nodes"]} == set(found["journals"])
        compose.treadle("signal", "desk", "Is db-1 healthy?", "--session", "night", "--wait")

        async with await NatsBus.connect(compose.url("nats-2")) as bus:
            configs = [await bus.jetstream.stream_config(kind.upper()) for kind in STREAMS]
        assert [config["num_replicas"] for config in configs if config is not None] == [3] * len(STREAMS)
        assert compose.stop("nats-1") == 0
        await until(lambda: compose.is_well("node-1"), DEADLINE_S)
        compose.treadle("signal", "desk", "And now?", "--session", "night", "--wait")

        compose.signal("node-2", signal.SIGSTOP)
        assert nodes()["answered"] == 2
        compose.signal("node-2", signal.SIGCONT)
        await until(lambda: nodes()["answered"] == 3, DEADLINE_S)

        assert compose.stop("node-3") == 0
        found = nodes()
        assert found["answered"] == 2
        assert not any(node["status"]["signals_running"] for node in found["nodes"])


def test_the_unit_starts_a_system_that_tells_systemd_when_it_is_ready(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = configparser.RawConfigParser(strict=False, comment_prefixes="#")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "treadle.service")
    service = unit["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert (Path(program).name, service["Type"]) == ("treadle", "notify")
    here = {
        "/etc/treadle/agents.toml": "agents.toml",
        "nats://127.0.0.1:4222": "embedded",
        "/var/lib/treadle": ".treadle",
        "127.0.0.1:8080": "127.0.0.1:0",
    }
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        path = str(Path(directory) / "notify")
        systemd.bind(path)
        systemd.settimeout(DEADLINE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", f"{service['WatchdogSec']}000000")
        process = shell.start(*(here.get(word, word) for word in words), "--nats-port", "0")
        try:
            assert systemd.recv(4096).startswith(b"READY=1\n")
        finally:
            process.terminate()
            process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)
