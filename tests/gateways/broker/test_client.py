"""The repairs of nats-py: each test fails, or hangs, with the plain client."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from nats import errors
from nats.aio.client import Server
from nats.aio.msg import Msg
from waiting import DEADLINE_S, until

from treadle.gateways.broker.client import Client, back_off
from treadle.gateways.broker.server import EmbeddedServer


async def ignore(error: Exception) -> None: ...


@pytest.fixture
async def client(nats_server: EmbeddedServer) -> AsyncIterator[Client]:
    client = Client()
    await client.connect(nats_server.url.split(","), error_cb=ignore, reconnect_to_server_handler=back_off)
    yield client
    await client.close()


async def reconnected(client: Client, times: int = 1) -> None:
    await until(lambda: client.stats["reconnects"] >= times and client.is_connected)


async def test_a_complaint_of_the_server_does_not_close_the_client_for_good(client: Client) -> None:
    await cast(Any, client)._send_command(b"NONSENSE\r\n")
    await cast(Any, client)._flush_pending()
    await reconnected(client)
    assert await client.rtt() > 0


async def test_a_read_loop_that_dies_is_noticed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ValueError("an acknowledgement subject of a new form")

    with monkeypatch.context() as patch:
        patch.setattr(client, "_process_pong", fail)
        with pytest.raises(errors.TimeoutError):
            await client.rtt(timeout=cast(int, 0.2))
    await reconnected(client)
    assert await client.rtt() > 0


async def test_a_ping_whose_waiter_gave_up_does_not_kill_the_read_loop(client: Client) -> None:
    flushing = asyncio.create_task(client.flush())
    await asyncio.sleep(0)  # the ping is under way
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    for _ in range(3):
        assert await client.rtt() > 0
    assert client.stats["reconnects"] == 0


async def test_requests_under_way_end_when_they_are_failed(client: Client) -> None:
    async def never(_: object) -> None: ...

    await client.listen("ask", never)
    asking = asyncio.create_task(client.request("ask", b"", timeout=60))
    await until(lambda: bool(vars(client)["_resp_map"]))
    async with asyncio.timeout(DEADLINE_S):
        client.fail_requests(errors.ConnectionReconnectingError())
        with pytest.raises(errors.ConnectionReconnectingError):
            await asking


async def test_a_request_that_is_cancelled_as_its_answer_comes_is_cancelled(client: Client) -> None:
    async def never(_: object) -> None: ...

    await client.listen("ask", never)
    asking = asyncio.create_task(client.request("ask", b"", timeout=60))
    await until(lambda: bool(vars(client)["_resp_map"]))
    [waiting] = vars(client)["_resp_map"].values()
    waiting.set_result(Msg(client, "inbox"))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_who_is_cancelled_while_the_socket_is_full_does_not_go_on(tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path) as server:
        assert server.pid is not None
        client = Client()
        await client.connect(server.url, error_cb=ignore, flush_timeout=60)
        published = 0

        async def publish() -> None:
            nonlocal published
            while True:
                await client.publish("x", b"x" * 1_000_000)
                published += 1

        os.kill(server.pid, signal.SIGSTOP)
        try:
            publishing = asyncio.create_task(publish())
            socket = vars(client)["_transport"]._io_writer.transport
            await until(lambda: socket.get_write_buffer_size() > 0)
            before = published
            publishing.cancel()
            await asyncio.wait((publishing,), timeout=DEADLINE_S)
            assert publishing.cancelled()
            assert published == before
        finally:
            os.kill(server.pid, signal.SIGCONT)
            await client.close()


async def test_a_server_that_stops_reading_is_left_for_another_one(tmp_path: Path) -> None:
    """With more under way than the socket takes, and in less than a second: it is not tried first again."""
    async with EmbeddedServer(tmp_path / "one") as one, EmbeddedServer(tmp_path / "two") as two:
        assert one.pid is not None
        client = Client()
        await client.connect(
            [one.url, two.url],
            dont_randomize=True,
            error_cb=ignore,
            reconnect_to_server_handler=back_off,
            ping_interval=cast(int, 0.05),
            max_outstanding_pings=1,
            flush_timeout=0.05,
        )
        os.kill(one.pid, signal.SIGSTOP)
        try:
            while not client.is_reconnecting:
                await client.publish("x", b"x" * 1_000_000)
            async with asyncio.timeout(1):
                await reconnected(client)
            assert client.connected_url is not None
            assert client.connected_url.port == two.port
        finally:
            os.kill(one.pid, signal.SIGCONT)
            await client.close()


async def test_what_is_pushed_is_in_the_socket_before_the_loop_turns(client: Client) -> None:
    published = cast(Any, client)._transport.writelines
    written: list[bytes] = []

    def write(lines: list[bytes]) -> None:
        written.extend(lines)
        published(lines)

    cast(Any, client)._transport.writelines = write
    listening = await cast(Any, client).subscribe("pushed")
    await client.flush()
    written.clear()
    await client.publish("pushed", b"one")
    client.push()
    assert b"".join(written).endswith(b"one\r\n")
    await client.publish("pushed", b"x" * 100_000)
    client.push()  # too much for a socket perhaps: left to the flusher, in its order
    await client.publish("pushed", b"three")
    client.push()
    received = [(await listening.next_msg(timeout=DEADLINE_S)).data for _ in range(3)]
    assert [len(data) for data in received] == [3, 100_000, 5]


def test_the_pause_before_a_reconnect_grows_to_a_bound() -> None:
    delays = [back_off([Server(uri=cast(Any, None), reconnects=failures)], {})[1] for failures in range(40)]
    assert 0 < delays[0] <= 0.05
    assert all(2.5 <= delay <= 5 for delay in delays[8:])


def test_the_server_that_failed_least_is_tried_first() -> None:
    tired, fresh = (Server(uri=cast(Any, None), reconnects=failures) for failures in (3, 1))
    assert back_off([tired, fresh], {})[0] is fresh


async def test_a_client_with_something_to_say_closes_after_its_server_died(tmp_path: Path) -> None:
    server, client = EmbeddedServer(tmp_path / "nats"), Client()
    await server.start()
    await client.connect(server.url, error_cb=ignore, reconnect_to_server_handler=back_off)
    await server.kill()
    await until(lambda: client.is_reconnecting)
    await client.publish("x", b"kept for the next connection")
    await client.close()
    assert client.is_closed
    await server.stop()
