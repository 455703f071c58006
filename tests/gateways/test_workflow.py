"""Workflows as users write them: every shape, what their results say, and where they are run."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from msgspec import Struct
from waiting import until, until_asked

from treadle import (
    END,
    START,
    Agent,
    ApprovalQuestion,
    ConfigError,
    DictSecrets,
    FunctionModel,
    ModelReply,
    RunState,
    RuntimeSignal,
    ScriptedModel,
    ScriptedTurn,
    Secrets,
    System,
    ToolCall,
    Workflow,
    WorkflowFailed,
    current_call,
    step,
    tool,
)
from treadle.events.run import RunStarted


def agent(prefix: str, **more: Any) -> Agent:
    return Agent(model=FunctionModel(lambda messages, _: f"{prefix} {messages[-1].content}"), **more)


def looping(rounds: int, max_steps: int = 100) -> Workflow:
    """Adds one until it is `rounds`."""
    flow = Workflow("loop", max_steps=max_steps).add_node("add", lambda number: number + 1).set_start("add")
    return flow.add_router("add", lambda number: "again" if number < rounds else "done", {"again": "add", "done": END})


# --- shapes ----------------------------------------------------------------------------------------------------------


async def test_a_chain_hands_on_what_each_step_came_to() -> None:
    async def double(number: int) -> int:
        return 2 * number

    result = await Workflow.chain([double, lambda number: {"n": number}, agent("said")]).run(3)
    assert result.output == 'said {"n":6}'
    assert result.visited == ["double", "step", "agent"]
    assert result.per_step == {"double": 6, "step": {"n": 6}, "agent": 'said {"n":6}'}
    assert (result.state, result.interrupted, result.error) == (RunState.COMPLETED, False, "")


async def test_a_route_gives_the_handler_what_the_workflow_was_given() -> None:
    flow = Workflow.route(
        lambda text: "b" if "?" in text else "z", {"a": agent("A"), "b": agent("B")}, default=str.upper
    )
    asked, told = await flow.run("why?"), await flow.run("so")
    assert (asked.output, asked.visited) == ("B why?", ["classify", "route_b"])
    assert (told.output, told.visited) == ("SO", ["classify", "route_default"])


async def test_parallel_steps_go_on_beside_one_another_and_are_merged_in_their_order() -> None:
    met = asyncio.Barrier(3)

    def branch(name: str) -> Callable[[str], Any]:
        async def meet(text: str) -> str:
            await met.wait()
            return f"{name} {text}"

        return meet

    flow = Workflow.parallel([branch("a"), branch("b"), branch("c")], merge=" | ".join)
    async with asyncio.timeout(5):
        result = await flow.run("x")
    assert (result.output, result.visited) == ("a x | b x | c x", ["fan_out"])


async def test_a_graph_branches_joins_and_ends() -> None:
    def named(name: str) -> Callable[[Any], Any]:
        return lambda value: [name, value]

    flow = Workflow("graph")
    for name in ("a", "b", "c", "d"):
        flow.add_node(name, named(name))
    flow.set_start("a").add_edge("a", "c").add_edge("a", "b").add_edge("b", "d").add_edge("c", "d").add_edge("d", END)
    result = await flow.run("x")
    assert result.output == ["d", [["b", ["a", "x"]], ["c", ["a", "x"]]]]
    assert result.visited == ["a", "b", "c", "d"]


async def test_an_entry_may_be_routed_and_a_route_may_lead_to_the_end() -> None:
    flow = Workflow("triage").add_node("billing", agent("billing:"))
    flow.add_router(START, lambda text: "billing" if "invoice" in text else "rest", {"billing": "billing"}, default=END)
    led_out = await flow.run("hello")
    assert (led_out.output, led_out.visited) == ("hello", [])
    assert (await flow.run("the invoice")).output == "billing: the invoice"


async def test_a_cycle_is_left_by_its_router() -> None:
    result = await looping(3).run(0)
    assert (result.output, result.visited, result.per_step) == (3, ["add"] * 3, {"add": 3})


async def test_edges_and_routers_of_one_node_take_each_others_place() -> None:
    flow = Workflow("w").add_node("a", lambda text: text).add_node("b", lambda text: f"b {text}").set_start("a")
    flow.add_router("a", lambda _: "x", {"x": END}).add_edge("a", "b")
    assert (await flow.run("1")).output == "b 1"
    assert (await flow.add_router("a", lambda _: "x", {"x": END}).run("1")).output == "1"


async def test_a_workflow_in_a_workflow_is_a_part_of_its_run() -> None:
    inner = Workflow.chain([lambda number: number + 1, lambda number: [number]], name="inner")
    result = await Workflow.chain([inner, Workflow.map(inner)]).run(3)
    assert (result.output, result.visited) == ([[5]], ["inner", "map"])
    assert result.run.turns == 0


async def test_a_workflow_within_itself_is_refused() -> None:
    flow = Workflow("w")
    flow.add_node("again", flow).set_start("again")
    with pytest.raises(ConfigError, match="is one within itself"):
        await flow.run(1)


async def test_map_keeps_the_order_and_no_more_than_the_limit_are_at_work() -> None:
    at_work, most = 0, 0

    async def square(number: int) -> int:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1
        return number * number

    result = await Workflow.chain([Workflow.map(square, limit=3)]).run(list(range(50)))
    assert result.output == [number * number for number in range(50)]
    assert most == 3


async def test_map_asks_an_agent_for_each_item() -> None:
    result = await Workflow.chain([Workflow.map(agent("said"), limit=2)]).run(["a", "b", "c"])
    assert result.output == ["said a", "said b", "said c"]


async def test_no_more_nodes_than_max_concurrency_are_at_work() -> None:
    at_work, most = 0, 0

    async def work(value: int) -> int:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1
        return value

    flow = Workflow("wide", max_concurrency=2)
    for number in range(6):
        flow.add_node(f"n{number}", work).add_edge(START, f"n{number}")
    await flow.run(1)
    assert most == 2


# --- nodes -----------------------------------------------------------------------------------------------------------


async def test_what_a_node_is_given_is_what_was_recorded() -> None:
    class Order(Struct):
        number: int

    given: list[Any] = []
    await Workflow.chain([lambda number: Order(number), given.append]).run(7)
    assert given == [{"number": 7}]


async def test_an_answer_in_a_form_is_handed_on_as_its_value() -> None:
    class Verdict(Struct):
        fits: bool

    judge = Agent(model=FunctionModel(lambda _, __: '{"fits": true}'), name="judge", output_schema=Verdict)
    result = await Workflow.chain([judge, lambda verdict: verdict["fits"]]).run("x")
    assert (result.output, result.per_step["judge"]) == (True, {"fits": True})


async def test_a_function_of_nothing_and_a_tool_may_be_nodes() -> None:
    hello: Any = lambda: "hello"  # noqa: E731

    @tool
    def shout(text: str) -> str:
        """Say it louder."""
        return text.upper()

    assert (await Workflow.chain([hello, shout]).run()).output == "HELLO"


async def test_a_step_is_called_as_its_flags_say() -> None:
    calls: list[tuple[str, int]] = []

    @step(name="pay", idempotent=True, timeout_s=2.5)
    async def charge(amount: int) -> int:
        call = current_call()
        calls.append((call.tool, call.attempt))
        return amount

    flow = Workflow.chain([charge])
    result = await flow.run(5)
    assert (result.visited, calls) == (["pay"], [("pay", 1)])
    assert (flow.spec.tools["pay"].spec.idempotent, flow.spec.tools["pay"].spec.timeout_s) == (True, 2.5)


async def test_tone_and_memory_reach_the_agents_that_have_none() -> None:
    heard: dict[str, str] = {}

    def hear(messages: Any, _: Any) -> str:
        heard[messages[-1].content] = messages[0].content
        return "ok"

    plain, own = Agent("I.", model=FunctionModel(hear)), Agent("I.", model=FunctionModel(hear), response_tone="casual")
    inside = Agent("I.", model=FunctionModel(hear))

    async def ask(text: str) -> str:
        return (await inside.run("inside")).output

    def named(name: str) -> Callable[[str], str]:
        return lambda _: name

    flow = Workflow.chain([named("plain"), plain, named("own"), own, ask], response_tone="legal")
    await flow.run("x")
    assert "legal:" in heard["plain"]
    assert "casual:" in heard["own"]
    assert "legal:" in heard["inside"]
    await flow.run("x", response_tone="finance")
    assert "finance:" in heard["plain"]


async def test_agents_of_a_session_go_on_with_conversations_of_their_own() -> None:
    counting = Agent(model=FunctionModel(lambda messages, _: str(len(messages))), name="counting")
    flow = Workflow.chain([counting], name="talk")
    alone = [(await flow.run("x")).output for _ in range(2)]
    together = [(await flow.run("x", session_id="s", user_id="alice")).output for _ in range(2)]
    assert (alone, together) == (["1", "1"], ["1", "3"])


async def test_the_model_that_a_workflow_has_not_says_so() -> None:
    with pytest.raises(ConfigError, match="a workflow has no model of its own"):
        Workflow.chain([str]).spec.model.stream([])


# --- failures --------------------------------------------------------------------------------------------------------


async def test_a_node_that_raises_ends_its_siblings_and_the_reason_is_in_the_result() -> None:
    cancelled: list[str] = []

    async def wait(_: str) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("wait")
            raise

    async def fail(_: str) -> None:
        await asyncio.sleep(0)
        raise ValueError("no such card")

    graph = (
        Workflow("graph").add_node("wait", wait).add_node("fail", fail).add_edge(START, "wait").add_edge(START, "fail")
    )
    parallel = Workflow.parallel([wait, fail])
    for flow, node, visited in ((graph, "fail", ["wait", "fail"]), (parallel, "fan_out.fail", ["fan_out"])):
        async with asyncio.timeout(5):
            with pytest.raises(RuntimeError, match=f"node '{node}' failed: ValueError: no such card") as caught:
                await flow.run("x")
        assert isinstance(caught.value, WorkflowFailed)
        assert (caught.value.kind, caught.value.result.state) == ("NodeFailed", RunState.FAILED)
        assert caught.value.result.visited == visited
    assert cancelled == ["wait", "wait"]


async def test_exceptions_may_be_returned_in_the_place_of_results() -> None:
    def half(number: int) -> float:
        return 1 / number

    flow = Workflow.parallel([half, lambda number: number + 1], return_exceptions=True)
    assert (await flow.run(0)).output == [{"error": "ZeroDivisionError: division by zero", "node": "fan_out.half"}, 1]
    mapped = Workflow.chain([Workflow.map(half, return_exceptions=True)])
    assert (await mapped.run([2, 0])).output == [0.5, {"error": "ZeroDivisionError: division by zero", "node": "map"}]


FAILURES: list[tuple[Workflow, Any, str]] = [
    (Workflow.parallel([str], merge=lambda _: 1 / 0), "x", r"node 'fan_out:merge' failed: ZeroDivisionError"),
    (
        Workflow.route(lambda _: "sales", {"a": str, "b": str}),
        "x",
        r"after 'classify' says 'sales'.* there are: 'a', 'b'",
    ),
    (Workflow.chain([lambda _: object()]), "x", r"node 'step' failed: .*of type object has no JSON form"),
    (Workflow.chain([Workflow.map(str)]), "x", r"node 'map' failed: it maps over a list, and was given str"),
    (
        Workflow.chain([Agent(model=FunctionModel(lambda _, __: ModelReply("x" if 1 / 0 else "")))]),
        "x",
        r"node 'agent' failed: its run ended failed",
    ),
    (looping(99), 0, r"node 'add' is due: that would be number 26 of at most 25 \(max_visits_per_node=25\)"),
    (looping(99, max_steps=7), 0, r"number 8 of at most 7 \(max_steps=7\)"),
    (
        Workflow.chain([step(timeout_s=0.01)(lambda _: asyncio.sleep(9))]),
        "x",
        r"nobody knows what came of it: no result",
    ),
]


@pytest.mark.parametrize(("flow", "given", "says"), FAILURES, ids=[says[:40] for _, _, says in FAILURES])
async def test_what_fails_is_named(flow: Workflow, given: Any, says: str) -> None:
    with pytest.raises(RuntimeError, match=says):
        await flow.run(given)


async def test_an_interrupted_agent_stops_the_workflow_and_is_no_failure() -> None:
    @tool
    def look() -> str:
        """Look."""
        return "nothing"

    endless = Agent(
        model=FunctionModel(lambda _, __: ModelReply(tool_calls=(ToolCall("1", "look", {}),))),
        tools=[look],
        max_turns=2,
    )
    result = await Workflow.chain([str, endless, str]).run("x")
    assert (result.interrupted, result.interruption_reason) == (True, "max_turns")
    assert result.visited == ["str", "agent"]


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda: Workflow("w").add_node("a", str), "has no start"),
        (lambda: Workflow("w").add_node("a", str).set_start("b"), "there is no node 'b'"),
        (lambda: Workflow("w").add_node("a", str).add_node("a", str), "a node 'a' already"),
        (lambda: Workflow("w").add_node("a", cast(Any, 7)), "7 is no node"),
        (lambda: Workflow("w").add_edge(END, "a"), "an edge cannot have '__end__' at this end"),
        (lambda: Workflow("w", max_steps=0), "max_steps=0 lets nothing happen"),
        (lambda: Workflow.map(str, limit=0), "limit=0"),
        (lambda: Workflow("w").add_router(START, str, {}), "has no routes"),
        (lambda: step(destructive=True, read_only=True), "it can be one of them"),
        (lambda: step(timeout_s=-1), "timeout_s=-1"),
        (lambda: step(read_only=cast(Any, "yes")), "read_only='yes'"),
        (lambda: Workflow.human(" "), "the question of a human node is empty"),
        (lambda: Workflow.chain(cast(Any, None)), "are a list of nodes, and None is none"),
        (lambda: Workflow.fan_out(cast(Any, "ab")), "are a list of nodes, and 'ab' is none"),
        (lambda: Workflow(memory=cast(Any, "sqlite:./bot.db")), "memory='sqlite:./bot.db'"),
        (lambda: Workflow(budget=cast(Any, "x")), "budget='x'"),
        (lambda: Workflow(runtime=cast(Any, 5)), "runtime=5 names no journal"),
        (lambda: Agent(model="echo", memory=cast(Any, {})), "memory={}"),
        (lambda: Agent(model="echo", runtime=cast(Any, 5)), "runtime=5 names no journal"),
        (lambda: Workflow("wf name").as_tool(), "tool name 'wf name' must be"),
        (lambda: Workflow("w").as_tool(input_schema="dict"), "input_schema of the tool 'w'"),
    ],
)
async def test_what_cannot_be_walked_is_refused_before_anything_is_recorded(draw: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        await draw().run("x")


async def test_an_input_that_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(ConfigError, match="input of type"):
        await Workflow.chain([str]).run({"what": object()})


# --- people ----------------------------------------------------------------------------------------------------------


async def test_a_human_node_says_who_allowed_what_and_a_no_is_an_output_too() -> None:
    flow = Workflow.chain([lambda text: {"draft": text}, Workflow.human("Send it?")], name="letter")
    for allowed in (True, False):
        result = await flow.run("Dear all")
        assert (result.state, result.output, result.visited) == (RunState.WAITING, None, ["step", "human"])
        (question,) = result.waiting_for
        assert question.args == {"question": "Send it?", "input": {"draft": "Dear all"}}
        await flow.approve(result.run_id, question.call_id, allowed, by="bob", note="as agreed")
        answered = {"allowed": allowed, "by": "bob", "note": "as agreed", "input": {"draft": "Dear all"}}
        assert (await flow.resume(result.run_id)).output == answered


@pytest.mark.parametrize("shape", ["edges", "fan_out", "workflows"])
async def test_it_waits_for_a_person_only_when_nothing_else_can_be_done(shape: str) -> None:
    done: list[str] = []

    async def work(text: str) -> str:
        for _ in range(5):
            await asyncio.sleep(0)
        done.append(text)
        return text

    def ask() -> Any:
        return Workflow.human("Shall it be?")

    flow = Workflow("flow")
    if shape == "edges":
        flow.add_node("ask", ask()).add_edge(START, "ask").add_edge(START, "a")
        flow.add_node("a", work).add_node("b", work).add_node("c", work).add_edge("a", "b").add_edge("b", "c")
    elif shape == "fan_out":
        flow.add_node("all", Workflow.fan_out([ask(), Workflow.chain([work, work, work])])).set_start("all")
    else:
        flow.add_node("ask", Workflow.chain([str, ask()])).add_edge(START, "ask")
        flow.add_node("rest", Workflow.chain([work, Workflow.fan_out([work, work])])).add_edge(START, "rest")
    result = await flow.run("x")
    assert (result.state, len(done), len(result.waiting_for)) == (RunState.WAITING, 3, 1)
    await flow.approve(result.run_id, result.waiting_for[0].call_id)
    assert (await flow.resume(result.run_id)).state == RunState.COMPLETED


async def test_a_destructive_node_is_parked_until_somebody_allows_it() -> None:
    wiped: list[str] = []
    flow = Workflow.chain([step(destructive=True)(wiped.append)], name="wipe")
    result = await flow.run("disk")
    assert (result.state, wiped) == (RunState.WAITING, [])
    await flow.approve(result.run_id, result.waiting_for[0].call_id)
    assert (await flow.resume(result.run_id)).state == RunState.COMPLETED
    assert wiped == ["disk"]

    def refuse(_: ApprovalQuestion) -> bool:
        return False

    denied = Workflow.chain([step(destructive=True)(str)], approval_handler=refuse)
    with pytest.raises(RuntimeError, match="it was not allowed"):
        await denied.run("disk")


# --- where it runs ---------------------------------------------------------------------------------------------------


async def test_a_stream_tells_each_step_after_what_is_recorded_of_it() -> None:
    flow = Workflow.chain([lambda number: [number], Workflow.map(str)])
    events = [event async for event in flow.stream(3)]
    steps = [(event.type, event.payload["node"]) for event in events if event.type.startswith("workflow.step")]
    assert steps == [
        ("workflow.step_started", "step"),
        ("workflow.step_completed", "step"),
        ("workflow.step_started", "map"),
        ("workflow.step_completed", "map"),
    ]
    told = [event.type for event in events]
    assert told[:3] == ["run.started", "workflow.started", "workflow.step_started"]
    assert told.index("tool.completed") < told.index("workflow.step_completed")
    assert told[-2:] == ["workflow.completed", "run.completed"]
    assert {event.kind for event in events if event.type == "workflow.started"} == {"workflow_started"}


async def test_a_failing_stream_tells_the_step_and_does_not_raise() -> None:
    events = [event async for event in Workflow.chain([lambda _: 1 / 0]).stream("x")]
    (failed,) = [event for event in events if event.type == "workflow.step_failed"]
    assert failed.payload["error"] == "node 'step' failed: ZeroDivisionError: division by zero"
    assert events[-1].type == "run.failed"


async def test_as_a_tool_it_is_a_child_of_the_agents_run() -> None:
    flow = Workflow.chain([str.upper, agent("said")], name="shout")
    asks = ScriptedModel([ScriptedTurn(tool_calls=[ToolCall("1", "shout", {"text": "hi"})]), ScriptedTurn("done")])
    async with System() as system:
        desk = system.host(Agent(model=asks, tools=[flow.as_tool(input_arg="text")]), name="desk")
        events = [event async for event in desk.stream("go")]
        done = [event for event in events if event.type == "tool.completed"]
        assert [(event.depth, event.role) for event in done] == [(1, "shout"), (0, "")]
        assert done[-1].payload["result"]["output"] == "said HI"
        events_of_all = [recorded.event for recorded in await system.journal.read_all()]
    runs = [(event.agent, event.depth) for event in events_of_all if isinstance(event, RunStarted)]
    assert runs == [("desk", 0), ("shout", 1), ("agent", 2)]


class Order(Struct):
    item: str
    number: int = 1


ITEM = {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}


@pytest.mark.parametrize(
    ("schema", "parameters", "said", "given"),
    [
        (Order, {"item", "number"}, {"item": "tea"}, {"item": "tea", "number": 1}),
        (ITEM, {"item"}, {"item": "tea"}, {"item": "tea"}),
        (list[int], {"what"}, {"what": [1, 2]}, [1, 2]),
    ],
    ids=["type", "JSON schema", "no object"],
)
async def test_as_a_tool_it_takes_what_its_schema_says(
    schema: Any, parameters: set[str], said: dict[str, Any], given: Any
) -> None:
    seen: list[Any] = []
    offered = Workflow.chain([seen.append], name="flow").as_tool(input_arg="what", input_schema=schema)
    assert msgspec.json.decode(offered.spec.parameters)["properties"].keys() == parameters
    calls = [ToolCall("1", "flow", {"else": 1}), ToolCall("2", "flow", said)]
    desk = Agent(
        model=ScriptedModel([*(ScriptedTurn(tool_calls=[call]) for call in calls), ScriptedTurn("done")]),
        tools=[offered],
    )
    kinds = [event.payload["kind"] async for event in desk.stream("go") if event.type == "tool.failed"]
    assert (seen, kinds) == ([given], ["bad_arguments"])


async def test_a_workflow_that_the_function_of_a_node_runs_is_a_child_of_its_call() -> None:
    inner = Workflow.chain([lambda given: {**given, "seen": True}], name="inner")

    async def ask(number: int) -> Any:
        result = await inner.run({"number": number})
        return [result.output, result.visited]

    async with System() as system:
        result = await system.host(Workflow.chain([ask], name="outer")).run(7)
        events = [recorded.event for recorded in await system.journal.read_all()]
    assert result.output == [{"number": 7, "seen": True}, ["step"]]
    assert result.visited == ["ask"]
    assert [(each.agent, each.depth) for each in events if isinstance(each, RunStarted)] == [("outer", 0), ("inner", 1)]


async def test_hosted_it_is_started_by_a_signal_and_watched() -> None:
    flow = Workflow.chain([str.upper], name="shout")
    async with System() as system:
        assert system.host(flow, name="loud") is flow
        await system.start_hosting()
        await system.signal("loud", RuntimeSignal(summary="hello"), session_id="s", user_id="alice")

        async def ended() -> bool:
            await system.projections.catch_up()
            return any(row.state == "completed" for row in await system.projections.runs.list())

        await until_asked(ended)
        (row,) = await system.projections.runs.list()
        events = [event async for event in system.watch(row.run_id)]
    assert row.agent == "loud"
    assert events[-1].payload["output"] == "HELLO"


async def test_a_cancelled_caller_leaves_a_run_that_goes_on_where_it_was() -> None:
    began: list[str] = []
    opened = asyncio.Event()

    async def wait(text: str) -> str:
        began.append("wait")
        await opened.wait()
        return text

    flow = Workflow.chain([step(name="first")(began.append), step(idempotent=True)(wait)], name="w")
    async with System() as system:
        system.host(flow)
        running = asyncio.create_task(flow.run("x"))
        await until(lambda: "wait" in began)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        run_id = next(each.run_id for each in await system.journal.read_all() if each.type == "run.started")
        opened.set()
        assert (await flow.resume(run_id)).visited == ["first", "wait"]
    assert began == ["x", "wait", "wait"]


async def test_a_run_of_something_else_is_not_resumed() -> None:
    async with System() as system:
        result = await system.host(Agent(model="echo"), name="echo").run("x")
        with pytest.raises(ConfigError, match="is of 'echo', and not of 'chain'"):
            await system.host(Workflow.chain([str])).resume(result.run_id)


async def test_the_secrets_of_a_system_reach_the_agents_in_a_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Agent] = []

    def take(agent: Agent, secrets: Secrets) -> None:
        given.append(agent)

    monkeypatch.setattr(Agent, "take_own_secrets", take)
    a, b, c = (Agent(model="echo") for _ in range(3))
    flow = Workflow.chain([a, Workflow.fan_out([b, str]), Workflow.chain([Workflow.map(c)])], name="deep")
    async with System(secrets=DictSecrets({})) as system:
        system.host(flow)
    assert given == [a, b, c]


def test_its_graph_can_be_drawn() -> None:
    flow = Workflow.route(str, {"a": Agent(model="echo")}, default=Workflow.chain([str]))
    assert [(node.name, node.kind) for node in flow.graph.nodes] == [
        (START, "start"), ("classify", "function"), ("route_a", "agent"), ("route_default", "workflow"),
    ]  # fmt: skip
    assert [(edge.source, edge.target, edge.label) for edge in flow.graph.edges] == [
        (START, "classify", ""), ("classify", "route_a", "a"), ("classify", "route_default", "default"),
    ]  # fmt: skip
