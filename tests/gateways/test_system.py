"""`System`: hosted agents over NATS as another program sees them, and what opening and closing leave behind."""

import asyncio
import gc
import socket
import threading
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from hosting import WITHIN_S, Gate, calling, namespace, outsider
from waiting import until

from treadle import Agent, ConfigError, Event, System, Unavailable, tool
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.buses.nats import NatsBus


async def test_nats_alone_sends_a_signal_follows_its_run_and_reads_the_same_history(
    nats_server: EmbeddedServer,
) -> None:
    @tool(read_only=True)
    async def load() -> float:
        return 0.5

    ns = namespace()
    async with System(nats=nats_server.url, namespace=ns) as system, outsider(nats_server.url, ns) as nats:
        system.host(Agent(model=calling("load"), tools=[load]), name="desk")
        await system.start_hosting()
        async with nats.listening("event.alice.run.>") as events, nats.listening("live.alice.*") as live:
            assert await nats.signal("alice.desk.shift-1", {"summary": "How busy?", "id": "q-1"})
            seen = await events.until("run.completed")
            chunk = await live.event()
        run_id = seen[0]["run_id"]
        assert (chunk["run_id"], chunk["chunk"]["kind"]) == (run_id, "tool_call")
        assert [event["version"] for event in seen] == list(range(1, len(seen) + 1))
        assert [event["type"] for event in seen][0::7] == ["run.started", "run.completed"]
        assert (await nats.ask("history", run_id=run_id))["events"] == seen
        async with nats.listening(f"event.alice.run.{run_id}.>"):
            assert seen[-1]["data"]["output"] == "0.5"


async def test_a_watcher_goes_on_after_a_version_without_a_gap_or_a_double(nats_server: EmbeddedServer) -> None:
    gate, ns = Gate(), namespace()
    async with System(nats=nats_server.url, namespace=ns) as system:
        desk = system.host(Agent(model=gate.model), name="desk")
        run = await desk.session("s", user_id="alice").start("Go")

        async def follow(after: int) -> list[Event]:
            return [event async for event in system.watch(run.id, after)]

        await until(lambda: gate.waiting == 1)
        watching = [asyncio.create_task(follow(after)) for after in (0, 1, 2)]
        await asyncio.sleep(0)
        gate.open()
        whole, second, third = await asyncio.gather(*watching)
        assert [event.version for event in whole] == [1, 2, 3, 4]
        assert (second, third) == (whole[1:], whole[2:])
        assert await follow(after=3) == whole[3:]


async def test_another_process_on_the_same_journal_watches_too(tmp_path: Path) -> None:
    journal, gate = f"sqlite:{tmp_path}/events.db", Gate()
    async with System(journal=journal) as here, System(journal=journal) as there:
        desk = here.host(Agent(model=gate.model), name="desk")
        run = await desk.session("s").start("Go")
        await until(lambda: gate.waiting == 1)

        async def follow() -> list[str]:
            return [event.type async for event in there.watch(run.id)]

        watching = asyncio.create_task(follow())
        gate.open()
        async with asyncio.timeout(WITHIN_S):
            assert (await watching)[-1] == "run.completed"


# Closing


