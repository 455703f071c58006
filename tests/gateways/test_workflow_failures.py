"""Which failures of branches and items end a workflow, and where they say that they happened."""

from typing import Any

import pytest

from treadle import (
    END,
    START,
    Agent,
    FunctionModel,
    Limits,
    ModelReply,
    ToolCall,
    Workflow,
    WorkflowFailed,
    tool,
)


@tool
def look() -> str:
    """Look."""
    return "nothing"


def restless(**more: Any) -> Agent:
    """Looks for ever when it is told to, and answers otherwise."""

    def think(messages: Any, _: Any) -> ModelReply:
        looks = messages[0 if messages[0].role == "user" else 1].content == "look"
        return ModelReply(tool_calls=(ToolCall("1", "look", {}),)) if looks else ModelReply("done")

    return Agent(model=FunctionModel(think), tools=[look], max_turns=2, **more)


def routed() -> Workflow:
    return Workflow.route(str, {"a": lambda text: f"A {text}"})


def circling() -> Workflow:
    flow = Workflow("circle", max_visits_per_node=2).add_node("again", lambda text: text).add_edge(START, "again")
    return flow.add_router("again", lambda text: text, {"look": "again", "a": END})


@pytest.mark.parametrize(
    ("node", "error"),
    [
        (restless(), "interrupted: max_turns"),
        (routed(), "the router after 'map/classify' says 'look'"),
        (circling(), "node 'map/again' is due: that would be number 3 of at most 2"),
    ],
    ids=["limit of the agent", "no route", "cap"],
)
async def test_an_item_that_cannot_go_on_takes_no_other_item_along(node: Any, error: str) -> None:
    flow = Workflow.chain([Workflow.map(node, return_exceptions=True)])
    first, failed, last = (await flow.run(["a", "look", "a"])).output
    assert first == last in ("done", "A a", "a")
    assert (failed["node"], failed["error"][: len(error)]) == ("map", error)


async def test_a_budget_of_an_items_agent_is_that_items_and_one_of_the_run_ends_the_run() -> None:
    spent = Limits(max_tokens=1)
    mapped = Workflow.map(Agent(model="echo", budget=spent), return_exceptions=True)
    own = await Workflow.chain([mapped]).run(["a long text"])
    assert own.output == [{"error": "interrupted: budget:max_tokens", "node": "map"}]

    mapped = Workflow.map(Agent(model="echo"), return_exceptions=True)
    shared = await Workflow.chain([mapped], budget=spent).run(["a long text"])
    assert (shared.interrupted, shared.interruption_reason) == (True, "budget:max_tokens")


async def test_the_item_that_failed_is_named_by_its_number() -> None:
    with pytest.raises(WorkflowFailed, match="node 'map' failed: item 1: ZeroDivisionError"):
        await Workflow.chain([Workflow.map(lambda number: 1 / number)]).run([1, 0])


async def test_a_cap_in_a_nested_workflow_is_named_with_its_path() -> None:
    with pytest.raises(WorkflowFailed, match="node 'circle/again' is due"):
        await Workflow.chain([circling()]).run("look")


async def test_a_classifier_may_put_white_space_around_its_key() -> None:
    classify = Agent(model=FunctionModel(lambda _, __: " b\n"))
    result = await Workflow.route(classify, {"a": str.lower, "b": str.upper}).run("why?")
    assert (result.output, result.visited) == ("WHY?", ["classify", "route_b"])
