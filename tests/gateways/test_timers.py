"""Timers fire once, late rather than never, whoever is killed in between; on a real server."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hosting import WITHIN_S, Outsider, namespace, outsider
from waiting import until

from treadle import Agent, ConfigError, RuntimeSignal, System, Unavailable
from treadle.events.session import SignalReceived
from treadle.gateways.broker.server import EmbeddedServer

FAR = datetime(2199, 1, 1, tzinfo=UTC)


class Desk:
    """A system that hosts the agent `desk`, and a program outside that speaks NATS."""

    def __init__(self, system: System, nats: Outsider) -> None:
        self.system = system
        self.nats = nats

    @property
    def fired(self) -> int:
        assert self.system.firings is not None
        return self.system.firings.fired

    @property
    def done(self) -> int:
        assert self.system.signals is not None
        return self.system.signals.done

    async def received(self) -> list[RuntimeSignal]:
        """The signals that sessions have taken, in their order."""
        found = await self.system.journal.read_all(0, 10_000)
        return [each.event.signal for each in found if isinstance(each.event, SignalReceived)]

    async def stored(self) -> dict[str, int]:
        """How many messages TIMERS has, by the end of their subject."""
        info = await self.nats.js.stream_info(f"TIMERS-{self.nats.namespace}", subjects_filter=">")
        head = f"{self.nats.namespace}.timer."
        return {subject.removeprefix(head): count for subject, count in (info.state.subjects or {}).items()}

    async def waits_for(self, **stored: int) -> None:
        """Wait until TIMERS holds these messages: `due_x=1`."""
        wanted = {key.replace("_", ".", 1): count for key, count in stored.items()}

        async def so() -> bool:
            return await self.stored() == wanted

        await eventually(so)

    async def has_received(self, count: int) -> None:
        async def so() -> bool:
            return len(await self.received()) >= count

        await eventually(so)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """As `until`, for what has to be asked for."""
    async with asyncio.timeout(WITHIN_S):
        while not await condition():  # noqa: ASYNC110 - the server does not tell
            await asyncio.sleep(0.02)


@asynccontextmanager
async def hosting(
    server: EmbeddedServer, ns: str = "", journal: str = "memory", serve: bool = True
) -> AsyncGenerator[Desk]:
    ns = ns or namespace()
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(System(journal=journal, nats=server.url, namespace=ns))
        system.host(Agent(model="echo"), name="desk")
        if serve:
            await system.start_hosting()
        yield Desk(system, await stack.enter_async_context(outsider(server.url, ns)))


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def test_a_delayed_signal_comes_once_and_not_before_its_time(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server) as desk:
        timer = await desk.system.after(0.6, "Look again", agent="desk", user_id="alice", session_id="s")
        assert timer.at is not None
        assert await desk.received() == []
        await until(lambda: desk.done == 1, WITHIN_S)
        assert datetime.now(UTC) >= timer.at
        [signal] = await desk.received()
        assert (signal.summary, signal.source, signal.type) == ("Look again", "cron", "scheduled_job")
        assert signal.id.startswith(f"{timer.id}-")
        assert await desk.system.timers() == []
        assert await desk.stored() == {}


async def test_a_repeated_signal_comes_again_and_again_each_with_an_id_of_its_own(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server) as desk:
        timer = await desk.system.every(1, RuntimeSignal("Tick", payload={"n": 1}), agent="desk", id="tick")
        await until(lambda: desk.done >= 3, WITHIN_S)
        assert await desk.system.cancel_timer("tick")
        signals = await desk.received()
        assert len({signal.id for signal in signals}) == len(signals) >= 3
        assert {signal.summary for signal in signals} == {"Tick"}
        assert timer.session_id == "scheduled:tick"


@pytest.mark.parametrize("repeated", [False, True])
async def test_a_firing_whose_node_died_before_it_said_so_has_one_effect(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, repeated: bool
) -> None:
    async with hosting(nats_server, serve=False) as desk:
        if repeated:
            await desk.system.every(1, "Go", agent="desk", id="x")
            await desk.waits_for(set_x=1, due_x=1)
            ns = desk.nats.namespace
            await desk.nats.js.purge_stream(f"TIMERS-{ns}", subject=f"{ns}.timer.set.x")
        else:
            await desk.system.after(0, "Go", agent="desk", id="x")
        enqueue, queued = desk.system.bus.enqueue, list[str]()

        async def loses_the_first_reply(subject: str, data: bytes, message_id: str) -> bool:
            queued.append(message_id)
            await enqueue(subject, data)  # without its id: the broker does not know it again, only the session does
            if len(queued) == 1:
                raise Unavailable("the stream", "it did not answer", 0.05)
            return True

        monkeypatch.setattr(desk.system.bus, "enqueue", loses_the_first_reply)
        await desk.system.start_hosting()
        await until(lambda: desk.done == 2, WITHIN_S)
        assert desk.fired == 1
        assert len(queued) == 2
        assert len(set(queued)) == 1
        assert [signal.summary for signal in await desk.received()] == ["Go"]


async def test_several_nodes_fire_once(nats_server: EmbeddedServer, tmp_path: Path) -> None:
    ns, journal = namespace(), f"sqlite:{tmp_path}/events.db"
    async with hosting(nats_server, ns, journal) as one, hosting(nats_server, ns, journal) as other:
        for number in range(20):
            await one.system.after(0.5, f"Number {number}", agent="desk", session_id=f"s{number}")
        await until(lambda: one.done + other.done == 20, WITHIN_S)
        await one.waits_for()
        assert one.fired + other.fired == 20
        assert sorted(signal.summary for signal in await one.received()) == sorted(f"Number {n}" for n in range(20))


async def test_what_fires_while_no_node_is_there_comes_late_and_a_repeated_one_once(
    nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    ns, journal = namespace(), f"sqlite:{tmp_path}/events.db"
    async with hosting(nats_server, ns, journal, serve=False) as desk:
        await desk.system.after(0.2, "Once", agent="desk", id="once")
        await desk.system.every(1, "Tick", agent="desk", id="tick")

        async def fired_four_times() -> bool:
            return (await desk.nats.js.stream_info(f"TIMERS-{ns}")).state.last_seq >= 6

        await eventually(fired_four_times)
        # Once and three times: the newest of the three stands for all.
        assert await desk.stored() == {"due.once": 1, "due.tick": 1, "set.tick": 1}
        assert [timer.id for timer in await desk.system.timers()] == ["tick"]
        await desk.nats.js.purge_stream(f"TIMERS-{ns}", subject=f"{ns}.timer.set.tick")
    async with hosting(nats_server, ns, journal) as desk:
        await until(lambda: desk.done == 2, WITHIN_S)
        assert sorted(signal.summary for signal in await desk.received()) == ["Once", "Tick"]


async def test_timers_outlive_the_kill_of_their_server_and_of_their_node(tmp_path: Path) -> None:
    server, ns, journal = EmbeddedServer(tmp_path / "nats"), namespace(), f"sqlite:{tmp_path}/events.db"
    await server.start()
    async with System(journal=journal, nats=server.url, namespace=ns) as system:
        system.host(Agent(model="echo"), name="desk")
        await system.start_hosting()
        await system.at(soon(0.5), "Due in the outage", agent="desk", id="during")
        await system.every(1, "Tick", agent="desk", id="tick")
        await system.after(0.5, "Cancelled", agent="desk", id="cancelled")
        await system.at(FAR, "Far", agent="desk", id="far")
        assert await system.cancel_timer("cancelled")
        before = {timer.id: timer for timer in await system.timers()}
        await server.kill()
        due = soon(1.0)
        with pytest.raises(Unavailable):
            await system.after(1, "Nobody keeps this", agent="desk")
    await until(lambda: datetime.now(UTC) > due, WITHIN_S)
    await server.start()
    async with hosting(server, ns, journal) as desk:
        await until(lambda: desk.done >= 3, WITHIN_S)
        left = {timer.id: timer for timer in await desk.system.timers()}
        assert left == {id: before[id] for id in ("tick", "far")}
        await desk.system.cancel_timer("tick")
        await until(lambda: desk.done == desk.fired, WITHIN_S)
        summaries = [signal.summary for signal in await desk.received()]
        assert summaries.count("Due in the outage") == 1
        assert "Cancelled" not in summaries
        assert "Far" not in summaries
    await server.stop()


async def test_a_server_that_is_killed_again_and_again_around_the_time_fires_once(tmp_path: Path) -> None:
    server, ns = EmbeddedServer(tmp_path / "nats"), namespace()
    await server.start()
    async with hosting(server, ns, f"sqlite:{tmp_path}/events.db") as desk:
        for number in range(10):
            await desk.system.after(0.2 + 0.15 * number, f"Number {number}", agent="desk", session_id=f"s{number}")
        for _ in range(4):
            await server.kill()
            await server.start()
            await until(lambda: desk.system.bus.connected, WITHIN_S)
        await until(lambda: desk.nats.client.is_connected, WITHIN_S)
        await desk.waits_for()
        await desk.has_received(10)
        assert sorted(signal.summary for signal in await desk.received()) == [f"Number {n}" for n in range(10)]
    await server.stop()


async def test_a_timer_under_the_id_of_another_replaces_it(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server) as desk:
        await desk.system.after(0.4, "First", agent="desk", id="x")
        await desk.system.after(0.8, "Second", agent="desk", id="x")
        await desk.system.at(FAR, "Marker", agent="desk", id="y")
        assert [timer.signal.summary for timer in await desk.system.timers()] == ["Second", "Marker"]
        await desk.waits_for(set_y=1)
        await until(lambda: desk.done == 1, WITHIN_S)
        assert [signal.summary for signal in await desk.received()] == ["Second"]


async def test_a_repeated_timer_that_is_set_at_each_start_is_one_and_keeps_its_pace(
    nats_server: EmbeddedServer,
) -> None:
    async with hosting(nats_server) as desk:
        first = await desk.system.every(3600, "Report", agent="desk")
        [standing] = await desk.system.timers()
        assert await desk.system.every(3600, "Report", agent="desk") == standing
        assert [timer.set_at for timer in await desk.system.timers()] == [standing.set_at]
        other = await desk.system.every(3600, "Another report", agent="desk")
        assert len({first.id, other.id}) == len(await desk.system.timers()) == 2
        await desk.system.every(60, "Report", agent="desk", id=first.id)
        assert {timer.id: timer.schedule for timer in await desk.system.timers()} == {
            first.id: "@every 60s",
            other.id: "@every 3600s",
        }


async def test_a_cancelled_timer_does_not_fire_and_can_be_set_again(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server) as desk:
        await desk.system.after(0.3, "Cancelled", agent="desk", id="x")
        assert await desk.system.cancel_timer("x")
        assert not await desk.system.cancel_timer("x")
        assert not await desk.system.cancel_timer("")
        await desk.system.after(0.6, "Set again", agent="desk", id="x")
        await until(lambda: desk.done == 1, WITHIN_S)
        assert [signal.summary for signal in await desk.received()] == ["Set again"]


async def test_a_firing_that_no_node_has_taken_is_cancelled_too(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server, serve=False) as desk:
        await desk.system.after(0, "Due", agent="desk", id="x")
        await desk.waits_for(due_x=1)
        assert await desk.system.cancel_timer("x")
        assert await desk.stored() == {}


async def test_a_cron_pattern_is_meant_in_its_zone(nats_server: EmbeddedServer) -> None:
    """Kolkata is 5:30 ahead of UTC, always: its minutes are not those of UTC, and only one of the two is now."""
    async with hosting(nats_server) as desk:
        now = datetime.now(UTC)
        there = now + timedelta(hours=5, minutes=30)
        minutes = f"{there.minute},{(there.minute + 1) % 60}"
        in_zone = await desk.system.every(f"* {minutes} * * * *", "There", agent="desk", zone="Asia/Kolkata", id="a")
        await desk.system.every(f"* {minutes} * * * *", "In UTC", agent="desk", id="b")
        assert (in_zone.schedule, in_zone.zone) == (f"* {minutes} * * * *", "Asia/Kolkata")
        await until(lambda: desk.done >= 2, WITHIN_S)
        assert {signal.summary for signal in await desk.received()} == {"There"}
        assert [timer.zone for timer in await desk.system.timers()] == ["Asia/Kolkata", ""]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"how": "0 25 * * *"}, "the server refuses the schedule '0 0 25 * * *'"),
        ({"how": "0 0 30 2 *"}, "the server refuses the schedule '0 0 0 30 2 *'"),
        ({"how": "0 0 * * 7"}, "Sunday is 0"),
        ({"how": "0 9 * * *", "zone": "Mars/Phobos"}, "no time zone 'Mars/Phobos'"),
        ({"how": 60, "agent": "nobody"}, "no agent 'nobody' to set a timer for; hosted here: desk"),
        ({"how": 60, "agent": ""}, "its name is empty"),
        ({"how": 60, "id": "x" * 201}, "201 characters"),
        ({"how": 60, "signal": " "}, "neither a summary nor a payload"),
        ({"how": 60, "signal": RuntimeSignal("x", id="mine")}, "the id 'mine'"),
        ({"how": 60, "signal": RuntimeSignal("x", dedupe_key="k")}, "dedupe_key 'k'"),
        ({"how": 60, "signal": RuntimeSignal("x", payload="y" * 300_000)}, "the limit is 262144"),
    ],
)
async def test_what_could_never_fire_is_refused_by_name_and_not_set(
    nats_server: EmbeddedServer, args: dict[str, Any], said: str
) -> None:
    async with hosting(nats_server) as desk:
        with pytest.raises(ConfigError) as refused:
            await desk.system.every(**{"agent": "desk", "signal": "Go", **args})
        assert said in str(refused.value)
        with pytest.raises(ConfigError, match="is past"):
            await desk.system.at(soon(-60), "Go", agent="desk")
        assert await desk.stored() == {}


async def test_a_timer_is_set_for_an_agent_that_another_node_hosts(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server) as desk:
        async with System(nats=nats_server.url, namespace=desk.nats.namespace, projections=False) as elsewhere:
            await elsewhere.after(0, "From elsewhere", agent="desk")
            await until(lambda: desk.done == 1, WITHIN_S)
        assert [signal.summary for signal in await desk.received()] == ["From elsewhere"]


async def test_a_firing_for_an_agent_that_is_gone_is_parked_with_its_reason(nats_server: EmbeddedServer) -> None:
    ns = namespace()
    async with hosting(nats_server, ns, serve=False) as desk:
        await desk.system.after(0.2, "Anybody?", agent="desk")
    async with System(nats=nats_server.url, namespace=ns) as system, outsider(nats_server.url, ns) as nats:
        system.host(Agent(model="echo"), name="other")
        await system.start_hosting()
        [parked] = await nats.parked()
        assert "no agent 'desk'" in (parked.headers or {})["Treadle-Reason"]


async def test_a_timer_of_another_program_fires_or_is_parked_with_its_reason(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server) as desk:
        ns = desk.nats.namespace
        good = {"agent": "desk", "session_id": "s", "signal": {"summary": "Hello"}}
        for id, body in {"good": json.dumps(good).encode(), "bad": b"{}", "=ZZ": b""}.items():
            at, target = soon(0.3).isoformat(), f"{ns}.timer.due.{id}"
            headers = {"Nats-Schedule": f"@at {at}", "Nats-Schedule-Target": target}
            await desk.nats.js.publish(f"{ns}.timer.set.{id}", body, headers=headers)
        assert [timer.agent for timer in await desk.system.timers()] == ["desk", "", ""]
        reasons = [(message.headers or {})["Treadle-Reason"] for message in await desk.nats.parked(2)]
        assert any("missing required field `agent`" in reason for reason in reasons)
        assert any("'=ZZ' is not escaped" in reason for reason in reasons)
        await until(lambda: desk.done == 1, WITHIN_S)
        assert [signal.summary for signal in await desk.received()] == ["Hello"]
        await desk.waits_for()


async def test_an_agent_that_is_hosted_sets_its_own_timers(nats_server: EmbeddedServer) -> None:
    async with hosting(nats_server, serve=False) as desk:
        agent = desk.system.host(Agent(model="echo"), name="night")
        await agent.every("0 9 * * *", "Report", zone="Europe/Berlin", id="a")
        await agent.once(3600, "Later", session_id="s", id="b")
        await agent.once(FAR, "Much later", id="c")
        await agent.schedule("@daily", "Daily", id="d")
        await agent.schedule(FAR, "Then", user_id="alice", id="e")
        timers = await desk.system.timers()
        assert [timer.id for timer in timers] == list("abcde")
        assert {timer.agent for timer in timers} == {"night"}
        with pytest.raises(ConfigError, match="a zone of its own"):
            await agent.schedule(FAR, "Then", zone="Europe/Berlin")


async def test_without_a_server_a_timer_is_refused_with_what_it_needs() -> None:
    async with System() as system:
        agent = system.host(Agent(model="echo"), name="desk")
        for setting in (system.after(1, "Go", agent="desk"), agent.once(1, "Go"), system.timers()):
            with pytest.raises(ConfigError, match="nats='embedded'"):
                await setting


async def test_enabling_timers_leaves_a_stream_that_the_next_start_finds_right(nats_server: EmbeddedServer) -> None:
    ns = namespace()
    for _ in range(2):
        async with hosting(nats_server, ns) as desk:
            config = (await desk.nats.js.stream_info(f"TIMERS-{ns}")).config
            assert (config.deny_purge, config.deny_delete) == (False, False)
            events = (await desk.nats.js.stream_info(f"EVENTS-{ns}")).config
            assert events.deny_delete