def our_threads() -> set[threading.Thread]:
    """All but those of the loop's own pool, which ends with the loop."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


async def test_closing_leaves_no_task_no_thread_no_process_and_no_file_open(tmp_path: Path) -> None:
    tasks, threads, processes = asyncio.all_tasks(), our_threads(), children()
    gate = Gate()
    system = System(journal=f"sqlite:{tmp_path}/events.db", nats="embedded", directory=tmp_path)
    async with system:
        assert len(children() - processes) == 1
        desk = system.host(Agent(model=gate.model, memory=True), name="desk")
        await system.start_hosting()
        await desk.session("s").start("Go")
        await desk.signal("Busy?", session_id="t")
        await system.signal("desk", "And now?", session_id="u")
        await until(lambda: gate.waiting == 3)
    await system.close()
    await until(lambda: asyncio.all_tasks() == tasks)
    gc.collect()
    assert (our_threads(), children()) == (threads, processes)
    still_open = [file.path for file in psutil.Process().open_files() if file.path.startswith(str(tmp_path))]
    assert still_open == []


async def test_a_closed_system_says_that_it_is_closed() -> None:
    system = System()
    async with system:
        desk = system.host(Agent(model="echo"), name="desk")
    with pytest.raises(ConfigError, match="the system is not open"):
        system.host(desk)
    with pytest.raises(ConfigError, match="the system that hosts agent 'desk' was closed"):
        await desk.run("Hello?")
    with pytest.raises(ConfigError, match="the system that hosts agent 'desk' was closed"):
        await anext(aiter(desk.stream("Hello?")))
    with pytest.raises(ConfigError, match="the system is not open"):
        await system.signal("desk", "Hello?", session_id="s")
    with pytest.raises(ConfigError, match="the system is not open"):
        await system.start_hosting()
    with pytest.raises(ConfigError, match="a System is opened once"):
        await system.__aenter__()
    assert repr(system) == "<System treadle closed>"


async def test_closing_while_opening_again_elsewhere_keeps_what_was_done(tmp_path: Path) -> None:
    journal, gate = f"sqlite:{tmp_path}/events.db", Gate()
    async with System(journal=journal) as system:
        desk = system.host(Agent(model=gate.model), name="desk")
        run = await desk.session("s", user_id="alice").start("Go")
        await until(lambda: gate.waiting == 1)
    again = Gate()
    again.open()
    async with System(journal=journal) as system:
        system.host(Agent(model=again.model), name="desk")
        await system.start_hosting()
        async with asyncio.timeout(WITHIN_S):
            events = [event async for event in system.watch(run.id)]
    assert [event.type for event in events][-1] == "run.completed"
    assert again.prompts == ["Go"]


# Opening


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


async def assert_nothing_left(tasks: set[Any], threads: set[threading.Thread], processes: set[int]) -> None:
    await until(lambda: asyncio.all_tasks() == tasks)
    gc.collect()
    await until(lambda: our_threads() == threads)
    assert children() == processes


async def test_a_system_that_cannot_open_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NatsBus, "connect", partial(NatsBus.connect, connect_timeout_s=0.2))
    tasks, threads, processes = asyncio.all_tasks(), our_threads(), children()
    journal = f"sqlite:{tmp_path}/events.db"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy: int = taken.getsockname()[1]
        for system, error, why in [
            (System(journal=journal, nats=f"nats://127.0.0.1:{free_port()}"), Unavailable, "no connection"),
            (System(journal=journal, nats="embedded", directory=tmp_path, nats_port=busy), ConfigError, f"port {busy}"),
            (System(journal="mysql:x"), ConfigError, "mysql"),
            (System(journal=f"sqlite:{tmp_path}"), ConfigError, "is a directory; name a file in it"),
        ]:
            with pytest.raises(error, match=why):
                async with system:
                    pass
            await assert_nothing_left(tasks, threads, processes)


async def test_a_broker_whose_streams_do_not_fit_is_refused_and_let_go(nats_server: EmbeddedServer) -> None:
    tasks, threads, processes = asyncio.all_tasks(), our_threads(), children()
    ns = namespace()
    async with outsider(nats_server.url, ns) as nats:
        await nats.js.add_stream(  # pyright: ignore[reportUnknownMemberType]
            name=f"OTHER-{ns}", subjects=[f"{ns}.signal.alice.>"]
        )
        with pytest.raises(ConfigError, match="cannot be laid"):
            async with System(nats=nats_server.url, namespace=ns):
                pass
        await nats.js.delete_stream(f"OTHER-{ns}")
    await assert_nothing_left(tasks, threads, processes)


# Hosting


async def test_an_agent_that_is_hosted_late_takes_signals_and_tasks(nats_server: EmbeddedServer) -> None:
    from treadle import delegate

    ns = namespace()
    async with (
        System(nats=nats_server.url, namespace=ns) as desks,
        System(nats=nats_server.url, namespace=ns, worker=True) as probers,
    ):
        await desks.start_hosting()
        await probers.start_hosting()
        probers.host(Agent(model="echo"), name="prober")
        probers.host(Agent(model="echo", instructions="again"), name="prober")
        desk = Agent(model=calling("delegate_to_prober", prompt="measure"), tools=[delegate("prober")])
        desks.host(desk, name="desk")
        await desks.signal("desk", "Go", session_id="s", user_id="alice")
        await until(lambda: desks.signals is not None and desks.signals.done == 1, WITHIN_S)
        [row] = await rows(desks)
        assert (row.state, row.output) == ("completed", "Echo: measure")


async def rows(system: System) -> Any:
    await system.projections.catch_up()
    return await system.projections.runs.list(agent="desk")


async def test_status_tells_how_it_stands(nats_server: EmbeddedServer) -> None:
    ns = namespace()
    async with System(nats=nats_server.url, namespace=ns) as system, outsider(nats_server.url, ns) as nats:
        system.host(Agent(model="echo"), name="desk")
        await system.start_hosting()
        await nats.signal("alice.desk.s", {"summary": "Hello?"})
        await nats.signal("alice.desk.s", b"no json")
        signals = system.signals
        assert signals is not None
        await until(lambda: (signals.done, signals.parked) == (1, 1), WITHIN_S)
        await system.projections.catch_up()
        status = await system.status()
        assert (status.nats_connected, status.signals_running, status.signals_done, status.signals_parked) == (
            True,
            0,
            1,
            1,
        )
        assert status.journal_position > 0
        assert (await nats.ask("status"))["owner"] == status.owner


async def test_in_one_process_signals_and_services_need_no_broker() -> None:
    import json

    from treadle.events.bus import answer

    async with System() as system:
        system.host(Agent(model="echo"), name="desk")
        await system.start_hosting()
        await system.signal("desk", "Hello?", session_id="s", user_id="alice")
        signals = system.signals
        assert signals is not None
        await until(lambda: signals.done == 1)
        asked = json.dumps({"agent": "desk", "prompt": "Hello?", "wait": True}).encode()
        reply = json.loads(answer(await system.bus.request("treadle.ask.run", asked, 5)))
        assert (reply["state"], reply["output"]) == ("completed", "Echo: Hello?")
        assert (await system.status()).nats == "in process"
