"""The picture of a run: what it called and whom it asked, with times, costs and failures."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from drawings import arrows, named

from treadle import (
    Agent,
    ConfigError,
    FunctionModel,
    Message,
    ModelReply,
    NotFound,
    Run,
    ScriptedModel,
    ScriptedTurn,
    Team,
    ToolCall,
    Usage,
    Workflow,
    tool,
)
from treadle.pictures import Picture, picture_of_run


@tool
async def look(place: str) -> str:
    """Look."""
    if place == "cellar":
        raise ValueError("it is dark")
    return f"all is well in the {place}"


def looks(messages: Sequence[Message], tools: object) -> ModelReply:
    """Look in two places, then answer; half a dollar a call."""
    usage = Usage(10, 1, cost_usd=0.5)
    if messages[-1].role == "tool":
        return ModelReply("seen", usage=usage)
    return ModelReply(tool_calls=tuple(ToolCall(at, "look", {"place": at}) for at in ("cellar", "attic")), usage=usage)


def team() -> Agent:
    delegates = ScriptedTurn(tool_calls=[ToolCall("1", "delegate", {"worker": "scout", "instructions": "look"})])
    model = ScriptedModel([delegates, ScriptedTurn("done")])
    scout = Agent("Look.", model=FunctionModel(looks), name="scout", tools=[look])
    return Team.supervisor({"scout": scout}, model=model, name="lead", persistent_subagents=False)


async def picture_of(agent: Agent, run: Run, most: int = 200) -> Picture:
    return await picture_of_run((await agent.node()).journal, run.id, most)


async def started(agent: Agent) -> Run:
    run = await agent.session("s").start("go")
    await run.wait()
    return run


async def test_a_run_has_its_calls_in_order_and_those_of_its_children() -> None:
    async with team() as lead:
        picture = await picture_of(lead, await started(lead))
    kinds = [(node.label.split("\n")[0], node.kind) for node in picture.nodes]
    assert kinds == [
        ("lead", "run"), ("scripted", "model"), ("scout", "run"), ("scripted", "model"),
        ("function", "model"), ("look", "tool"), ("look", "tool"), ("function", "model"),
    ]  # fmt: skip
    assert arrows(picture) >= {("lead", "scripted", "1"), ("lead", "scout", "2"), ("lead", "scripted", "3")}
    assert arrows(picture) >= {("scout", "function", "1"), ("scout", "look", "2"), ("scout", "look", "3")}


async def test_nodes_have_times_and_costs_and_a_parent_has_those_of_its_children() -> None:
    async with team() as lead:
        picture = await picture_of(lead, await started(lead))
    labels = named(picture)
    assert re.fullmatch(r"lead\ncompleted · \d+ ms · \$1\.0000", labels["lead"].label)
    assert re.fullmatch(r"scout\n\d+ ms · \$1\.0000", labels["scout"].label)
    assert re.fullmatch(r"function\n\d+ ms · \$0\.5000", labels["function"].label)


async def test_what_failed_is_marked_and_says_why() -> None:
    async with team() as lead:
        picture = await picture_of(lead, await started(lead))
    failed = [node for node in picture.nodes if node.failed]
    assert [node.label.split("\n")[0] for node in failed] == ["look"]
    assert "it is dark" in failed[0].label


async def test_a_run_that_failed_is_marked() -> None:
    def fails(messages: Sequence[Message], tools: object) -> ModelReply:
        raise RuntimeError("no")

    async with Agent(model=FunctionModel(fails), name="desk") as desk:
        picture = await picture_of(desk, await started(desk))
    assert [node.failed for node in picture.nodes] == [True, True]
    assert "failed" in picture.nodes[0].label


async def test_what_there_is_no_room_for_is_counted() -> None:
    async with team() as lead:
        run = await started(lead)
        whole = await picture_of(lead, run, 8)
        cut = await picture_of(lead, run, 6)
        shallow = await picture_of(lead, run, 4)
    assert len(whole.nodes) == 8
    assert len(cut.nodes) == 7
    assert (cut.nodes[-1].kind, cut.nodes[-1].label) == ("more", "2 more")
    assert shallow.nodes[-1].label == "runs not looked into: 1"


async def test_a_picture_of_nothing_is_refused() -> None:
    async with Agent(model="echo") as agent:
        run = await started(agent)
        with pytest.raises(ConfigError, match="most=0"):
            await run.generate_graph(most=0)


async def test_a_run_that_nobody_knows_is_not_found() -> None:
    async with Agent(model="echo") as agent:
        with pytest.raises(NotFound):
            await Run(await agent.node(), "nothing").generate_graph()


async def test_an_agent_that_a_tool_runs_belongs_to_the_tool() -> None:
    helper = Agent("Help.", model="echo", name="helper")

    @tool
    async def consult(question: str) -> str:
        """Ask the helper."""
        return (await helper.run(question)).output

    model = ScriptedModel(
        [ScriptedTurn(tool_calls=[ToolCall("1", "consult", {"question": "why"})]), ScriptedTurn("so")]
    )
    async with Agent(model=model, name="desk", tools=[consult]) as desk:
        picture = await picture_of(desk, await started(desk))
    assert arrows(picture) >= {("desk", "consult", "2"), ("consult", "helper", "")}


async def test_a_run_of_a_workflow_has_its_nodes() -> None:
    async with Workflow.chain([lambda text: text + "!", Agent("Echo.", model="echo", name="echo")]) as flow:
        result = await flow.run("hi")
        picture = await picture_of_run((await flow.node()).journal, result.run_id)
    assert [node.kind for node in picture.nodes] == ["run", "tool", "run", "model"]


async def test_a_run_is_drawn_into_a_file(tmp_path: Path) -> None:
    async with Agent(model="echo", name="desk") as desk:
        run = await started(desk)
        text = await run.generate_graph(tmp_path / "run.svg")
    assert text.startswith("flowchart")
    assert "desk" in (tmp_path / "run.svg").read_text()
