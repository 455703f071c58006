"""loomflow's blocks on architectures and teams, with only the import root changed.

Models that are named are asked at a server that speaks their providers' protocols; the agents that the originals take
for granted have scripted models.
"""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from blocks import Page, Source, at_providers, imported
from members import Member
from model_servers import AiMock

from treadle import Agent, FunctionModel, HashEmbedder, ModelReply, ToolCall
from treadle.vectorstore import InMemoryVectorStore

SOURCES = {
    "architectures by name": [Source("readme 0.10", 112, 118), Source("readme 0.9", 292, 299)],
    "teams": [Source("readme 0.10", 125, 173), Source("readme 0.9", 311, 365)],
    "architectures of architectures": [Source("readme 0.10", 180, 191), Source("readme 0.9", 377, 389)],
    "an architecture without an agent": [Source("readme 0.10", 198, 201), Source("readme 0.9", 401, 405)],
    "cheat sheet, Reflexion of a Supervisor": [Source("readme 0.10", 339, 346), Source("readme 0.9", 608, 615)],
    "names of the feature tables": [Source("readme 0.10", 796, 801), Source("readme 0.9", 1238, 1240)],
}
"""Every block of the readmes on architectures and teams; the quickstart and the site have those on workflows alone."""

PAGE = Page(
    Path(__file__).with_name("architectures.md"),
    elided={
        'model="..."': 'model="gpt-4.1-mini"',
        '"researcher": ...': '"researcher": researcher',
        '"writer": ...': '"writer": writer',
        '"reviewer": ...': '"reviewer": reviewer',
    },
)


def says(
    system: str, answer: str | list[ToolCall], *, user: str = "", after_tool: bool | None = None
) -> dict[str, Any]:
    """What the providers answer to who is told `system`."""
    match: dict[str, Any] = {"systemMessage": system}
    if user:
        match["userMessage"] = user
    if after_tool is not None:
        match["hasToolResult"] = after_tool
    if isinstance(answer, str):
        return {"match": match, "response": {"content": answer}}
    calls = [{"name": call.tool, "arguments": json.dumps(call.args)} for call in answer]
    return {"match": match, "response": {"toolCalls": calls}}


def delegates(*roles: str) -> list[ToolCall]:
    return [ToolCall("", "delegate", {"worker": role, "instructions": f"Work, {role}."}) for role in roles]


PROVIDERS = [
    # architectures of one agent
    says("reviewer of the answer", "no issues"),
    says("judge of the answer", "score: 0.9\nGood."),
    says("you plan the work", '["Think.", "Write."]'),
    says("You carry out a plan", "done"),
    says("steps of your plan", "It is planned."),
    says("plan which tools to call", "[]"),
    says("you think ahead", "1. This way.\n2. That way.\n3. Another way."),
    says("judge a line of thought", "score: 1.0"),
    says("thought about this before", "It is thought through."),
    # teams
    says("manage the pipeline", "The report is done.", after_tool=True),
    says("manage the pipeline", delegates("researcher", "writer")),
    says("customer support entry point", "route: billing\nconfidence: 0.9"),
    says("...", '{"score": 0.95, "issues": [], "summary": "Good."}', user="Judge an answer"),
    says("You lead the workers", "What the workers found.", after_tool=True),
    says("...\n\nYou lead the workers", delegates("researcher")),
    says("You lead the workers", delegates("a")),
    says("...", "It is written."),
]


@pytest.fixture(scope="module")
def providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AiMock]:
    with AiMock(tmp_path_factory.mktemp("providers"), PROVIDERS) as server:
        yield server


@pytest.fixture(autouse=True)
async def environment(monkeypatch: pytest.MonkeyPatch, providers: AiMock) -> AsyncIterator[None]:
    at_providers(monkeypatch, providers)
    yield
    await Agent(model="echo").aclose()


class Asked:
    """How many calls a piece of code made to the providers."""

    def __init__(self, providers: AiMock) -> None:
        self._providers = providers
        self._before = len(providers.requests())

    def models(self) -> list[str]:
        """The models since then, in the order of the calls."""
        return [asked["body"]["model"] for asked in self._providers.requests()[self._before :]]


def test_the_page_has_every_block_of_the_texts() -> None:
    assert sorted(PAGE.blocks) == sorted(SOURCES)


