"""How many model calls and tool calls an architecture takes, and what they add up to: each row of the pages' tables.

The pages are `docs/architectures.md` and `docs/teams.md`. Children count: what a run says that it used is what it used
and what all did that it asked.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from msgspec import Struct, structs
from pydantic import BaseModel
from thinking import CALLS, CRITIC, JUDGE, PROPOSER, REFINER, REFLECTOR, SCORER, STEPS, Parts, Says
from turns import Turn, calls, delegates, hands_over, results, taken

from treadle import Agent, FunctionModel, Message, ModelReply, RunResult, System, ToolSpec, Usage, tool
from treadle.actors.token_guess import guessed_usage
from treadle.architecture import (
    ActorCritic,
    BlackboardArchitecture,
    MultiAgentDebate,
    Reflexion,
    Router,
    RouterRoute,
    SelfRefine,
    Supervisor,
    Swarm,
    TreeOfThoughts,
)
from treadle.events.run import RunCompleted

EACH = Usage(100, 10)
"""What every model call uses."""

OWN = "own"
"""Who the model of the agent that is run is in the counts."""


class Counted:
    """Makes agents, and counts what they do.

    Attributes:
        calls: Model calls, by who was asked.
        tools: How often a tool was called.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.tools = 0

        @tool(read_only=True)
        async def look(at: str) -> str:
            """Look at something."""
            self.tools += 1
            return f"<{at}>"

        self.look = look

    def own(self, architecture: Any, parts: Mapping[str, Says] | str = "own words", **how: Any) -> Agent:
        """The agent that is run. Its model plays these parts; one part that says the same if that is a text."""
        return self._agent(OWN, architecture, {"": parts} if isinstance(parts, str) else parts, **how)

    def member(self, who: str, *turns: Turn) -> Agent:
        return self._agent(who, "react", {"": in_turn(*turns)})

    def _agent(self, who: str, architecture: Any, parts: Mapping[str, Says], **how: Any) -> Agent:
        played = Parts(parts)

        async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
            self.calls[who] += 1
            return structs.replace(await played.complete(messages, tools=tools), usage=EACH)

        return Agent(model=FunctionModel(answer), name=who, tools=[self.look], architecture=architecture, **how)


def in_turn(*turns: Turn) -> Callable[[Sequence[Message]], str | ModelReply]:
    """A part that takes these turns, one after the other since the last prompt; the last again and again."""

    def says(messages: Sequence[Message]) -> str | ModelReply:
        turn = turns[min(taken(messages), len(turns) - 1)]
        return turn(messages) if callable(turn) else turn

    return says


def looks(*places: str) -> ModelReply:
    return calls(*(("look", {"at": place}) for place in places))


class Sum(BaseModel):
    """What a team has to answer."""

    total: int


class Row(Struct, frozen=True):
    """One row: who makes how many calls, and how many tools are called."""

    what: str
    make: Callable[[Counted], Agent]
    calls: dict[str, int]
    tools: int = 0


NEVER_GOOD: dict[str, Says] = {JUDGE: "score: 0.1", REFLECTOR: "Look twice.", "": "a guess"}


def routed(counted: Counted, decider: Callable[[str, Sequence[RouterRoute]], str] | None = None) -> Agent:
    billing, tech = (counted.member(who, looks("ledger"), "paid") for who in ("billing", "tech"))
    routes = [RouterRoute("billing", billing), RouterRoute("tech", tech)]
    return counted.own(Router(routes, decider=decider), "route: billing\nconfidence: 1")


def led(counted: Counted, *turns: Turn) -> Agent:
    workers = {who: counted.member(who, f"{who} has it") for who in ("a", "b")}
    return counted.own(Supervisor(workers), {"": in_turn(*turns)})


def handed_over(counted: Counted) -> Agent:
    triage = counted.member("triage", looks("desk"), hands_over("billing", "Pay."))
    return counted.own(Swarm({"triage": triage, "billing": counted.member("billing", "paid")}, "triage"))


def debated(counted: Counted, *answers: str, own: str = "", **how: Any) -> Agent:
    debaters = [counted.member(f"debater {answer}", f"Final answer: {answer}") for answer in answers]
    return counted.own(MultiAgentDebate(debaters, counted.member("judge", "4")), own, **how)


