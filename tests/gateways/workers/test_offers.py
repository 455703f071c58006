"""The worker's side by itself: what it begins, and what it does not begin any more."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hosting import namespace, outsider
from waiting import until

from treadle import CallContext, ConfigError, Tool, Unavailable, Worker, tool
from treadle.actors.clock import SystemClock
from treadle.actors.threads import ToolThreads
from treadle.events.bus import answer
from treadle.events.envelope import Meta
from treadle.events.errors import Undecodable
from treadle.events.subjects import Subjects
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.buses.inprocess import InProcessBus
from treadle.gateways.journals import open_journal
from treadle.gateways.workers import offers as offering
from treadle.gateways.workers import wire
from treadle.gateways.workers.offers import Offers
from treadle.gateways.workers.wire import LEASE_S, Asked, Cancel, Go, Look, Order, Standing, Taken


class MovedClock(SystemClock):
    """Time that only the test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class Bench:
    """A worker's offers on a bus in this process, and a caller that says one thing at a time."""

    def __init__(self) -> None:
        self.bus = InProcessBus()
        self.subjects = Subjects()
        self.clock = MovedClock()
        self.threads = ToolThreads()
        self.begun: list[int] = []
        self.gate = asyncio.Event()
        self.made: list[Offers] = []

        @tool
        async def charge(amount: int) -> str:
            self.begun.append(amount)
            await self.gate.wait()
            return f"charged {amount}"

        self.tool: Tool = charge

    async def offers(self, **options: Any) -> Offers:
        made = Offers(self.bus, self.subjects, self.clock, self.threads, **options)
        await made.add(self.tool)
        await made.start()
        self.made.append(made)
        return made

    async def take(self, call_id: str = "c_1_0", attempt: int = 1, user: str = "alice", **args: Any) -> Taken:
        call = CallContext(call_id, attempt, "charge", "c", "s", user, "desk")
        asked = Asked(call, args or {"amount": 7}, Meta(user_id="alice"))
        subject = self.subjects.tool_call("charge", "alice")
        reply = await self.bus.request(subject, msgspec.json.encode(asked), 5)
        return msgspec.json.decode(answer(reply), type=Taken)

    async def say(self, worker: str, order: Order) -> Standing:
        reply = await self.bus.request(self.subjects.tool_on("charge", worker), msgspec.json.encode(order), 5)
        return msgspec.json.decode(answer(reply), type=Standing)

    async def end(self, worker: str, order: Order) -> Standing:
        """Say it until the call has ended."""
        async with asyncio.timeout(20):
            while (standing := await self.say(worker, order)).state == "running":
                pass
        return standing

    async def close(self) -> None:
        self.gate.set()
        for made in self.made:
            await made.close()
        await self.threads.close()
        await self.bus.close()


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    for module, name in ((wire, "FIRST_POLL_S"), (wire, "POLL_S"), (offering, "LINGER_S")):
        monkeypatch.setattr(module, name, 0.01)
    made = Bench()
    yield made
    await made.close()


async def test_a_call_that_was_taken_begins_when_it_is_told_to_and_not_before(bench: Bench) -> None:
    await bench.offers()
    taken = await bench.take()
    assert bench.begun == []
    assert (await bench.say(taken.worker, Go("c_1_0", 1))).state == "running"
    assert bench.begun == [7]
    bench.gate.set()
    standing = await bench.say(taken.worker, Look("c_1_0", 1))
    assert standing.ended is not None
    assert (standing.state, standing.ended.output) == ("ended", "charged 7")


async def test_a_worker_told_twice_begins_once(bench: Bench) -> None:
    await bench.offers()
    taken = await bench.take()
    await asyncio.gather(*(bench.say(taken.worker, Go("c_1_0", 1)) for _ in range(5)))
    await bench.take()
    assert (await bench.say(taken.worker, Go("c_1_0", 1))).state == "running"
    assert bench.begun == [7]


async def test_a_worker_that_slept_over_its_lease_begins_nothing(bench: Bench) -> None:
    await bench.offers()
    taken = await bench.take()
    bench.clock.seconds += LEASE_S + 0.001
    standing = await bench.say(taken.worker, Go("c_1_0", 1))
    assert (standing.state, bench.begun) == ("not_begun", [])


