"""A swarm: control passes from peer to peer, comes to an end, and stays where it was for the session's next message."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cuts import holds_at_every_cut
from hosting import namespace
from members import Member
from msgspec import structs
from pydantic import BaseModel
from turns import Turns, calls, hands_over, results

from treadle import (
    Agent,
    ConfigError,
    FunctionModel,
    Handoff,
    Message,
    ModelReply,
    RunError,
    RunState,
    StopContext,
    System,
    Tool,
    ToolSpec,
    tool,
)
from treadle.actors.stop_hooks import StopHooks
from treadle.actors.strategies import Peer
from treadle.architecture import Supervisor, Swarm
from treadle.events.run import RunStarted
from treadle.gateways.broker.server import EmbeddedServer


class Refund(BaseModel):
    order: int
    reason: str = "none"


def peer(*turns: Any, **how: Any) -> tuple[Turns, Agent]:
    said = Turns(*turns)
    return said, Agent("You are a peer.", model=said.model, **how)


def team(agents: Mapping[str, Agent | Peer | str], entry: str, **how: Any) -> Agent:
    return Agent(model="echo", name="swarm", architecture=Swarm(agents, entry, **how))


@asynccontextmanager
async def swarm(agents: Mapping[str, Agent | Peer | str], entry: str, **how: Any) -> AsyncGenerator[Agent]:
    """A swarm on a journal of its own."""
    async with System() as system:
        yield system.host(team(agents, entry, **how))


async def asked(agent: Agent) -> list[str]:
    """Whom the swarm has asked, in all of its runs."""
    events = await (await agent.node()).journal.read_all(limit=10_000)
    started = [recorded.event for recorded in events if isinstance(recorded.event, RunStarted)]
    return [event.agent for event in started if event.depth == 1]


def talk(messages: Sequence[Message]) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in messages if message.role != "system"]


# --- handing over ----------------------------------------------------------------------------------------------------


async def test_the_last_peers_answer_is_the_answer_and_each_turn_costs_one_call() -> None:
    triage, first = peer(hands_over("billing", "Refund order 7."))
    billing, second = peer("Refunded.")
    async with swarm({"triage": first, "billing": second}, "triage") as agent:
        result = await agent.run("My money back!")
        assert (result.output, result.state) == ("Refunded.", RunState.COMPLETED)
        assert await asked(agent) == ["triage", "billing"]
    assert (triage.calls, billing.calls) == (1, 1)
    assert result.usage.input_tokens == 200
    assert talk(billing.asked[0]) == [
        ("user", "My money back!"),
        ("assistant", "[triage hands over to billing]"),
        ("user", "Refund order 7."),
    ]


async def test_without_a_message_the_next_peer_is_asked_what_the_first_was() -> None:
    _, first = peer(hands_over("billing"))
    billing, second = peer("Refunded.")
    async with swarm({"triage": first, "billing": second}, "triage") as agent:
        await agent.run("My money back!")
    assert talk(billing.asked[0]) == [("user", "My money back!")]


async def test_without_the_full_history_a_peer_is_shown_the_message_alone() -> None:
    _, first = peer(hands_over("billing", "Refund order 7."))
    billing, second = peer("Refunded.")
    async with swarm({"triage": first, "billing": second}, "triage", pass_full_history=False) as agent:
        await agent.run("My money back!", session_id="s")
    assert talk(billing.asked[0]) == [("user", "Refund order 7.")]


async def test_a_handoff_to_nobody_is_told_to_the_peer() -> None:
    _, first = peer(hands_over("nobody", "Do it."), results)
    async with swarm({"triage": first, "billing": Agent(model="echo")}, "triage") as agent:
        result = await agent.run("Go")
        assert await asked(agent) == ["triage"]
    assert result.output == "ERROR: BadArguments: there is nobody called 'nobody' to hand over to; there are: billing"


async def test_a_peer_is_shown_whom_it_may_hand_over_to_and_not_itself() -> None:
    triage, first = peer("Answer.")
    async with swarm({"triage": first, "billing": Agent("You refund.", model="echo")}, "triage") as agent:
        await agent.run("Go")
    [spec] = triage.shown[0]
    assert spec.name == "handoff"
    assert b'"enum":["billing"]' in bytes(spec.parameters)
    assert b"- billing: You refund." in bytes(spec.parameters)


async def test_a_typed_handoff_is_a_tool_of_its_own_whose_arguments_are_checked() -> None:
    wrong = calls(("transfer_to_billing", {"order": "seven"}))
    triage, first = peer(wrong, calls(("transfer_to_billing", {"order": 7})))
    billing, second = peer("Refunded.")
    refunds = Handoff(second, input_type=Refund)
    agents: dict[str, Agent | Peer] = {"triage": first, "billing": refunds, "tech": Agent(model="echo")}
    async with swarm(agents, "triage") as agent:
        assert (await agent.run("My money back!")).output == "Refunded."
    assert [spec.name for spec in triage.shown[0]] == ["transfer_to_billing", "handoff"]
    assert "the arguments do not fit Refund" in triage.asked[1][-1].content
    assert talk(billing.asked[0])[-1] == ("user", '{"order":7}')


async def test_an_input_filter_says_what_of_the_conversation_is_shown() -> None:
    _, first = peer(hands_over("billing", "Refund order 7."))
    billing, second = peer("Refunded.")
    handoffs = {"billing": Handoff(second, input_filter=lambda history: history[:1])}
    async with swarm({"triage": first, "billing": second}, "triage", handoffs=handoffs) as agent:
        await agent.run("My money back!")
    assert talk(billing.asked[0]) == [("user", "My money back!"), ("user", "Refund order 7.")]


async def test_a_peer_may_itself_be_a_team() -> None:
    lead = Turns(calls(("delegate", {"worker": "a", "instructions": "count"})), hands_over("billing", "pay 3"))
    team_of_one = Agent(model=lead.model, architecture=Supervisor({"a": Member("3").agent}))
    async with swarm({"desk": team_of_one, "billing": Agent(model="echo")}, "desk") as agent:
        assert (await agent.run("How much?")).output == "Echo: pay 3"


async def test_a_hosted_agent_of_another_node_is_a_peer_by_its_name(nats_server: EmbeddedServer) -> None:
    ns = namespace()
    async with (
        System(nats=nats_server.url, namespace=ns) as here,
        System(nats=nats_server.url, namespace=ns, worker=True) as there,
    ):
        billing, far = peer("Refunded.")
        there.host(far, name="billing")
        await there.start_hosting()
        _, first = peer(hands_over("billing", "Refund order 7."))
        agent = here.host(team({"triage": first, "billing": "billing"}, "triage"))
        assert (await agent.run("My money back!")).output == "Refunded."
    assert next(text for _, text in talk(billing.asked[0])) == "My money back!"


# --- ends ------------------------------------------------------------------------------------------------------------


def passing(to: str, last: str = "I stop here.", told: list[str] | None = None) -> Agent:
    """A peer that hands over for as long as it may; `told` gets its prompts."""

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        if told is not None:
            told.append(messages[-1].content)
        return hands_over(to) if tools else last

    return Agent(model=FunctionModel(answer))


async def test_two_peers_that_pass_control_to_and_fro_are_stopped_after_six_handoffs_and_the_last_one_answers() -> None:
    async with swarm({"a": passing("b", "a stops"), "b": passing("a")}, "a") as agent:
        result = await agent.run("Go")
        assert await asked(agent) == ["a", "b", "a", "b", "a", "b", "a"]
    assert (result.state, result.interruption_reason) == (RunState.INTERRUPTED, "swarm:cycle_detected")
    assert result.output == "a stops"


@pytest.mark.parametrize(("most", "detect"), [(8, False), (3, True)])
async def test_a_swarm_that_has_handed_over_as_often_as_it_may_is_stopped(most: int, detect: bool) -> None:
    agents = {"a": passing("b"), "b": passing("a")}
    async with swarm(agents, "a", max_handoffs=most, detect_cycles=detect) as agent:
        result = await agent.run("Go")
        assert len(await asked(agent)) == most + 1
    assert (result.interruption_reason, result.output) == ("swarm:max_handoffs", "I stop here.")


async def test_three_peers_in_a_ring_are_no_pair_that_passes_control_to_and_fro() -> None:
    async with swarm({"a": passing("b"), "b": passing("c"), "c": passing("a")}, "a") as agent:
        assert (await agent.run("Go")).interruption_reason == "swarm:max_handoffs"


async def test_a_peer_that_fails_fails_the_swarm_with_its_reason() -> None:
    _, first = peer(hands_over("broken"))
    async with swarm({"triage": first, "broken": Member(OSError("no line")).agent}, "triage") as agent:
        with pytest.raises(RunError, match=r"swarm:peer_failed: the peer 'broken' gave no answer, .* no line"):
            await agent.run("Go")


async def test_a_peer_that_reaches_a_limit_interrupts_the_swarm_with_its_reason() -> None:
    _, first = peer(hands_over("nobody"), "never", max_turns=1)
    async with swarm({"triage": first, "b": Agent(model="echo")}, "triage") as agent:
        result = await agent.run("Go")
    assert result.state == RunState.INTERRUPTED
    assert result.interruption_reason.startswith("swarm:peer_interrupted: ")
    assert "max_turns" in result.interruption_reason


async def test_what_a_swarm_answers_is_what_the_swarm_is_asked_for_and_not_what_its_peers_are() -> None:
    _, first = peer(hands_over("billing"), output_schema=Refund)
    _, second = peer("Order 7, I think.", output_schema=list[str])
    corrects = Member('{"order": 7}')
    agents = {"triage": first, "billing": second}
    async with System() as system:
        agent = Agent(
            model=corrects.agent.spec.model, name="s", architecture=Swarm(agents, "triage"), output_schema=Refund
        )
        result = await system.host(agent).run("My money back!")
    assert (result.parsed, corrects.calls) == (Refund(order=7), 1)


# --- sessions --------------------------------------------------------------------------------------------------------


async def test_the_next_message_of_a_session_goes_to_the_last_active_peer_and_another_session_to_the_entry() -> None:
    _, first = peer(hands_over("billing", "Refund order 7."))
    billing, second = peer("Refunded.")
    async with swarm({"triage": first, "billing": second}, "triage") as agent:
        for prompt in ("My money back!", "When?", "Where?"):
            await agent.run(prompt, session_id="s")
        assert await asked(agent) == ["triage", "billing", "billing", "billing"]
        await agent.run("My money too!", session_id="other")
        assert (await asked(agent))[4:] == ["triage", "billing"]
    assert talk(billing.asked[1]) == [("user", "My money back!"), ("assistant", "Refunded."), ("user", "When?")]


async def test_another_process_knows_the_last_active_peer(tmp_path: object) -> None:
    for number in range(2):
        _, first = peer(hands_over("billing"))
        async with Agent(
            model="echo",
            name="swarm",
            architecture=Swarm({"triage": first, "billing": Agent(model="echo")}, "triage"),
            runtime=f"sqlite:{tmp_path}/runs.db",
        ) as agent:
            await agent.run(f"Hello {number}", session_id="s")
            assert await asked(agent) == ["triage", "billing", "billing"][: 2 + number]


async def test_a_swarm_may_begin_each_message_at_its_entry() -> None:
    _, first = peer(hands_over("billing"))
    async with swarm({"a": first, "billing": Agent(model="echo")}, "a", resume_last_agent=False) as agent:
        for _ in range(2):
            await agent.run("Go", session_id="s")
        assert await asked(agent) == ["a", "billing"] * 2


async def test_a_peer_that_is_no_longer_there_leaves_the_session_to_the_entry() -> None:
    _, first = peer(hands_over("billing"))
    async with System() as system:
        before = system.host(team({"triage": first, "billing": Agent(model="echo")}, "triage"))
        await before.run("Go", session_id="s")
        after = system.host(team({"desk": Agent(model="echo")}, "desk"))
        assert (await after.run("Again", session_id="s")).output == "Echo: Again"
        assert await asked(after) == ["triage", "billing", "desk"]


# --- crashes ---------------------------------------------------------------------------------------------------------


async def test_every_cut_of_a_swarm_goes_on_with_the_right_peer() -> None:
    triage, first = peer(hands_over("billing", "Refund order 7."))
    billing, second = peer(hands_over("tech", "Look why."))
    tech, third = peer("Mended.")
    agent = team({"triage": first, "billing": second, "tech": third}, "triage")
    result = await holds_at_every_cut(agent.spec, "Help!", lambda: triage.calls + billing.calls + tech.calls, "s")
    assert result.output == "Mended."


async def test_every_cut_of_a_swarm_that_goes_in_circles_ends_with_the_same_reason() -> None:
    told = list[str]()
    agent = team({"a": passing("b", told=told), "b": passing("a", told=told)}, "a")
    result = await holds_at_every_cut(agent.spec, "Go", lambda: len(told))
    assert result.interruption_reason == "swarm:cycle_detected"


# --- what is refused -------------------------------------------------------------------------------------------------


def named(name: str) -> Tool:
    @tool(name=name, read_only=True)
    def own() -> str:
        """A tool of a peer's own."""
        return "done"

    return own


