"""How much of a workflow is at work at once, and that nobody is in the way who waits for a person."""

import asyncio
from typing import Any

import pytest
from waiting import until

from treadle import (
    START,
    Agent,
    ConfigError,
    FunctionModel,
    ModelReply,
    RunState,
    Steps,
    ToolCall,
    Workflow,
    WorkflowResult,
    step,
    tool,
)


class Gauge:
    """Counts how many are at work at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def work(self, value: Any) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(3):
            await asyncio.sleep(0)
        self.now -= 1
        return value


async def asked_for(flow: Workflow, result: WorkflowResult) -> WorkflowResult:
    """What comes of it when all questions are answered with yes."""
    for question in result.waiting_for:
        await flow.approve(result.run_id, question.call_id)
    return await flow.resume(result.run_id)


def waiting_agent() -> Agent:
    """Asks for an approval when it is asked something odd."""

    @tool(requires_permission=True)
    def send() -> str:
        """Send."""
        return "sent"

    def think(messages: Any, _: Any) -> ModelReply:
        odd = messages[-1].role == "user" and int(messages[-1].content) % 2
        return ModelReply(tool_calls=(ToolCall("1", "send", {}),)) if odd else ModelReply("done")

    return Agent(model=FunctionModel(think), tools=[send], approval_handler="wait")


def odd_ones_to(node: Any) -> Workflow:
    flow = Workflow("one", max_concurrency=1).add_node("look", node).add_node("even", str)
    return flow.add_router(START, lambda number: str(number % 2), {"1": "look", "0": "even"})


@pytest.mark.parametrize(
    "node",
    [
        odd_ones_to(Workflow.human("Shall it be?")),
        odd_ones_to(step(destructive=True)(str)),
        odd_ones_to(Workflow.fan_out([Workflow.human("One?"), Workflow.chain([str, Workflow.human("Two?")])])),
        waiting_agent(),
    ],
    ids=["person", "destructive step", "people within", "agent"],
)
async def test_items_that_wait_for_a_person_hold_up_no_others(node: Any) -> None:
    done: list[int] = []

    async def finished(number: int) -> int:
        done.append(number)
        return number

    each = Workflow.fan_out([node, finished], limit=2)
    flow = Workflow.chain([Workflow.map(each)], max_concurrency=1)
    result = await flow.run(list(range(6)))
    assert (result.state, sorted(done)) == (RunState.WAITING, [0, 1, 2, 3, 4, 5])
    assert len({question.call_id for question in result.waiting_for}) in (3, 6)
    assert (await asked_for(flow, result)).state == RunState.COMPLETED


async def test_nodes_that_wait_for_a_person_hold_up_no_nodes_beside_them() -> None:
    flow, done = Workflow("flow", max_concurrency=1), list[str]()
    for number in range(3):
        flow.add_node(f"ask{number}", step(destructive=True)(str)).add_edge(START, f"ask{number}")
    flow.add_node("work", done.append).add_edge(START, "work")
    result = await flow.run("x")
    assert (len(result.waiting_for), done) == (3, ["x"])
    assert (await asked_for(flow, result)).state == RunState.COMPLETED


async def test_who_has_an_answer_while_all_places_are_taken_waits_for_one() -> None:
    began: list[str] = []
    leave = asyncio.Event()

    async def occupy(text: str) -> str:
        began.append(text)
        await leave.wait()
        return text

    @step(destructive=True)
    async def wipe(text: str) -> str:
        began.append("wipe")
        return text

    flow = Workflow.chain([Workflow.fan_out([wipe, occupy])], max_concurrency=1)
    asked: list[tuple[str, str]] = []

    async def watch() -> list[str]:
        types: list[str] = []
        async for event in flow.stream("x"):
            types.append(event.type)
            if event.type == "approval.requested":
                asked.append((event.run_id, event.payload["call_id"]))
        return types

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        await until(lambda: bool(asked) and began == ["x"])
        await flow.approve(*asked[0])
        for _ in range(20):
            await asyncio.sleep(0)
        assert began == ["x"]
        leave.set()
    assert (began, watching.result()[-1]) == (["x", "wipe"], "run.completed")


async def test_max_concurrency_holds_for_maps_within_maps_and_workflows_beside() -> None:
    gauge = Gauge()
    rows = Workflow.map(Workflow.map(gauge.work))
    flow = Workflow("flow", max_concurrency=3).add_node("rows", rows).add_node("more", Workflow.chain([rows]))
    flow.add_edge(START, "rows").add_edge(START, "more")
    given = [[4 * row + column for column in range(4)] for row in range(4)]
    assert (await flow.run(given)).per_step == {"rows": given, "more": given}
    assert gauge.most == 3


async def test_a_limit_of_its_own_counts_for_all_that_is_in_a_node() -> None:
    gauge = Gauge()
    flow = Workflow.chain([Workflow.map(Workflow.map(gauge.work), limit=5)], max_concurrency=2)
    given = [list(range(10))] * 10
    assert (await flow.run(given)).output == given
    assert gauge.most == 5


async def test_a_branch_that_fails_beside_one_that_waits_leaves_its_place_to_the_next_item() -> None:
    def fails(number: int) -> int:
        return 1 // number

    both = Workflow.fan_out([Workflow.human("Shall it be?"), fails], return_exceptions=True)
    flow = Workflow.chain([Workflow.map(both, limit=1)])
    result = await flow.run([1, 0])
    assert (result.state, len(result.waiting_for)) == (RunState.WAITING, 2)
    assert [each[1] for each in (await asked_for(flow, result)).output] == [
        1, {"error": "ZeroDivisionError: integer division or modulo by zero", "node": "map.fails"},
    ]  # fmt: skip


@pytest.mark.parametrize("limit", [0, -1, True, "2"])
async def test_a_limit_that_lets_nothing_happen_is_refused(limit: Any) -> None:
    refused: list[str] = []

    async def think(steps: Steps) -> str:
        try:
            await steps.together([], limit=limit)
        except ConfigError as exc:
            refused.append(str(exc))
        return "done"

    await Agent(model="echo", architecture=think).run("Go.")
    assert refused == [f"limit={limit!r}; it must be 1 or more, or None for all at once"]