def criticised(counted: Counted, score: float) -> Agent:
    actor, critic = counted.member("actor", "a draft"), counted.member("critic", f'{{"score": {score}, "issues": []}}')
    return counted.own(ActorCritic(actor, critic))


def at_a_board(counted: Counted, said: str = "", **how: Any) -> Agent:
    coordinator = counted.member("coordinator", lambda messages: ENDS if said in messages[-1].content else GOES_ON)
    decider = counted.member("decider", "so")
    worker = {"worker": counted.member("worker", "a guess")}
    return counted.own(BlackboardArchitecture(worker, coordinator if said else None, decider, **how))


GOES_ON, ENDS = '{"next_agent": "worker", "instruction": "Go on."}', '{"terminate": true}'
PLAN = json.dumps([{"id": f"E{number}", "tool": "look", "args": {"at": str(number)}} for number in range(1, 6)])

ROWS: list[Row] = [
    # Of one agent.
    Row(
        "ReAct: one a turn, whose tools are called together",
        lambda counted: counted.own("react", {"": in_turn(looks("a", "b"), looks("c"), "so")}),
        {OWN: 3},
        tools=3,
    ),
    Row(
        "SelfRefine: those of base, then 2 a round",
        lambda counted: counted.own("self-refine", {CRITIC: "- bad", REFINER: "better", "": "a guess"}),
        {OWN: 1 + 3 * 2},
    ),
    Row(
        "SelfRefine: 1 in the round that finds nothing",
        lambda counted: counted.own(SelfRefine("rewoo"), {CRITIC: "no issues", CALLS: PLAN, "": "so"}),
        {OWN: 2 + 1},
        tools=5,
    ),
    Row(
        "Reflexion: those of base and 1 an attempt",
        lambda counted: counted.own("reflexion", {JUDGE: "score: 0.9", "": in_turn(looks("a"), "so")}),
        {OWN: 2 + 1},
        tools=1,
    ),
    Row(
        "Reflexion: 1 for a lesson after an attempt that failed, and not after the last",
        lambda counted: counted.own("reflexion", NEVER_GOOD),
        {OWN: 3 * (1 + 1) + 2},
    ),
    Row(
        "Reflexion: 1 for the last lesson too where it is kept",
        lambda counted: counted.own("reflexion", NEVER_GOOD, memory=True),
        {OWN: 3 * (1 + 1) + 3},
    ),
    Row(
        "TreeOfThoughts: 21",
        lambda counted: counted.own(TreeOfThoughts(), {PROPOSER: "1. a\n2. b\n3. c", SCORER: "score: 0.5", "": "so"}),
        {OWN: (1 + 3) + 2 * 2 * (1 + 3) + 1},
    ),
    Row(
        "PlanAndExecute: 2 and the steps",
        lambda counted: counted.own("plan-and-execute", {STEPS: '["a", "b", "c"]', "": "so"}),
        {OWN: 2 + 3},
    ),
    Row(
        "ReWOO: 2, and the tools",
        lambda counted: counted.own("rewoo", {CALLS: PLAN, "": "so"}),
        {OWN: 2},
        tools=5,
    ),
    # Teams.
    Row(
        "Supervisor: 1 for each turn of the lead, 1 for each delegation",
        lambda counted: led(counted, delegates(a="1", b="2"), delegates(a="3"), results),
        {OWN: 3, "a": 2, "b": 1},
    ),
    Row(
        "Supervisor: none for what is forwarded",
        lambda counted: led(counted, delegates(a="1"), calls(("forward_message", {"worker": "a"}))),
        {OWN: 2, "a": 1},
    ),
    Row(
        "Swarm: 1 for each peer that has control",
        handed_over,
        {"triage": 2, "billing": 1},  # one calls a tool first
        tools=1,
    ),
    Row("Router: 1, and 1 specialist's run", routed, {OWN: 1, "billing": 2}, tools=1),
    Row(
        "Router: none when a function decides",
        lambda counted: routed(counted, decider=lambda prompt, routes: "tech"),
        {"tech": 2},
        tools=1,
    ),
    Row("ActorCritic: 2 a round", lambda counted: criticised(counted, 0.1), {"actor": 3, "critic": 3}),
    Row("ActorCritic: 2 when the first is good", lambda counted: criticised(counted, 0.95), {"actor": 1, "critic": 1}),
    Row(
        "MultiAgentDebate: debaters times 1 and rounds, 1 for the judge",
        lambda counted: debated(counted, "4", "5", "6"),
        {"debater 4": 1 + 2, "debater 5": 1 + 2, "debater 6": 1 + 2, "judge": 1},
    ),
    Row(
        "MultiAgentDebate: none after they agree",
        lambda counted: debated(counted, "4", "4", "4"),
        {"debater 4": 3},
    ),
    Row(
        "BlackboardArchitecture: 2 a round, 1 for the decider",
        lambda counted: at_a_board(counted, "never", max_rounds=3),
        {"coordinator": 3, "worker": 3, "decider": 1},
    ),
    Row(
        "BlackboardArchitecture: 1 for the word that it has ended",
        lambda counted: at_a_board(counted, "a guess"),
        {"coordinator": 1 + 1, "worker": 1, "decider": 1},
    ),
    Row(
        "BlackboardArchitecture: 1 a round without a coordinator",
        lambda counted: at_a_board(counted, max_rounds=2),
        {"worker": 2, "decider": 1},
    ),
    Row(
        "a team that nobody leads: 1 of its own, to correct an answer that does not fit",
        lambda counted: debated(counted, "4", "4", own='{"total": 4}', output_schema=Sum),
        {"debater 4": 2, OWN: 1},
    ),
    # Of both.
    Row(
        "Reflexion of Supervisor: those of the lead and its workers, and 1 an attempt",
        lambda counted: counted.own(
            Reflexion(Supervisor({"a": counted.member("a", "so")}), 2),
            {**NEVER_GOOD, "": in_turn(delegates(a="1"), results)},
        ),
        {OWN: 2 * (2 + 1) + 1, "a": 2},
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
async def test_an_architecture_takes_the_calls_that_the_pages_say_and_its_tokens_are_their_sum(row: Row) -> None:
    counted = Counted()
    async with System() as system:
        result = await system.host(row.make(counted)).run("Go.", user_id="alice")
        events = [recorded.event for recorded in await system.journal.read_all(limit=10_000)]

    total = sum(row.calls.values())
    assert (counted.calls, counted.tools) == (row.calls, row.tools)
    assert result.usage == Usage(EACH.input_tokens * total, EACH.output_tokens * total)
    assert (result.tokens_in, result.tokens_out, result.total_tokens) == (100 * total, 10 * total, 110 * total)
    assert result.turns == row.calls.get(OWN, 0)
    ends = [event for event in events if isinstance(event, RunCompleted)]
    assert sum((end.usage for end in ends), Usage()) == result.usage
    assert sum(end.turns for end in ends) == total


async def test_rewoo_takes_a_third_less_than_react_when_each_of_many_tools_needs_the_one_before() -> None:
    """What the page of another framework says of it: "30-50% cheaper than ReAct on tool-heavy workloads"."""
    plan = [
        {"id": f"E{n}", "tool": "find", "args": {"after": f"#E{n - 1}" if n > 1 else "fact 0"}} for n in range(1, 7)
    ]
    acts = in_turn(*(calls(("find", {"after": f"fact {n}"})) for n in range(6)), "so")
    react = await tokens("react", {"": acts})
    rewoo = await tokens("rewoo", {CALLS: json.dumps(plan), "": "so"})

    assert (react.turns, rewoo.turns) == (7, 2)
    assert rewoo.total_tokens < 0.7 * react.total_tokens


async def tokens(architecture: str, parts: Mapping[str, Says]) -> RunResult:
    """What comes of an agent whose model counts what it is sent and what it says."""
    played = Parts(parts)

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        reply = await played.complete(messages, tools=tools)
        return structs.replace(reply, usage=guessed_usage(messages, tools, reply))

    @tool(read_only=True)
    def find(after: str) -> str:
        """Find what follows from a fact."""
        return f"{after[:10]} and what follows from it: {'it is so, and not otherwise; ' * 15}"

    return await Agent(model=FunctionModel(answer), tools=[find], architecture=architecture).run("What follows?")
