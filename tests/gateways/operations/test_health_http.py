"""Health over HTTP: two paths, and clients that do not behave."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from treadle import ConfigError
from treadle.gateways.operations import health_http
from treadle.gateways.operations.health import Health, Trouble
from treadle.gateways.operations.health_http import CONNECTIONS, HealthServer, parse_address


class Patient:
    """What is served: as well as the test says."""

    def __init__(self) -> None:
        self.health = Health(True, True)

    async def look(self) -> Health:
        return self.health


@pytest.fixture
def patient() -> Patient:
    return Patient()


@pytest.fixture
async def server(patient: Patient) -> AsyncGenerator[HealthServer]:
    async with HealthServer("127.0.0.1:0", patient.look) as server:
        yield server


async def connect(server: HealthServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*parse_address(server.url.removeprefix("http://")))


async def sent(server: HealthServer, request: bytes) -> bytes:
    reader, writer = await connect(server)
    writer.write(request)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


async def get(server: HealthServer, path: str) -> tuple[int, Any]:
    answer = await sent(server, f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    return int(head.split()[1]), json.loads(body)


async def test_each_path_has_its_own_answer(server: HealthServer, patient: Patient) -> None:
    assert await get(server, "/healthz") == (200, {"healthy": True, "ready": True, "troubles": []})
    assert (await get(server, "/readyz"))[0] == 200
    patient.health = Health(True, False, (Trouble("broker", "it has gone"),))
    reason = {"healthy": True, "ready": False, "troubles": [{"what": "broker", "why": "it has gone"}]}
    assert await get(server, "/healthz") == (200, reason)
    assert await get(server, "/readyz?verbose=1") == (503, reason)
    patient.health = Health(False, False)
    assert (await get(server, "/healthz"))[0] == 503


async def test_other_paths_and_methods_are_refused_and_head_has_no_body(server: HealthServer) -> None:
    assert (await get(server, "/metrics"))[0] == 404
    assert (await sent(server, b"POST /readyz HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
    assert (await sent(server, b"HEAD /readyz HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "request_", [b"\r\n\r\n", b"\xff\xfe\r\n\r\n", b"GET\r\n\r\n", b"GET /readyz" * 2000, b"GET /"]
)
async def test_what_is_no_request_harms_nobody(server: HealthServer, request_: bytes) -> None:
    _, writer = await connect(server)
    writer.write(request_)
    writer.write_eof()
    assert (await get(server, "/readyz"))[0] == 200
    writer.close()


async def test_clients_that_say_nothing_are_left_and_do_not_keep_others_out(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_http, "PATIENCE_S", 0.2)
    silent = [await connect(server) for _ in range(CONNECTIONS)]
    async with asyncio.timeout(20):
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()
    assert (await get(server, "/readyz"))[0] == 200


async def test_closing_does_not_wait_for_a_client_that_says_nothing(patient: Patient) -> None:
    async with asyncio.timeout(4):
        async with HealthServer("127.0.0.1:0", patient.look) as server:
            reader, writer = await connect(server)
            assert (await get(server, "/readyz"))[0] == 200
        assert await reader.read() == b""
        writer.close()


async def test_an_address_that_is_taken_is_named(server: HealthServer, patient: Patient) -> None:
    with pytest.raises(ConfigError, match=r"health cannot be served on 127.0.0.1:\d+"):
        async with HealthServer(server.url.removeprefix("http://"), patient.look):
            pass


@pytest.mark.parametrize(
    ("address", "parsed"), [("0.0.0.0:8080", ("0.0.0.0", 8080)), ("[::1]:1", ("::1", 1)), ("node-1:0", ("node-1", 0))]
)
def test_an_address_is_a_host_and_a_port(address: str, parsed: tuple[str, int]) -> None:
    assert parse_address(address) == parsed


@pytest.mark.parametrize("address", ["", "8080", ":8080", "here:", "here:http", "here:65536", "here:²"])
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(ConfigError, match="is no address to serve health on"):
        parse_address(address)