async def test_every_architecture_has_its_name(providers: AiMock) -> None:
    calls: dict[str, tuple[int, str]] = {}
    for agent in await PAGE.assigned("architectures by name"):
        asked = Asked(providers)
        answer = (await agent.run("How do we begin?")).output
        calls[agent.spec.architecture.name] = len(asked.models()), answer
    assert calls == {
        "react": (1, "It is written."),
        "self-refine": (2, "It is written."),
        "reflexion": (2, "It is written."),
        "plan-and-execute": (4, "It is planned."),
        "rewoo": (2, "It is written."),
        "tree-of-thoughts": (5, "It is thought through."),
    }


def hands_over() -> Agent:
    """A peer that hands everything over to billing."""
    call = ToolCall("1", "handoff", {"target": "billing", "message": "A refund."})
    return Agent("You sort.", model=FunctionModel(lambda messages, tools: ModelReply(tool_calls=(call,))))


async def test_teams_are_made_by_one_call_each(providers: AiMock) -> None:
    members = {
        "researcher": Member("facts"),
        "writer": Member("prose"),
        "reviewer": Member("fine"),
        "billing": Member("It is refunded."),
        "tech": Member("Restart it."),
        "optimist": Member("Up.\nFinal answer: up"),
        "skeptic": Member("Down.\nFinal answer: down"),
        "analyst": Member("Level.\nFinal answer: level"),
        "cio": Member("Hold."),
        "h_agent": Member("It may rain."),
        "e_agent": Member("There are clouds."),
        "c_agent": Member("Clouds are not rain."),
        "decider_agent": Member("Take an umbrella."),
        "coord_agent": Member(
            lambda prompt: (
                '{"terminate": true}' if "clouds" in prompt else '{"next_agent": "evidence", "instruction": "Look up."}'
            )
        ),
    }
    given = {name: member.agent for name, member in members.items()}
    came: dict[str, tuple[str, list[str]]] = {}
    for team in await PAGE.assigned("teams", triage=hands_over(), **given):
        asked = Asked(providers)
        result = await team.run("What is to be done?", user_id="alice")
        came[team.spec.architecture.name] = result.output, asked.models()
    opus, haiku = "claude-opus-4-7", "claude-haiku-4-5"
    assert came == {
        "supervisor": ("The report is done.", [opus, opus]),
        "router": ("It is refunded.", [haiku]),
        "swarm": ("It is refunded.", []),
        "actor_critic": ("It is written.", [opus, "gpt-4o"]),
        "debate": ("Hold.", []),
        "blackboard": ("Take an umbrella.", []),
    }
    debaters, board = ("optimist", "skeptic", "analyst"), ("e_agent", "decider_agent")
    once = dict.fromkeys(("researcher", "writer", "cio", *board), 1)
    asked_of = {name: member.calls for name, member in members.items() if member.calls}
    assert asked_of == {**once, **dict.fromkeys(debaters, 3), "billing": 2, "coord_agent": 2}


@pytest.mark.parametrize("title", ["architectures of architectures", "cheat sheet, Reflexion of a Supervisor"])
async def test_a_team_that_learns_is_made_of_a_team(title: str, providers: AiMock) -> None:
    workers = {name: Member(name) for name in ("researcher", "writer", "reviewer")}
    given: dict[str, Any] = {name: worker.agent for name, worker in workers.items()}
    given |= {"InMemoryVectorStore": InMemoryVectorStore, "HashEmbedder": HashEmbedder}
    page = await PAGE.runs(title, **given, **imported(PAGE, "architectures of architectures"))
    asked = Asked(providers)
    assert (await page.agent.run("What is to be done?")).output == "What the workers found."
    assert (len(asked.models()), workers["researcher"].prompts) == (3, ["Work, researcher."])


async def test_an_architecture_is_tried_without_an_agent(providers: AiMock) -> None:
    worker, asked = Member("found"), Asked(providers)
    page = await PAGE.runs("an architecture without an agent", agent_a=worker.agent)
    assert page.result.output == "What the workers found."
    assert (worker.prompts, asked.models()) == (["Work, a."], ["claude-opus-4-7"] * 2)


def test_every_name_of_the_feature_tables_is_there() -> None:
    of_one, of_several, teams, workflows = 7, 6, 3, 5
    assert len(imported(PAGE, "names of the feature tables")) == of_one + of_several + teams + workflows
