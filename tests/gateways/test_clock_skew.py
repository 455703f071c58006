"""Nodes whose clocks are an hour apart, on one journal and one broker: nothing is lost, nothing out of order."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hosting import WITHIN_S, Gate, Outsider, namespace, outsider
from skew import WrongClock
from waiting import until

from treadle import Agent, RunState, System
from treadle.events.verify import verify
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.relay import Relay

HOUR = timedelta(hours=1)


def reached(relay: Relay, position: int) -> bool:
    return relay.position == position


class Apart:
    """One node an hour ahead, one an hour behind. Both can continue what the other has begun."""

    def __init__(self, ahead: System, behind: System, nats: Outsider) -> None:
        self.ahead = ahead
        self.behind = behind
        self.nats = nats

    def agent(self, system: System) -> Agent:
        return system.host(Agent(model="echo"), name="desk")


@pytest.fixture
async def apart(nats_server: EmbeddedServer, postgres_url: str) -> AsyncGenerator[Apart]:
    ns = namespace()
    async with AsyncExitStack() as stack:
        ahead, behind = [
            await stack.enter_async_context(
                System(journal=postgres_url, nats=nats_server.url, namespace=ns, clock=WrongClock(offset))
            )
            for offset in (HOUR, -HOUR)
        ]
        yield Apart(ahead, behind, await stack.enter_async_context(outsider(nats_server.url, ns)))


async def test_a_conversation_over_both_keeps_its_order_and_all_of_it(apart: Apart) -> None:
    agents = [apart.agent(apart.ahead), apart.agent(apart.behind)]
    prompts = [f"Question {number}" for number in range(6)]
    for number, prompt in enumerate(prompts):
        result = await agents[number % 2].run(prompt, user_id="alice", session_id="night")
        assert result.state is RunState.COMPLETED
    history = await agents[0].session("night", user_id="alice").history()
    assert [message.content for message in history if message.role == "user"] == prompts


async def test_times_go_back_where_the_journal_goes_on(apart: Apart) -> None:
    for system in (apart.ahead, apart.behind):
        await apart.agent(system).run("Hello?", user_id="alice")
    journal = apart.behind.journal
    events = await journal.read_all(0, 1000)
    assert [event.position for event in events] == sorted(event.position for event in events)
    assert events[-1].at < events[0].at - HOUR
    assert events[-1].id < events[0].id
    assert len({event.id for event in events}) == len(events)
    assert await verify(journal) == []


async def test_all_is_kept_by_the_broker_once_and_folded_alike_on_both(apart: Apart) -> None:
    for system in (apart.ahead, apart.behind, apart.ahead):
        await apart.agent(system).run("Hello?", user_id="alice")
    last = await apart.behind.journal.last_position()
    for system in (apart.ahead, apart.behind):
        await system.projections.wait_for(last, WITHIN_S)
        relay = system.relay
        assert relay is not None
        await until(partial(reached, relay, last), WITHIN_S)
    events = [(event.stream, event.version) for event in await apart.behind.journal.read_all(0, 1000)]
    assert sorted(await apart.nats.stored()) == sorted(events)
    names = [name for name in apart.ahead.projections.names if name != "audit"]
    before = {name: await apart.ahead.projections.state_hash(name) for name in names}
    assert {name: await apart.behind.projections.rebuild(name) for name in names} == before


@pytest.mark.parametrize("taker", ["ahead", "behind"])
async def test_a_run_is_taken_over_whatever_the_clocks_say(apart: Apart, taker: str) -> None:
    gate = Gate()
    new, old = (apart.ahead, apart.behind) if taker == "ahead" else (apart.behind, apart.ahead)
    run = await old.host(Agent(model=gate.model), name="desk").session("night", user_id="alice").start("Wait")
    await until(lambda: gate.waiting == 1)
    await old.close()
    result = await apart.agent(new).resume("night", user_id="alice")
    assert (result.run_id, result.state) == (run.id, RunState.COMPLETED)
    types = [event.type for event in await new.journal.read(f"run-{run.id}")]
    assert "run.suspended" in types
    assert types[-1] == "run.completed"
    assert await verify(new.journal) == []


async def test_a_timer_fires_by_the_brokers_clock_once(apart: Apart) -> None:
    """A time that is given is that time, whoever sets it; a delay is added to the clock of who sets it."""
    apart.agent(apart.ahead)
    await apart.ahead.start_hosting()
    async with apart.nats.listening("event.alice.run.>") as heard:
        due = datetime.now(UTC) + timedelta(seconds=0.5)
        await apart.behind.at(due, "Look", agent="desk", user_id="alice", id="look")
        [begun, *_] = await heard.until("run.completed")
    assert begun["data"]["prompt"].splitlines()[0] == "Look"
    late = await apart.ahead.after(1.0, "Late", agent="desk", user_id="alice", id="late")
    assert late.at is not None
    assert late.at > datetime.now(UTC) + HOUR - timedelta(seconds=WITHIN_S)
    assert [timer.id for timer in await apart.behind.timers()] == ["late"]
