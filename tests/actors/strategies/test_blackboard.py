"""Blackboard: agents take turns at a board that all of them, and whoever watches, can read while it fills."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hosting import WITHIN_S, namespace, outsider
from members import Member, Says, calls_of

from treadle import Agent, Blackboard, ConfigError, FunctionModel, Message, RunError, RunState, System, ToolSpec
from treadle.actors.strategies.blackboard import turn_in
from treadle.architecture import BlackboardArchitecture
from treadle.gateways.broker.server import EmbeddedServer


class Lab:
    """A team of these at a board."""

    def __init__(
        self, agents: Mapping[str, Says], coordinator: Says | None = None, decider: Says | None = None, **how: Any
    ) -> None:
        self.members = {name: Member(says) for name, says in agents.items()}
        self.coordinator = Member(coordinator or "")
        self.decider = Member(decider or "")
        architecture = BlackboardArchitecture(
            {name: member.agent for name, member in self.members.items()},
            None if coordinator is None else self.coordinator.agent,
            None if decider is None else self.decider.agent,
            **how,
        )
        self.agent = Agent(model="echo", name="lab", architecture=architecture)

    @property
    def calls(self) -> list[int]:
        return calls_of(self.coordinator, *self.members.values(), self.decider)


def next_is(agent: str, instruction: str = "") -> str:
    return f'{{"terminate": false, "next_agent": "{agent}", "instruction": "{instruction}"}}'


def in_turn(*replies: str) -> Says:
    """Says one after the other, by how many entries of agents the board has."""
    return lambda prompt: replies[prompt.count("[contribution of") + prompt.count("[failure of")]


END = '{"terminate": true}'


async def test_the_coordinator_picks_and_ends_and_the_decider_has_the_last_word() -> None:
    leads = in_turn(next_is("evidence", "Look it up."), next_is("hypothesis"), END)
    lab = Lab({"hypothesis": "It is the sea.", "evidence": "It tastes of salt."}, leads, "The sea.")
    async with lab.agent as agent:
        result = await agent.run("What is it?")
    assert (result.state, result.output) == (RunState.COMPLETED, "The sea.")
    assert lab.calls == [3, 1, 1, 1]
    (asked,) = lab.members["evidence"].prompts
    assert "What is it?" in asked
    assert "Look it up." in asked
    (after,) = lab.members["hypothesis"].prompts
    assert "[contribution of evidence]\nIt tastes of salt." in after
    (last,) = lab.decider.prompts
    assert last.index("salt") < last.index("It is the sea.")


async def test_without_a_coordinator_they_take_turns_and_the_last_contribution_is_the_answer() -> None:
    lab = Lab({"a": lambda prompt: f"A{prompt.count('[')}", "b": lambda prompt: f"B{prompt.count('[')}"}, max_rounds=3)
    async with lab.agent as agent:
        assert (await agent.run("Why?")).output == "A2"
    assert lab.calls == [0, 2, 1, 0]


async def test_rounds_that_are_over_end_it() -> None:
    lab = Lab({"a": "more"}, next_is("a"), "enough", max_rounds=4)
    async with lab.agent as agent:
        assert (await agent.run("Why?")).output == "enough"
    assert lab.calls == [4, 4, 1]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("Let a begin.", "has no JSON object: 'Let a begin.'"),
        (next_is("z"), "named 'z', and the agents are: a"),
        ("[]", "has no JSON object"),
    ],
)
async def test_a_reply_that_names_nobody_skips_the_round_and_is_said_to_the_coordinator(bad: str, why: str) -> None:
    lab = Lab(
        {"a": "found"},
        lambda prompt: END if "found" in prompt else next_is("a") if "came to nothing" in prompt else bad,
        max_rounds=3,
    )
    async with lab.agent as agent:
        assert (await agent.run("Why?")).output == "found"
    assert lab.calls == [3, 1, 0]
    assert why in lab.coordinator.prompts[1]


@pytest.mark.parametrize(
    ("says", "agent"),
    [
        ('{"terminate": "true"}', ""),
        ('{"terminate": 1}', ""),
        ('[{"terminate": true}]', ""),
        ('{"terminate": "false", "next_agent": "Alice"}', "alice"),
        ('{"next_agent": "**ALICE**."}', "alice"),
    ],
)
def test_what_models_make_of_a_coordinators_json_is_understood(says: str, agent: str) -> None:
    turn = turn_in(says, {"alice": Agent(model="echo")})
    assert (turn.agent, turn.terminate, turn.skipped) == (agent, not agent, "")


def test_agents_whose_names_differ_only_in_case_are_told_apart() -> None:
    agents = {"a": Agent(model="echo"), "A": Agent(model="echo")}
    assert [turn_in(f'{{"next_agent": "{name}"}}', agents).agent for name in agents] == ["a", "A"]


def test_agents_without_names_are_no_board() -> None:
    with pytest.raises(ConfigError, match="by their names"):
        BlackboardArchitecture(["a"])  # type: ignore[arg-type]  # pyright: ignore


async def test_when_every_round_is_skipped_the_run_is_interrupted_with_what_was_said() -> None:
    lab = Lab({"a": "found"}, "Hm.", "never asked", max_rounds=2)
    async with lab.agent as agent:
        result = await agent.run("Why?")
    assert (result.state, result.output) == (RunState.INTERRUPTED, "")
    assert result.interruption_reason.startswith("blackboard:no_contribution: the coordinator's reply has no JSON")
    assert lab.calls == [2, 0, 0]


async def test_work_that_is_ended_before_it_began_has_no_answer() -> None:
    lab = Lab({"a": "found"}, END)
    async with lab.agent as agent:
        result = await agent.run("Why?")
    assert result.interruption_reason == "blackboard:no_contribution: it was ended before anybody had worked"


async def test_an_agent_that_fails_leaves_its_error_on_the_board_and_the_others_go_on() -> None:
    leads = in_turn(next_is("a"), next_is("b"), END)
    lab = Lab({"a": ValueError("no pen"), "b": "found"}, leads)
    async with lab.agent as agent:
        assert (await agent.run("Why?")).output == "found"
    assert "[failure of a]" in lab.members["b"].prompts[0]
    assert "no pen" in lab.members["b"].prompts[0]


async def test_when_all_fail_the_run_fails_with_their_reasons() -> None:
    lab = Lab({"a": ValueError("no pen"), "b": ValueError("no ink")}, decider="never asked", max_rounds=2)
    async with lab.agent as agent:
        with pytest.raises(RunError, match=r"blackboard:no_contribution: a .*no pen; b .*no ink"):
            await agent.run("Why?")


@pytest.mark.parametrize("role", ["coordinator", "decider"])
async def test_a_coordinator_or_decider_that_fails_leaves_the_last_contribution_and_the_reason(role: str) -> None:
    def leads(prompt: str) -> str:
        if "found" not in prompt:
            return next_is("a")
        if role == "coordinator":
            raise ValueError("no voice")
        return END

    lab = Lab({"a": "found"}, leads, ValueError("no voice"))
    async with lab.agent as agent:
        result = await agent.run("Why?")
    assert (result.state, result.output) == (RunState.INTERRUPTED, "found")
    assert result.interruption_reason.startswith(f"blackboard:{role}_failed: ")
    assert "no voice" in result.interruption_reason


class Waiting:
    """An agent that answers when it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.agent = Agent(model=FunctionModel(self._answer))

    async def _answer(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        self.asked.append(messages[-1].content)
        await self.go.wait()
        return "second"


async def test_a_board_is_watched_over_nats_while_it_fills(nats_server: EmbeddedServer) -> None:
    second, name = Waiting(), namespace()
    architecture = BlackboardArchitecture({"a": Member("first").agent, "b": second.agent}, max_rounds=2)
    async with (
        asyncio.timeout(WITHIN_S),
        System(nats=nats_server.url, namespace=name) as system,
        outsider(nats_server.url, name) as client,
        client.listening("event.alice.blackboard.*.posted") as heard,
    ):
        team = system.host(Agent(model="echo", name="lab", architecture=architecture))
        running = asyncio.create_task(team.run("Why?", user_id="alice"))
        entry = await heard.event()
        assert (entry["data"]["author"], entry["data"]["content"]) == ("a", "first")
        assert not running.done()
        second.go.set()
        assert (await heard.event())["data"]["content"] == "second"
        assert (await running).output == "second"


async def test_what_others_post_meanwhile_is_read_with_the_rest_and_may_be_the_answer() -> None:
    first = Waiting()
    third = Member("third")
    architecture = BlackboardArchitecture({"a": first.agent, "b": third.agent}, max_rounds=2)
    async with asyncio.timeout(WITHIN_S), System() as system:
        run = await system.host(Agent(model="echo", name="lab", architecture=architecture)).session("s").start("Why?")
        board = Blackboard(run.id, system)
        await board.post("It is Bern.", author="bob", kind="answer")
        first.go.set()
        result = await run.wait()
        entries = await board.read()
    assert result.output == "It is Bern."
    assert "[answer of bob]\nIt is Bern." in third.prompts[0]
    assert [entry.author for entry in entries] == ["bob", "a", "b"]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"agents": {}}, "has nobody who works"),
        ({"agents": {"": Member("a").agent}}, "must be a text"),
        ({"agents": {"a": None}}, "agent 'a' must be an Agent"),
        ({"coordinator": 7}, r"BlackboardArchitecture\(coordinator=\) must be an Agent"),
        ({"max_rounds": 0}, "from 1 on"),
        ({"agent_template": "Go."}, r"agent_template has no place for \{board\}, \{instruction\}"),
    ],
)
def test_what_could_never_work_is_refused(how: Any, why: str) -> None:
    given: dict[str, Any] = {"agents": {"a": Member("a").agent}, **how}
    with pytest.raises(ConfigError, match=why):
        BlackboardArchitecture(**given)
