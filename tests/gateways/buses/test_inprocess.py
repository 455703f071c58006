"""The bus in memory keeps the contract, and what only it promises."""

import asyncio

import pytest
from contracts.bus import BusContract, take
from waiting import DEADLINE_S

from treadle.events.errors import Unavailable
from treadle.events.subjects import Subjects
from treadle.gateways.buses.inprocess import InProcessBus


class TestInProcessBus(BusContract):
    @pytest.fixture
    def bus(self) -> InProcessBus:
        return InProcessBus()

    @pytest.fixture
    def small_bus(self) -> InProcessBus:
        return InProcessBus(listener_limit=8)

    @pytest.fixture
    def subjects(self) -> Subjects:
        return Subjects()


async def test_a_full_queue_refuses_and_forgets_the_id() -> None:
    bus, subject = InProcessBus(queue_limit=1), Subjects().signal("alice", "support", "conv-42")
    await bus.enqueue(subject, b"", "signal-1")
    with pytest.raises(Unavailable, match="1 messages are waiting"):
        await bus.enqueue(subject, b"", "signal-2")
    async with bus.consume("support", subject) as deliveries:
        [delivery] = await take(deliveries)
        await delivery.ack()
        assert await bus.enqueue(subject, b"", "signal-2")


async def test_an_id_is_forgotten_after_the_window() -> None:
    bus, subject = InProcessBus(duplicate_window_s=0.05), Subjects().signal("alice", "support", "conv-42")
    assert await bus.enqueue(subject, b"", "signal-1")
    async with asyncio.timeout(DEADLINE_S):
        while not await bus.enqueue(subject, b"", "signal-1"):  # noqa: ASYNC110 - time is what is waited for
            await asyncio.sleep(0.01)


async def test_a_busy_service_answers_that_it_is_busy() -> None:
    bus, subject = InProcessBus(serving_limit=1), Subjects().ask("run")
    started, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_: object) -> bytes:
        started.set()
        await go_on.wait()
        return b"done"

    async with bus.serve(subject, wait):
        first = asyncio.create_task(bus.request(subject, b"", 5))
        await started.wait()
        second = await bus.request(subject, b"", 5)
        assert second.headers["Treadle-Error"] == "Unavailable"
        go_on.set()
        assert (await first).data == b"done"


async def test_closing_leaves_no_timer_behind() -> None:
    bus, subject = InProcessBus(), Subjects().signal("alice", "support", "conv-42")
    await bus.enqueue(subject, b"")
    async with bus.consume("support", subject, ack_wait_s=0.05) as deliveries:
        await take(deliveries)
        await bus.close()
        with pytest.raises(StopAsyncIteration):
            await take(deliveries)
