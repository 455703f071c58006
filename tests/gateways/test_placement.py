"""Nodes that share the signals of a namespace: they come, go, die, and hand on what they are at."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hosting import PARTITIONS, WITHIN_S, Gate, calling, namespace, node
from waiting import until, until_asked

from treadle import (
    Agent,
    ConfigError,
    FunctionModel,
    Message,
    ModelReply,
    RunState,
    System,
    ToolCall,
    ToolSpec,
    current_call,
    tool,
)
from treadle.events.placement import NodeRecord
from treadle.events.subjects import SignalAddress, Subjects
from treadle.gateways import relay
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.broker.streams import lay_streams, stream_name
from treadle.gateways.buses.nats import NatsBus
from treadle.gateways.placement import Leases, LostLease

LEASE_S = 6.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path}/events.db"


def owned(*systems: System) -> list[int]:
    return [len(system.placement.owned) for system in systems if system.placement is not None]


def is_whole(*systems: System) -> bool:
    """Whether each partition has one owner among these."""
    each = [partition for system in systems if system.placement is not None for partition in system.placement.owned]
    return sorted(each) == list(range(PARTITIONS))


def desk(model: FunctionModel | str = "echo") -> Agent:
    return Agent("You keep watch.", model=model, name="desk")


async def test_one_node_tells_what_all_record_and_another_when_it_leaves(
    nats_server: EmbeddedServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "STANDBY_S", 2.0)  # nobody helps out meanwhile
    ns = namespace()

    def leads(system: System) -> bool:
        return system.placement is not None and system.placement.leads

    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        one = await first.enter_async_context(node(nats_server, url, ns, desk()))
        two = await stack.enter_async_context(node(nats_server, url, ns, desk()))
        await until(lambda: is_whole(one, two) and owned(one, two) == [16, 16], WITHIN_S)
        assert (leads(one), leads(two)) == (True, False)
        heard: list[str] = []
        messages = await stack.enter_async_context(two.bus.subscribe(f"{ns}.event.*.run.*.completed"))

        async def hear() -> None:
            async for message in messages:
                heard.append(message.subject)

        hearing = asyncio.create_task(hear())
        for number in range(10):
            await two.signal("desk", "look", session_id=f"conv-{number}", user_id="alice")
        await until(lambda: len(heard) == 10, WITHIN_S)
        await first.aclose()
        await until(lambda: leads(two), WITHIN_S)
        await two.signal("desk", "look", session_id="conv-10", user_id="alice")
        await until(lambda: len(heard) == 11, WITHIN_S)
        assert len(set(heard)) == 11, "each was told once"
        hearing.cancel()


async def test_of_two_nodes_that_find_an_empty_namespace_one_takes_everything(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects = Subjects(namespace())
    async with await NatsBus.connect(nats_server.url, namespace=subjects.namespace) as bus:
        await lay_streams(bus.jetstream, subjects)
        one, two = (Leases(bus.jetstream, subjects) for _ in range(2))
        asked = bus.jetstream.call

        async def after_the_other(subject: str, *args: Any) -> Any:
            if subject.startswith("STREAM.INFO"):
                monkeypatch.undo()
                nodes = await one.read()
                await one.claim(NodeRecord(node="one", partitions=tuple(range(PARTITIONS))), nodes.up_to)
            return await asked(subject, *args)

        monkeypatch.setattr(bus.jetstream, "call", after_the_other)
        nodes = await two.read()
        if "one" not in nodes.records:
            with pytest.raises(LostLease):
                await two.claim(NodeRecord(node="two", partitions=tuple(range(PARTITIONS))), nodes.up_to)


async def test_what_was_acknowledged_is_gone_from_the_stream(nats_server: EmbeddedServer, url: str) -> None:
    async with node(nats_server, url, namespace(), desk()) as system:
        signals, bus = system.signals, system.bus
        assert signals is not None and isinstance(bus, NatsBus)
        for number in range(5):
            await system.signal("desk", "go", session_id=str(number), user_id="alice")
        for addressed_to_nobody in ("a", "a.b", "a.b.c.d", "a.b.c.d.e"):
            await bus.enqueue(f"{system.subjects.namespace}.signal.{addressed_to_nobody}", b"go", addressed_to_nobody)
        await until(lambda: (signals.done, signals.parked) == (5, 4), WITHIN_S)

        async def is_empty() -> bool:
            told = await bus.jetstream.call(f"STREAM.INFO.{stream_name('signals', system.subjects)}")
            return bool(told["state"]["messages"] == 0)

        await until_asked(is_empty)


async def test_nodes_share_the_partitions_and_take_what_one_gives_up(nats_server: EmbeddedServer, url: str) -> None:
    ns = namespace()
    async with node(nats_server, url, ns, desk()) as one:
        assert owned(one) == [PARTITIONS]
        async with node(nats_server, url, ns, desk()) as two:
            await until(lambda: is_whole(one, two) and owned(one, two) == [16, 16], WITHIN_S)
            async with node(nats_server, url, ns, desk()) as three:
                await until(lambda: is_whole(one, two, three) and min(owned(one, two, three)) == 10, WITHIN_S)
                await two.drain()
                assert owned(two) == [0]
                await until(lambda: is_whole(one, three), WITHIN_S)
        await until(lambda: owned(one) == [PARTITIONS], WITHIN_S)


async def test_each_session_has_its_signals_run_by_the_node_that_owns_it(nats_server: EmbeddedServer, url: str) -> None:
    ns = namespace()
    async with node(nats_server, url, ns, desk()) as one, node(nats_server, url, ns, desk()) as two:
        await until(lambda: owned(one, two) == [16, 16], WITHIN_S)
        for number in range(20):
            await one.signal("desk", "look", session_id=f"conv-{number}", user_id="alice")
        taking = [system.signals for system in (one, two) if system.signals is not None]
        await until(lambda: sum(signals.done for signals in taking) == 20, WITHIN_S)
        await one.projections.catch_up()
        assert two.placement is not None
        for run in await one.projections.runs.list(limit=100):
            partition = two.subjects.partition(SignalAddress("alice", "desk", run.session_id), PARTITIONS)
            owner = two if partition in two.placement.owned else one
            assert run.owner == owner.journal.owner


async def test_a_node_whose_lease_ran_out_loses_its_partitions(nats_server: EmbeddedServer, url: str) -> None:
    ns = namespace()
    async with node(nats_server, url, ns, desk()) as one, node(nats_server, url, ns, desk()) as two:
        await until(lambda: owned(one, two) == [16, 16], WITHIN_S)
        assert one.placement is not None
        await one.placement.stop()  # as a node that hangs: it neither renews nor says that it leaves
        await until(lambda: owned(two) == [PARTITIONS], LEASE_S + WITHIN_S)
        await one.placement.start()
        await until(lambda: is_whole(one, two) and owned(one, two) == [16, 16], WITHIN_S)


async def test_a_run_moves_between_two_steps_and_nothing_is_done_twice(nats_server: EmbeddedServer, url: str) -> None:
    ns, called, asked = namespace(), Counter[str](), Counter[int]()

    @tool
    async def work(number: int) -> str:
        """Work, with an effect."""
        called[str(number)] += 1
        await asyncio.sleep(0.05)
        return f"done {number}"

    async def think(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        turn = sum(message.role == "tool" for message in messages)
        asked[turn] += 1
        await asyncio.sleep(0.01)
        return (
            ModelReply("all done") if turn == 20 else ModelReply(tool_calls=(ToolCall("", "work", {"number": turn}),))
        )

    def worker() -> Agent:
        return Agent("Work.", model=FunctionModel(think), name="desk", tools=[work], max_turns=30)

    async with node(nats_server, url, ns, worker()) as one:
        await one.signal("desk", "go", session_id="long", user_id="alice")
        await until(lambda: called["5"] == 1, WITHIN_S)
        async with node(nats_server, url, ns, worker()) as two:
            await one.drain()
            assert two.signals is not None and one.signals is not None
            assert one.signals.running == 0
            signals = two.signals
            await until(lambda: signals.done == 1, WITHIN_S)
            await two.projections.catch_up()
            [run] = await two.projections.runs.list()
            assert (run.state, run.output, run.owner) == (RunState.COMPLETED, "all done", two.journal.owner)
    assert called == Counter({str(number): 1 for number in range(20)})
    assert asked == Counter(range(21))


@pytest.mark.parametrize("session", ["long", ""])
async def test_a_step_of_a_prompt_is_not_cut_when_its_node_leaves(
    session: str, nats_server: EmbeddedServer, url: str
) -> None:
    ns, called, gate = namespace(), list[int](), asyncio.Event()

    @tool
    async def pay() -> str:
        """Pay, once."""
        called.append(current_call().attempt)
        await gate.wait()
        return "paid"

    def payer() -> Agent:
        return Agent("Pay.", model=calling("pay"), name="desk", tools=[pay])

    async with node(nats_server, url, ns, payer()) as two:
        async with node(nats_server, url, ns, leaving := payer()) as one:
            asking = asyncio.create_task(leaving.run("go", session_id=session, user_id="alice"))
            await until(lambda: called == [1], WITHIN_S)
            draining = asyncio.create_task(one.drain())
            await until(lambda: one.draining, WITHIN_S)
            gate.set()
            await draining
            await asyncio.wait((asking,))

        async def is_paid() -> bool:
            await two.projections.catch_up()
            return [(run.state, run.output) for run in await two.projections.runs.list()] == [
                (RunState.COMPLETED, "paid")
            ]

        await until_asked(is_paid, LEASE_S + WITHIN_S)
    assert called == [1]


async def test_a_node_that_closes_without_draining_leaves_its_runs_to_another(
    nats_server: EmbeddedServer, url: str
) -> None:
    ns, gate = namespace(), Gate()
    async with node(nats_server, url, ns, desk()) as other:
        async with node(nats_server, url, ns, desk(gate.model)) as one:
            await until(lambda: owned(one, other) == [16, 16], WITHIN_S)
            for number in range(10):
                await one.signal("desk", "go", session_id=str(number), user_id="alice")
            signals = one.signals
            assert signals is not None and other.signals is not None
            rest = other.signals
            await until(lambda: gate.waiting + rest.done == 10 and gate.waiting > 0, WITHIN_S)
        await until(lambda: rest.done == 10, WITHIN_S)


async def test_a_node_with_another_journal_is_refused(nats_server: EmbeddedServer, tmp_path: Path) -> None:
    ns, agent, other = namespace(), desk(), desk()
    async with node(nats_server, f"sqlite:{tmp_path}/one.db", ns, agent) as one:
        await agent.run("look")
        placement = one.placement
        assert placement is not None
        await until(lambda: bool(placement.records[0].journal), WITHIN_S)
        async with System(journal=f"sqlite:{tmp_path}/two.db") as alone:
            await alone.host(other).run("look")
        with pytest.raises(ConfigError, match="for another journal"):
            async with node(nats_server, f"sqlite:{tmp_path}/two.db", ns, desk()):
                pass


async def test_a_signal_waits_for_the_node_that_hosted_its_agent(nats_server: EmbeddedServer, url: str) -> None:
    ns = namespace()

    def night() -> Agent:
        return Agent("Watch.", model="echo", name="night")

    async with node(nats_server, url, ns, desk()) as one:
        async with node(nats_server, url, ns, night()) as two:
            await until(lambda: owned(one, two) == [16, 16], WITHIN_S)
        await until(lambda: owned(one) == [PARTITIONS], WITHIN_S)
        await one.signal("night", "look", session_id="s", user_id="alice")
        signals = one.signals
        assert signals is not None
        await asyncio.sleep(3.5)  # longer than five tries of a signal that cannot be run take
        assert (signals.done, signals.parked) == (0, 0)
        async with node(nats_server, url, ns, night()) as two:
            taking = (signals, two.signals)
            await until(lambda: sum(each.done for each in taking if each is not None) > 0, WITHIN_S)
            await until(lambda: two.node.system.stats().waiting == 0, WITHIN_S)
            await two.projections.catch_up()
            assert [run.agent for run in await two.projections.runs.list()] == ["night"]