async def test_a_question_about_a_call_that_was_never_begun_is_answered_when_that_is_certain(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.offers()
    taken = await bench.take()
    bench.clock.seconds += LEASE_S - 0.01
    assert (await bench.say(taken.worker, Look("c_1_0", 1))).state == "not_begun"
    bench.clock.seconds += 0.02
    assert (await bench.say(taken.worker, Go("c_1_0", 1))).state == "not_begun"
    assert bench.begun == []


async def test_what_has_ended_is_found_by_its_id(bench: Bench) -> None:
    await bench.offers()
    taken = await bench.take()
    bench.gate.set()
    await bench.say(taken.worker, Go("c_1_0", 1))
    reply = await bench.bus.request(
        bench.subjects.tool_at("charge", "c_1_0", 1), msgspec.json.encode(Look("c_1_0", 1)), 5
    )
    assert msgspec.json.decode(answer(reply), type=Standing).state == "ended"


async def test_what_is_kept_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offering, "KEPT_CALLS", 3)
    offers = await bench.offers()
    bench.gate.set()
    for number in range(10):
        taken = await bench.take(f"c_{number}_0")
        assert (await bench.say(taken.worker, Go(f"c_{number}_0", 1))).state == "ended"
    await until(lambda: repr(offers) == "<Offers charge: 0 running, 3 kept>")
    assert (await bench.say(offers.worker_id, Look("c_0_0", 1))).state == "gone"
    assert (await bench.say(offers.worker_id, Look("c_9_0", 1))).state == "ended"


async def test_a_call_that_was_cancelled_is_forgotten(bench: Bench) -> None:
    offers = await bench.offers()
    taken = await bench.take()
    await bench.say(taken.worker, Go("c_1_0", 1))
    assert (await bench.say(taken.worker, Cancel("c_1_0", 1))).state == "gone"
    await until(lambda: offers.running == 0)
    assert (await bench.say(taken.worker, Look("c_1_0", 1))).state == "gone"


async def test_a_worker_with_all_it_may_have_leaves_the_next_call_to_others(bench: Bench) -> None:
    await bench.offers(limit=1)
    await bench.take()
    with pytest.raises(Unavailable, match="it has 1 calls"):
        await bench.take("c_2_0")
    bench.clock.seconds += LEASE_S + 1
    assert (await bench.take("c_2_0")).worker


async def test_a_call_in_another_users_name_is_refused(bench: Bench) -> None:
    await bench.offers()
    with pytest.raises(Undecodable, match="for user 'bob' came on 'treadle"):
        await bench.take(user="bob")


async def test_arguments_that_do_not_fit_are_refused_before_anything_begins(bench: Bench) -> None:
    await bench.offers()
    assert "the arguments do not fit charge(amount: int)" in (await bench.take(amount="much")).refused


async def test_a_tool_is_offered_once_in_a_process(bench: Bench) -> None:
    offers = await bench.offers()
    with pytest.raises(ConfigError, match="a tool 'charge' is offered already"):
        await offers.add(bench.tool)


async def test_a_worker_with_a_journal_knows_after_a_restart_what_was_done(bench: Bench, tmp_path: Path) -> None:
    journal = await open_journal(f"sqlite:{tmp_path}/worker.db")
    first = await bench.offers(journal=journal)
    taken = await bench.take()
    bench.gate.set()
    assert (await bench.end(taken.worker, Go("c_1_0", 1))).ended is not None
    await first.close()
    await bench.offers(journal=journal)
    taken = await bench.take(attempt=2)
    standing = await bench.end(taken.worker, Go("c_1_0", 2))
    assert standing.ended is not None
    assert (standing.ended.output, standing.ended.attempt, bench.begun) == ("charged 7", 2, [7])
    kinds = [(event.type, event.user_id) for event in await journal.read("call-c_1_0")]
    assert kinds == [("call.begun", "alice"), ("call.ended", "alice")]
    await journal.close()


async def test_an_attempt_that_was_given_up_does_not_begin_beside_a_later_one(bench: Bench, tmp_path: Path) -> None:
    journal = await open_journal(f"sqlite:{tmp_path}/worker.db")
    await bench.offers(journal=journal)
    late, later = await bench.take(), await bench.take(attempt=2)
    assert (await bench.say(later.worker, Go("c_1_0", 2))).state == "running"
    await until(lambda: bench.begun == [7])
    standing = await bench.say(late.worker, Go("c_1_0", 1))
    assert (standing.state, bench.begun) == ("gone", [7])
    assert "attempt 1 at call 'c_1_0' comes too late: attempt 2 has begun" in standing.why
    bench.gate.set()
    await bench.made[0].close()
    await journal.close()


async def test_nats_lists_what_workers_offer(nats_server: EmbeddedServer, bench: Bench) -> None:
    ns = namespace()
    async with Worker([bench.tool], nats=nats_server.url, namespace=ns), outsider(nats_server.url, ns) as client:
        reply = await client.client.request("$SRV.INFO.treadle-worker", timeout=5)
        [endpoint] = json.loads(reply.data)["endpoints"]
        assert (endpoint["name"], endpoint["subject"]) == ("charge", f"{ns}.tool.charge.spec")
        assert json.loads(endpoint["metadata"]["parameters"])["required"] == ["amount"]
