"""A supervisor: delegates in parallel, passes on, goes on, spawns; and nothing of it is in the object."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cuts import holds_at_every_cut
from hosting import WITHIN_S, Gate, namespace
from members import Member
from thinking import Parts
from turns import Turns, calls, delegates, results
from waiting import until

from treadle import (
    Agent,
    ConfigError,
    Limits,
    Message,
    ModelReply,
    RunState,
    System,
    Team,
    get_run_context,
    tool,
)
from treadle.actors.children import MAX_DEPTH
from treadle.actors.strategies.architecture import GivenArchitecture, calls_tools
from treadle.architecture import (
    ActorCritic,
    BlackboardArchitecture,
    MultiAgentDebate,
    Reflexion,
    Router,
    RouterRoute,
    Supervisor,
    Swarm,
)
from treadle.events.child_step import ChildEnded, ChildRequested, WorkerSpawned
from treadle.events.event import Event
from treadle.events.run import RunCancelled, RunStarted
from treadle.gateways.broker.server import EmbeddedServer


def echoing(prefix: str) -> Member:
    return Member(lambda prompt: f"{prefix}: {prompt}")


def team(lead: Turns, supervisor: Supervisor, **more: Any) -> Agent:
    return Agent("You lead.", model=lead.model, name="lead", architecture=supervisor, **more)


@asynccontextmanager
async def led(lead: Turns, supervisor: Supervisor, **more: Any) -> AsyncGenerator[Agent]:
    """A team on a journal of its own."""
    async with System() as system:
        yield system.host(team(lead, supervisor, **more))


async def events(agent: Agent, kind: type[Event]) -> list[Event]:
    journal = (await agent.node()).journal
    return [recorded.event for recorded in await journal.read_all(limit=10_000) if isinstance(recorded.event, kind)]


# --- delegating ------------------------------------------------------------------------------------------------------


async def test_two_delegations_of_one_turn_cost_two_calls_of_the_lead_and_one_of_each_worker() -> None:
    lead, a, b = Turns(delegates(a="count", b="weigh"), results), echoing("a"), echoing("b")
    async with led(lead, Supervisor({"a": a.agent, "b": b.agent})) as agent:
        result = await agent.run("Measure.")
        started = [event.agent for event in await events(agent, RunStarted) if isinstance(event, RunStarted)]
    assert result.output == "a: count | b: weigh"
    assert (lead.calls, a.calls, b.calls) == (2, 1, 1)
    assert started == ["lead", "a", "b"]
    assert result.usage.input_tokens == 220


async def test_the_lead_is_told_who_its_workers_are_and_shown_the_tools() -> None:
    lead, a = Turns("done"), Agent("You count   things.", model="echo")
    async with led(lead, Supervisor({"a": a, "far": "elsewhere"})) as agent:
        await agent.run("Go")
    system = lead.asked[0][0].content
    assert system.startswith("You lead.\n\n")
    assert "- a: You count things.\n- far" in system
    assert [spec.name for spec in lead.shown[0]] == ["delegate", "forward_message", "send_message"]


async def test_workers_of_one_turn_work_beside_one_another() -> None:
    gate, lead = Gate(), Turns(delegates(a="1", b="2", c="3"), results)
    workers = {role: Agent(model=gate.model) for role in "abc"}
    async with led(lead, Supervisor(workers)) as agent:
        running = asyncio.create_task(agent.run("Go"))
        await until(lambda: gate.waiting == 3)
        gate.open()
        assert (await running).output == "answer to 1 | answer to 2 | answer to 3"


async def test_a_worker_that_fails_or_is_interrupted_is_told_to_the_lead_as_such() -> None:
    lead = Turns(delegates(broken="1", poor="2", nobody="3"), results)
    poor = Agent(model="echo", budget=Limits(max_tokens=1))
    async with led(lead, Supervisor({"broken": Member(OSError("no probe")).agent, "poor": poor})) as agent:
        result = await agent.run("Go")
    broken, interrupted, nobody = result.output.split(" | ")
    assert result.state == RunState.COMPLETED
    assert "worker 'broken' ended failed" in broken
    assert "no probe" in broken
    assert interrupted == "[interrupted: budget:max_tokens]"
    assert "there is no worker 'nobody'; there are: broken, poor" in nobody


async def test_arguments_that_are_missing_or_unknown_are_told_to_the_lead() -> None:
    wrong = calls(("delegate", {"worker": "a"}), ("delegate", {"worker": "a", "instructions": "b", "by": "noon"}))
    lead, a = Turns(wrong, results), echoing("a")
    async with led(lead, Supervisor({"a": a.agent})) as agent:
        result = await agent.run("Go")
    assert result.output == ("ERROR: instructions must be a text that says something | ERROR: there is no argument by")
    assert a.calls == 0


async def test_supervisors_that_lead_each_other_in_a_circle_end_with_a_recorded_failure() -> None:
    async with System() as system:
        first, second = (
            system.host(
                Agent(
                    model=Turns(delegates(**{other: "you do it"}), results).model,
                    architecture=Supervisor({other: other}, persistent_subagents=True),
                ),
                name=name,
            )
            for name, other in (("a", "b"), ("b", "a"))
        )
        async with asyncio.timeout(WITHIN_S):
            result = await first.run("Go", user_id="alice")
        assert second.name == "b"
        recorded = [event.type for event in await system.journal.read_all(0, 10_000)]
    assert "may not delegate further; is this a circle?" in result.output
    assert recorded.count("run.started") == MAX_DEPTH + 1


# --- passing on, going on --------------------------------------------------------------------------------------------


async def test_a_forwarded_answer_is_the_answer_word_for_word_and_ends_the_turn() -> None:
    words = "  Three,\n and not four. "
    lead = Turns(delegates(a="count"), calls(("forward_message", {"worker": "a"})))
    async with led(lead, Supervisor({"a": Member(words).agent})) as agent:
        result = await agent.run("How many?")
    assert (result.output, lead.calls) == (words, 2)
    assert result.ended_by is not None
    assert result.ended_by.tool == "forward_message"


async def test_the_last_answer_is_forwarded_also_when_it_was_given_in_the_same_turn() -> None:
    both = calls(("forward_message", {"worker": "a"}), ("delegate", {"worker": "a", "instructions": "again"}))
    lead = Turns(delegates(a="count"), both)
    async with led(lead, Supervisor({"a": echoing("a").agent})) as agent:
        assert (await agent.run("How many?")).output == "a: again"


async def test_a_worker_that_has_not_answered_cannot_be_forwarded() -> None:
    lead = Turns(calls(("forward_message", {"worker": "a"})), results)
    async with led(lead, Supervisor({"a": echoing("a").agent})) as agent:
        assert "worker 'a' has not answered anything in this run" in (await agent.run("How many?")).output


@pytest.mark.parametrize("persistent", [True, False])
async def test_a_message_goes_on_with_the_conversation_of_its_worker(persistent: bool) -> None:
    sends = calls(("send_message", {"to": "a", "content": "And in grams?"}))
    lead, a = Turns(delegates(a="weigh"), sends, results), echoing("a")
    async with led(lead, Supervisor({"a": a.agent}, persistent_subagents=persistent)) as agent:
        assert (await agent.run("Go", user_id="alice")).output == "a: And in grams?"
    said = [message.content for message in a.asked[1] if message.role != "system"]
    assert said == ["weigh", "a: weigh", "And in grams?"]


async def test_a_persistent_worker_keeps_a_conversation_per_user_and_another_worker_none_over_runs() -> None:
    lead, keeps, forgets = Turns(delegates(keeps="1"), "done"), echoing("k"), echoing("f")
    async with led(lead, Supervisor({"keeps": keeps.agent}, persistent_subagents=True)) as agent:
        for user in ("alice", "alice", "bob"):
            await agent.run("Go", user_id=user)
        for _ in range(2):
            await agent.run("Go")  # nobody knows that these are one person's
    assert [len(messages) for messages in keeps.asked] == [2, 4, 2, 2, 2]
    lead = Turns(delegates(forgets="1"), "done")
    async with led(lead, Supervisor({"forgets": forgets.agent})) as agent:
        for _ in range(2):
            await agent.run("Go", user_id="alice")
    assert [len(messages) for messages in forgets.asked] == [2, 2]


async def test_a_worker_with_other_instructions_begins_another_conversation() -> None:
    lead, a = Turns(delegates(a="1"), "done"), echoing("a")
    supervisor = Supervisor({"a": a.agent}, persistent_subagents=True)
    async with led(lead, supervisor) as agent:
        await agent.run("Go", user_id="alice")
        other = Agent("You work alone.", model=a.agent.spec.model)
        supervisor.add_worker("b", other)
        supervisor.remove_worker("a")
        supervisor.add_worker("a", other)
        await agent.run("Go", user_id="alice")
    assert [len(messages) for messages in a.asked] == [2, 2]


# --- spawning --------------------------------------------------------------------------------------------------------


def spawns(role: str, instructions: str = "You check.") -> tuple[str, dict[str, str]]:
    return ("spawn_worker", {"role": role, "instructions": instructions})


async def test_a_spawned_worker_is_an_event_and_can_be_delegated_to() -> None:
    lead = Turns(calls(spawns("checker")), delegates(checker="Check it."), results)
    template = echoing("c")
    supervisor = Supervisor({}, allow_spawn=True, spawn_template=template.agent)
    async with led(lead, supervisor) as agent:
        assert (await agent.run("Go")).output == "c: Check it."
        [spawned] = await events(agent, WorkerSpawned)
    assert isinstance(spawned, WorkerSpawned)
    assert (spawned.role, spawned.instructions) == ("checker", "You check.")
    assert template.asked[0][0].content == "You check."
    assert supervisor.declared_workers() == {}


async def test_a_spawned_worker_thinks_with_the_model_of_its_supervisor() -> None:
    lead = Turns(calls(spawns("checker")), delegates(checker="Check it."), results)
    async with led(lead, Supervisor({}, allow_spawn=True)) as agent:
        result = await agent.run("Go", user_id="alice")
        names = [event.agent for event in await events(agent, RunStarted) if isinstance(event, RunStarted)]
    # It is led by the same turns, and has no tools to take the first of them with.
    assert "there is no tool 'delegate'; there are: none" in result.output
    assert names == ["lead", "checker"]


async def test_a_run_spawns_no_more_than_it_may_and_no_role_twice() -> None:
    turn = calls(spawns("a"), spawns("a"), spawns("known"), spawns("b"), spawns("c"), spawns("no good"))
    lead = Turns(turn, results)
    supervisor = Supervisor({"known": "somebody"}, allow_spawn=True, max_spawned=2)
    async with led(lead, supervisor) as agent:
        said = (await agent.run("Go")).output.split(" | ")
        assert len(await events(agent, WorkerSpawned)) == 2
        await agent.run("Go")
        assert len(await events(agent, WorkerSpawned)) == 4  # another run begins with none
    assert "there is a worker 'a' already" in said[1]
    assert "there is a worker 'known' already" in said[2]
    assert "has spawned 2 workers" in said[4]
    assert "must be 1 to 64 letters" in said[5]


async def test_without_leave_to_spawn_there_is_no_tool_for_it() -> None:
    lead = Turns(calls(spawns("a")), results)
    async with led(lead, Supervisor({"b": "b"})) as agent:
        assert "there is no tool 'spawn_worker'" in (await agent.run("Go")).output


# --- what it shares, and what not ------------------------------------------------------------------------------------


async def test_workers_that_come_or_go_do_so_for_runs_that_begin_later() -> None:
    gate, b = Gate(), echoing("b")
    lead = Turns(delegates(a="1"), delegates(a="1", b="2"), results)
    supervisor = Supervisor({"a": Agent(model=gate.model)})
    async with led(lead, supervisor) as agent:
        running = asyncio.create_task(agent.run("Go"))
        await until(lambda: gate.waiting == 1)
        supervisor.add_worker("b", b.agent)
        supervisor.remove_worker("a")
        gate.open()
        before, after = (await running).output, (await agent.run("Go")).output
    assert before.startswith("answer to 1 | ERROR")
    assert "there is no worker 'b'; there are: a" in before
    assert "there is no worker 'a'; there are: b" in after
    assert after.endswith("| b: 2")
    assert "- b: You work in a team." in lead.asked[-1][0].content


async def test_two_users_who_share_one_supervisor_share_nothing() -> None:
    forwards = ("forward_message", {"worker": "a"})
    asks = ("delegate", {"worker": "s", "instructions": "?"})
    supervisor = Supervisor({"a": echoing("a").agent}, persistent_subagents=True, allow_spawn=True)
    async with System() as system:
        first = system.host(team(Turns(calls(spawns("s")), delegates(a="of alice"), "done"), supervisor))
        second = system.host(team(Turns(calls(forwards, asks), results), supervisor), name="other")
        await first.run("Go", user_id="alice")
        result = await second.run("Go", user_id="bob")
    assert "worker 'a' has not answered anything in this run" in result.output
    assert "there is no worker 's'; there are: a" in result.output


async def test_user_metadata_and_depth_reach_the_workers_and_a_cap_holds_for_all_of_them() -> None:
    seen: list[tuple[str, object]] = []

    @tool
    async def look() -> str:
        context = get_run_context()
        seen.append((context.user_id, context.metadata.get("tenant")))
        return "seen"

    worker = Turns(calls(("look", {})), "looked")
    lead = Turns(delegates(a="1"), delegates(a="2"), delegates(a="3"), "done")
    supervisor = Supervisor({"a": Agent(model=worker.model, tools=[look], options={"max_tokens": 10})})
    async with led(lead, supervisor, budget=Limits(max_tokens=700), options={"max_tokens": 10}) as agent:
        result = await agent.run("Go", user_id="alice", metadata={"tenant": "acme"})
        depths = [event.depth for event in await events(agent, RunStarted) if isinstance(event, RunStarted)]
    assert seen[0] == ("alice", "acme")
    assert depths[:2] == [0, 1]
    assert result.interruption_reason == "budget:max_tokens"
    assert result.usage.total_tokens <= 700


async def test_a_supervisor_that_is_cancelled_takes_its_workers_along() -> None:
    gate, lead = Gate(), Turns(delegates(a="1", b="2"), results)
    workers = {role: Agent(model=gate.model) for role in "ab"}
    async with led(lead, Supervisor(workers)) as agent:
        run = await agent.session("s").start("Go")
        await until(lambda: gate.waiting == 2)
        await run.cancel("nobody wants it")
        assert (await run.wait()).state == RunState.CANCELLED
        assert gate.waiting == 0
        assert len(await events(agent, RunCancelled)) == 3
        ended = [event for event in await events(agent, ChildEnded) if isinstance(event, ChildEnded)]
    assert [child.state for child in ended] == ["cancelled", "cancelled"]


async def test_hosted_workers_on_two_nodes_are_led_by_their_names(nats_server: EmbeddedServer) -> None:
    ns, seen = namespace(), list[object]()

    @tool
    async def look() -> str:
        seen.append((get_run_context().user_id, get_run_context().metadata.get("tenant")))
        return "seen"

    async with (
        System(nats=nats_server.url, namespace=ns) as here,
        System(nats=nats_server.url, namespace=ns, worker=True) as there,
    ):
        far = Turns(calls(("look", {})), lambda messages: f"far, after {len(messages)}")
        there.host(Agent(model=far.model, tools=[look]), name="far")
        here.host(echoing("near").agent, name="near")
        await there.start_hosting()
        sends = calls(("send_message", {"to": "far", "content": "3"}))
        lead = Turns(delegates(near="1", far="2"), results, "done")
        supervisor = Supervisor({"near": "near", "far": "far"}, persistent_subagents=True)
        agent = here.host(team(lead, supervisor))
        async with asyncio.timeout(WITHIN_S):
            first = await agent.run("Go", user_id="alice", metadata={"tenant": "acme"})
            again = Turns(sends, results)
            other = here.host(Agent(model=again.model, architecture=supervisor), name="other")
            second = await other.run("Go", user_id="alice")
    assert first.output == "near: 1 | far, after 3"
    assert second.output == "far, after 5"  # the conversation is where the worker is
    assert seen[0] == ("alice", "acme")


# --- crashes ---------------------------------------------------------------------------------------------------------


async def test_every_cut_of_a_supervisor_that_delegates_and_forwards_ends_alike() -> None:
    forwards = calls(("forward_message", {"worker": "b"}))
    lead, a, b = Turns(delegates(a="count", b="weigh"), forwards), echoing("a"), echoing("b")
    agent = team(lead, Supervisor({"a": a.agent, "b": b.agent}))
    result = await holds_at_every_cut(agent.spec, "Go", lambda: lead.calls + a.calls + b.calls)
    assert result.output == "b: weigh"


async def test_every_cut_of_a_supervisor_that_spawns_and_sends_ends_alike() -> None:
    sends = calls(("send_message", {"to": "checker", "content": "Again."}))
    lead, template = Turns(calls(spawns("checker")), delegates(checker="Check."), sends, results), echoing("c")
    agent = team(lead, Supervisor({}, allow_spawn=True, spawn_template=template.agent))
    result = await holds_at_every_cut(agent.spec, "Go", lambda: lead.calls + template.calls)
    assert result.output == "c: Again."
    assert len(template.asked[-1]) in (2, 4)


async def test_every_cut_of_a_supervisor_whose_workers_keep_conversations_ends_alike() -> None:
    sends = calls(("send_message", {"to": "a", "content": "Again."}))
    tasks = [("delegate", {"worker": worker, "instructions": task}) for worker, task in ("a1", "b2", "a3")]
    lead, a, b = Turns(calls(*tasks), sends, results), echoing("a"), echoing("b")
    agent = team(lead, Supervisor({"a": a.agent, "b": b.agent}, persistent_subagents=True))
    result = await holds_at_every_cut(agent.spec, "Go", lambda: lead.calls + a.calls + b.calls, session_id="s")
    assert result.output == "a: Again."


async def test_every_cut_of_a_supervisor_of_a_supervisor_ends_alike() -> None:
    inner, outer, a = Turns(delegates(a="count"), results), Turns(delegates(inner="measure"), results), echoing("a")
    middle = Agent(model=inner.model, architecture=Supervisor({"a": a.agent}))
    agent = team(outer, Supervisor({"inner": middle}))
    result = await holds_at_every_cut(agent.spec, "Go", lambda: inner.calls + outer.calls + a.calls)
    assert result.output == "a: count"


async def test_every_cut_of_a_reflexion_over_a_supervisor_ends_alike() -> None:
    def lead(messages: Sequence[Message]) -> str | ModelReply:
        return results(messages) if messages[-1].role == "tool" else delegates(a="count")

    a, model = echoing("a"), Parts({"a judge": "score: 0.2", "look back": "Count twice.", "": lead})
    reflexion = Reflexion(Supervisor({"a": a.agent}), max_attempts=2)
    agent = Agent(model=model, name="lead", architecture=reflexion)
    result = await holds_at_every_cut(agent.spec, "Go", lambda: model.total + a.calls)
    assert result.output == "a: count"
    assert agent.tools_list() == ["delegate", "forward_message", "send_message"]


async def test_a_fork_forwards_what_a_worker_had_answered_before_it() -> None:
    lead, a = Turns(delegates(a="count"), calls(("forward_message", {"worker": "a"}))), echoing("a")
    async with led(lead, Supervisor({"a": a.agent})) as agent:
        first = await agent.run("How many?")
        fork = await agent.fork(first.run_id, at="1-2")
        assert (await fork.wait()).output == "a: count"
    assert (lead.calls, a.calls) == (3, 1)


async def test_a_run_goes_on_with_the_workers_that_it_began_with() -> None:
    """What it is told of them is recorded: another worker since then changes nothing that it sends."""
    gate = Gate()
    lead = Turns(delegates(a="1"), results)
    supervisor = Supervisor({"a": Agent(model=gate.model)})
    async with led(lead, supervisor) as agent:
        running = asyncio.create_task(agent.run("Go", session_id="s"))
        await until(lambda: gate.waiting == 1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        supervisor.add_worker("b", "somebody")
        gate.open()
        assert (await agent.resume("s")).output == "answer to 1"
        assert len(await events(agent, ChildRequested)) == 1
    assert lead.asked[0][0] == lead.asked[1][0]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Supervisor({}), "leads nobody"),
        (lambda: Supervisor({"": "a"}), "must be a text that names it"),
        (lambda: Supervisor(["a"]), r"Supervisor\(workers=\) takes members by their names"),  # type: ignore[arg-type]  # pyright: ignore
        (lambda: Team.supervisor(["a"], model="echo"), "by their names"),  # type: ignore[arg-type]  # pyright: ignore
        (lambda: Supervisor({"a": "a"}, base="plan-and-execute"), "would never ask its workers"),
        (lambda: Supervisor({"a": "a"}, base="tree-of-thoughts"), "calls no tools"),
        (lambda: Supervisor({"a": "a"}, base=Reflexion(Swarm({"b": "b"}, "b"))), "would never ask its workers"),
        (lambda: Supervisor({"a": "a"}, base=ActorCritic("b", "c")), "would never ask its workers"),
        (lambda: Supervisor({"a": "a"}, base=MultiAgentDebate(["b", "c"])), "would never ask its workers"),
        (lambda: Supervisor({"a": "a"}, base=BlackboardArchitecture({"b": "b"})), "would never ask its workers"),
        (lambda: Supervisor({"a": "a"}, base=Router([RouterRoute("b", "b")])), "would never ask its workers"),
        (lambda: Supervisor({"a": 7}), "must be an Agent"),  # type: ignore[dict-item]  # pyright: ignore
        (lambda: Supervisor({"a": "a"}, allow_spawn=True, max_spawned=0), "from 1 on"),
        (lambda: Supervisor({"a": "a"}, spawn_template="a"), "is made of an agent"),
        (lambda: Supervisor({"a": "a"}, instructions_template="Lead."), "no place for {workers}"),
        (lambda: Supervisor({"a": "a"}).add_worker("a", "b"), "already"),
        (lambda: Supervisor({"a": "a"}).remove_worker("b"), "no worker 'b'"),
        (lambda: Supervisor({"a": "a"}).remove_worker("a"), "only worker"),
    ],
)
def test_what_cannot_be_led_is_refused(make: Callable[[], object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        make()


@pytest.mark.parametrize("base", ["react", "rewoo", "self-refine", Reflexion("rewoo"), Supervisor({"b": "b"})])
def test_what_calls_tools_may_lead(base: GivenArchitecture) -> None:
    assert calls_tools(Supervisor({"a": "a"}, base=base))
