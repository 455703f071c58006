"""An event of a partition says whose run and which call led to it, and is told under that user and no other."""

import asyncio
import json

import pytest
from hosting import WITHIN_S, Gate, calling, namespace, outsider
from waiting import until

from treadle import Agent, Blackboard, Limits, Memory, System, delegate, tool
from treadle.events.bus import answer
from treadle.events.envelope import Recorded
from treadle.events.errors import Undecodable
from treadle.gateways.broker.server import EmbeddedServer


async def told(system: System, category: str) -> list[Recorded]:
    return list(await system.journal.read_all(0, 10_000, category=category))


def poster(*, budget: Limits | None = None) -> Agent:
    return Agent(model=calling("post_to_ops", content="looking"), tools=Blackboard("ops").tools(), budget=budget)


async def test_a_note_of_a_tool_names_the_user_session_run_and_call_that_left_it() -> None:
    async with System() as system:
        result = await system.host(poster(), name="desk").run("Go", user_id="alice", session_id="s")
        [note] = await told(system, "blackboard")
        [requested] = [event for event in await told(system, "run") if event.type == "run.tool_requested"]
        call_id = requested.event.call_id  # type: ignore[attr-defined]  # pyright: ignore
        assert (note.user_id, note.session_id, note.run_id) == ("alice", "s", result.run_id)
        assert (note.correlation_id, note.causation_id) == (requested.correlation_id, call_id)

        projections = system.projections
        assert projections is not None
        await projections.wait_for(note.position, timeout_s=WITHIN_S)
        [entry] = await projections.blackboards.entries("ops")
        assert entry.run_id == result.run_id


async def test_a_note_of_a_program_is_nobodys() -> None:
    async with System() as system:
        await system.host(poster(), name="desk").run("Go", user_id="alice")
        await Blackboard("ops", system).post("from outside", author="cron")
        note = (await told(system, "blackboard"))[-1]
        assert (note.user_id, note.session_id, note.run_id, note.correlation_id, note.causation_id) == ("",) * 5


async def test_a_program_that_a_tool_is_part_of_leaves_notes_of_that_tools_run() -> None:
    async with System() as system:

        @tool
        def note() -> str:
            """Leave a note from a thread, by the board's own method."""
            asyncio.run_coroutine_threadsafe(board.post("hello", author="tool"), loop).result(WITHIN_S)
            return "noted"

        @tool
        async def note_here() -> str:
            """Leave a note."""
            await board.post("hello", author="tool")
            return "noted"

        loop, board = asyncio.get_running_loop(), Blackboard("ops", system)
        desk = system.host(Agent(model=calling("note", "note_here"), tools=[note, note_here]), name="desk")
        result = await desk.run("Go", user_id="alice")
        assert {(event.user_id, event.run_id) for event in await told(system, "blackboard")} == {
            ("alice", result.run_id)
        }


async def test_what_two_users_leave_on_one_board_is_told_to_each_apart(nats_server: EmbeddedServer) -> None:
    ns = namespace()
    async with (
        System(nats=nats_server.url, namespace=ns) as system,
        outsider(nats_server.url, ns) as nats,
        nats.listening("event.alice.>") as of_alice,
        nats.listening("event.-.>") as of_nobody,
        nats.listening("event.*.blackboard.ops.>") as of_the_board,
    ):
        desk = system.host(poster(budget=Limits(max_tokens=10_000)), name="desk")
        await system.start_hosting()
        for user_id in ("bob", "alice"):
            await desk.run("Go", user_id=user_id)
        await Blackboard("ops", system).post("the end", author="cron")
        # Nobody's events are the program's alone: not one of the runs' is told without a user.
        first = await of_nobody.event()
        assert (first["type"], first["data"]["content"]) == ("blackboard.posted", "the end")
        board = [await of_the_board.event() for _ in range(3)]
        assert [(event["version"], event["user_id"]) for event in board] == [(1, "bob"), (2, "alice"), (3, "")]
        heard = await of_alice.until("budget.time_spent")
        assert {event["user_id"] for event in heard} == {"alice"}
        assert {event["run_id"] for event in heard} == {heard[0]["run_id"]}
        types = [event["type"] for event in heard]
        assert types.count("blackboard.posted") == 1
        assert types.count("budget.reserved") == types.count("budget.settled") == 2


async def test_a_fact_of_a_tool_is_its_users_and_names_the_run_and_the_call() -> None:
    async with System() as system:
        model = calling("remember_fact", subject="db-1", predicate="is", object="slow")
        desk = system.host(Agent(model=model, tools=Memory.tools(), memory=True), name="desk")
        result = await desk.run("Go", user_id="alice", session_id="s")
        fact, episode = await told(system, "memory")
        assert (fact.user_id, fact.session_id, fact.run_id) == ("alice", "s", result.run_id)
        assert fact.causation_id == fact.event.fact_id  # type: ignore[attr-defined]  # pyright: ignore
        assert (episode.type, episode.user_id, episode.causation_id) == (
            "memory.episode_remembered",
            "alice",
            result.run_id,
        )
        projections = system.projections
        assert projections is not None
        await projections.wait_for(episode.position, timeout_s=WITHIN_S)
        [entry] = await projections.audit.list(action="memory.fact_asserted")
        assert (entry.actor, entry.run_id) == ("agent:desk", result.run_id)