def with_tool(name: str) -> Agent:
    return Agent(model="echo", tools=[named(name)])


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Swarm({"a": "a"}, "b"), "entry_agent='b' is none of the swarm's: a"),
        (lambda: Swarm({}, "b"), "none of the swarm's: none"),
        (lambda: Swarm({"a": "a"}, "a", max_handoffs=0), "from 1 on"),
        (lambda: Swarm(["a"], "a"), "by their names"),  # type: ignore[arg-type]  # pyright: ignore
        (lambda: Swarm({"a": with_tool("handoff"), "b": "b"}, "a"), "two tools of peer 'a' are called 'handoff'"),
        (
            lambda: Swarm({"a": with_tool("transfer_to_b"), "b": Handoff("b", input_type=int)}, "a"),
            "two tools of peer 'a' are called 'transfer_to_b'",
        ),
        (lambda: Swarm({"a": 7}, "a"), "must be an Agent"),  # type: ignore[dict-item]  # pyright: ignore
        (lambda: Swarm({"a b": "a", "a_b": "b"}, "a_b"), "would have one tool"),
        (lambda: Handoff("a", input_type="Refund"), "is no type"),
    ],
)
def test_what_cannot_be_a_swarm_is_refused(make: Callable[[], object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        make()


async def test_a_peer_that_gets_a_tool_of_the_swarms_name_later_is_refused_by_the_run() -> None:
    late = Agent(model="echo")
    async with swarm({"a": late, "b": Agent(model="echo")}, "a") as agent:
        late.add_tool(named("handoff"))
        with pytest.raises(RunError, match="two tools of peer 'a' are called 'handoff'"):
            await agent.run("Go")


async def test_a_swarm_that_is_sent_on_goes_on_with_the_peer_that_has_control() -> None:
    triage_said, triage = peer(hands_over("billing", "Refund it."))

    def settles(messages: Sequence[Message]) -> str:
        return f"Done: {messages[-1].content}"

    billing_said, billing = peer(settles)

    def hook(context: StopContext) -> str | None:
        return "Say when." if "when" not in context.output else None

    made = team({"triage": triage, "billing": billing}, "triage")
    made.spec = structs.replace(made.spec, gates=(StopHooks([hook]),))
    result = await holds_at_every_cut(made.spec, "My order.", lambda: triage_said.calls + billing_said.calls)
    assert result.output == "Done: Say when."
    assert [message.content for message in billing_said.asked[1][1:]][-3:] == [
        "My order.",
        "Done: Refund it.",
        "Say when.",
    ]