async def test_what_bobs_run_writes_into_alices_memory_is_alices_and_names_bobs_run() -> None:
    async with System() as system:

        @tool
        async def introduce() -> str:
            """Tell Alice's agents about Bob."""
            await Memory(system).update_block("colleagues", "Bob", user_id="alice")
            return "done"

        desk = system.host(Agent(model=calling("introduce"), tools=[introduce]), name="desk")
        result = await desk.run("Go", user_id="bob")
        [updated] = await told(system, "memory")
        assert (updated.stream, updated.user_id, updated.run_id) == ("memory-alice", "alice", result.run_id)


async def test_the_events_of_a_budget_name_the_run_that_is_charged() -> None:
    async with System() as system:
        desk = system.host(Agent(model="echo", budget=Limits(max_tokens=1000)), name="desk")
        result = await desk.run("Go", user_id="alice", session_id="s")
        charged = await told(system, "budget")
        assert [event.type for event in charged] == [
            "budget.opened",
            "budget.reserved",
            "budget.settled",
            "budget.time_spent",
        ]
        call_id = charged[1].event.call_id  # type: ignore[attr-defined]  # pyright: ignore
        assert {(event.user_id, event.session_id, event.run_id) for event in charged} == {("alice", "s", result.run_id)}
        assert {event.correlation_id for event in charged} == {"s"}
        assert [event.causation_id for event in charged] == [call_id] * 3 + [result.run_id]


async def test_a_workers_events_and_the_runs_below_belong_to_the_conversation_that_delegates() -> None:
    async with System() as system:
        hand_on = Agent(model=calling("delegate_to_prober", prompt="measure"), tools=[delegate("prober")])
        system.host(Agent(model="echo"), name="prober")
        system.host(hand_on, name="deputy")
        desk = Agent(model=calling("delegate_to_deputy", prompt="see to it"), tools=[delegate("deputy")])
        result = await system.host(desk, name="desk").run("Go", user_id="alice", session_id="s")
        started = [event for event in await told(system, "run") if event.type == "run.started"]
        assert [event.correlation_id for event in started] == ["s"] * 3
        deputy = started[1].run_id
        tasks = [(event.stream, event.type.partition(".")[2], event.run_id) for event in await told(system, "worker")]
        assert tasks == [
            ("worker-deputy", "task_accepted", result.run_id),
            ("worker-prober", "task_accepted", deputy),
            ("worker-prober", "task_ended", deputy),
            ("worker-deputy", "task_ended", result.run_id),
        ]
        for event in await told(system, "worker"):
            task_id = event.event.task_id  # type: ignore[attr-defined]  # pyright: ignore
            assert (event.user_id, event.correlation_id, event.causation_id) == ("alice", "s", task_id)


async def test_tasks_of_two_users_at_one_worker_end_each_as_its_own_users(nats_server: EmbeddedServer) -> None:
    ns, gate = namespace(), Gate()
    async with (
        System(nats=nats_server.url, namespace=ns) as here,
        System(nats=nats_server.url, namespace=ns, worker=True) as there,
    ):
        there.host(Agent(model=gate.model), name="prober")
        await there.start_hosting()
        await here.start_hosting()
        desk = here.host(
            Agent(model=calling("delegate_to_prober", prompt="measure"), tools=[delegate("prober")]), name="desk"
        )
        both = [asyncio.create_task(desk.run("Go", user_id=user, session_id=f"of-{user}")) for user in ("alice", "bob")]
        await until(lambda: gate.waiting == 2, WITHIN_S)
        gate.open()
        run_ids = {(await each).run_id for each in both}
        events = await told(there, "worker")
        assert {(event.type, event.user_id, event.correlation_id) for event in events} == {
            (f"worker.{name}", user, f"of-{user}")
            for name in ("task_accepted", "task_ended")
            for user in ("alice", "bob")
        }
        assert {event.run_id for event in events} == run_ids
        children = [event for event in await told(there, "run") if event.type == "run.started"]
        assert {(event.user_id, event.correlation_id) for event in children} == {
            ("alice", "of-alice"),
            ("bob", "of-bob"),
        }


@pytest.mark.parametrize("claimed", [("alice", "bob"), ("bob", "alice"), ("alice", "alice")])
async def test_a_task_on_bobs_subject_that_claims_to_be_alices_is_refused(claimed: tuple[str, str]) -> None:
    async with System(worker=True) as system:
        system.host(Agent(model="echo"), name="prober")
        await system.start_hosting()
        task = {"task_id": "c1", "run_id": "r2", "prompt": "measure", "user_id": claimed[0]}
        body = json.dumps({"task": task, "cause": {"user_id": claimed[1]}}).encode()
        with pytest.raises(Undecodable, match="task of user 'alice' came on"):
            answer(await system.bus.request(system.subjects.work("bob", "prober"), body, WITHIN_S))
        assert await told(system, "worker") == []
