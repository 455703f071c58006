"""LangGraph: the same loops, teams and workflows as graphs by hand; where durable, with its blocking SQLite saver.

Its documentation builds teams as graphs whose nodes are agents; here such a node asks the scripted model by itself,
which is less work than an agent of its own would be. `durability="sync"` stores each step before the next one starts.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Annotated, Any, TypedDict
from uuid import uuid4

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Send
from measured import Measured, Round, one_after_another, play, times
from scripts import TASK, Said, Script

NODES = 10
ITEMS, AT_ONCE = 10_000, 100


@tool
def stock(item: str) -> str:
    """Tell how many of an item are in stock."""
    return f"42 of {item}"


def message_of(said: Said) -> AIMessage:
    calls = [{"name": call.tool, "args": call.args, "id": uuid4().hex, "type": "tool_call"} for call in said.calls]
    return AIMessage(said.text, tool_calls=calls)


def asking(script: Script) -> Callable[[MessagesState], dict[str, Any]]:
    return lambda state: {"messages": [message_of(script.next())]}


def react(script: Script) -> StateGraph[Any]:
    graph = StateGraph(MessagesState)
    graph.add_node("model", asking(script))
    graph.add_node("tools", ToolNode([stock]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph


def router(script: Script) -> StateGraph[Any]:
    graph = StateGraph(MessagesState)
    graph.add_node("classify", asking(script))
    graph.add_edge(START, "classify")
    for name in ("a", "b"):
        graph.add_node(name, asking(script))
        graph.add_edge(name, END)

    def route(state: MessagesState) -> str:
        return str(state["messages"][-1].content).splitlines()[0].removeprefix("route: ")

    graph.add_conditional_edges("classify", route, ["a", "b"])
    return graph


def supervisor(script: Script) -> StateGraph[Any]:
    graph = StateGraph(MessagesState)
    graph.add_node("lead", asking(script))
    graph.add_edge(START, "lead")

    def delegated(state: MessagesState) -> Any:
        calls = getattr(state["messages"][-1], "tool_calls", [])
        return [Send(call["args"]["worker"], {"messages": [HumanMessage("Go.")]}) for call in calls] or END

    for name in ("a", "b"):
        graph.add_node(name, asking(script))
        graph.add_edge(name, "lead")
    graph.add_conditional_edges("lead", delegated, ["a", "b", END])
    return graph


def swarm(script: Script) -> StateGraph[Any]:
    graph = StateGraph(MessagesState)
    graph.add_edge(START, "a")

    def handed_over(state: MessagesState) -> str:
        calls = getattr(state["messages"][-1], "tool_calls", [])
        return str(calls[0]["args"]["target"]) if calls else END

    for name in ("a", "b"):
        graph.add_node(name, asking(script))
        graph.add_conditional_edges(name, handed_over, ["a", "b", END])
    return graph


TEAMS = {"react": react, "router": router, "supervisor": supervisor, "swarm": swarm}


def saver(is_durable: bool) -> Any:
    return SqliteSaver.from_conn_string("checkpoints.db") if is_durable else nullcontext()


def invoked(graph: Any, given: Any, is_durable: bool, **config: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"durability": "sync"} if is_durable else {}
    out: dict[str, Any] = graph.invoke(given, {"configurable": {"thread_id": uuid4().hex}, **config}, **options)
    return out


def played(architecture: str, is_durable: bool) -> Callable[[], AbstractAsyncContextManager[Round]]:
    @asynccontextmanager
    async def case() -> AsyncGenerator[Round]:
        script = Script(architecture)
        with saver(is_durable) as checkpointer:
            graph = TEAMS[architecture](script).compile(checkpointer=checkpointer)

            async def run() -> None:
                state = invoked(graph, {"messages": [HumanMessage(TASK)]}, is_durable)
                script.check(state["messages"][-1].content)

            async def a_round() -> list[float]:
                return [taken / len(script) for taken in await one_after_another(run, times(50))]

            yield a_round

    return case


class Value(TypedDict):
    value: int


class Values(TypedDict):
    value: int
    values: Annotated[list[int], operator.add]


def add_one(state: Any) -> dict[str, Any]:
    return {"value": state["value"] + 1}


def give_one(state: Any) -> dict[str, Any]:
    return {"values": [state["value"] + 1]}


def chain() -> StateGraph[Any]:
    graph = StateGraph(Value)
    before = START
    for number in range(NODES):
        graph.add_node(f"add_{number}", add_one)
        graph.add_edge(before, f"add_{number}")
        before = f"add_{number}"
    graph.add_edge(before, END)
    return graph


def parallel() -> StateGraph[Any]:
    graph = StateGraph(Values)
    graph.add_node("merge", lambda state: {"value": sum(state["values"])})
    for number in range(NODES):
        graph.add_node(f"add_{number}", give_one)
        graph.add_edge(START, f"add_{number}")
    graph.add_edge([f"add_{number}" for number in range(NODES)], "merge")
    graph.add_edge("merge", END)
    return graph


def circle() -> StateGraph[Any]:
    graph = StateGraph(Value)
    graph.add_node("add", add_one)
    graph.add_edge(START, "add")
    graph.add_conditional_edges("add", lambda state: END if state["value"] == NODES else "add", ["add", END])
    return graph


SHAPES = {"chain": chain, "parallel": parallel, "circle": circle}


def walked(shape: str, is_durable: bool) -> Callable[[], AbstractAsyncContextManager[Round]]:
    @asynccontextmanager
    async def case() -> AsyncGenerator[Round]:
        with saver(is_durable) as checkpointer:
            graph = SHAPES[shape]().compile(checkpointer=checkpointer)

            async def run() -> None:
                state = invoked(graph, {"value": 0}, is_durable, recursion_limit=2 * NODES)
                if state["value"] != NODES:
                    raise AssertionError(f"not the workflow that is measured: {state!r}")

            async def a_round() -> list[float]:
                return [taken / NODES for taken in await one_after_another(run, times(50))]

            yield a_round

    return case


@asynccontextmanager
async def workflow_map() -> AsyncGenerator[Round]:
    """A `Send` for each item, so many at a time."""
    items, is_durable = times(ITEMS), sys.argv[2:] != ["memory"]
    graph = StateGraph(Values)
    graph.add_node("add", give_one)
    graph.add_conditional_edges(START, lambda state: [Send("add", {"value": each}) for each in range(items)], ["add"])
    with saver(is_durable) as checkpointer:
        compiled = graph.compile(checkpointer=checkpointer)

        async def run() -> None:
            state = invoked(compiled, {"value": 0}, is_durable, max_concurrency=AT_ONCE)
            if sorted(state["values"]) != list(range(1, items + 1)):
                raise AssertionError("not the map that is measured")

        async def a_round() -> list[float]:
            return [taken / items for taken in await one_after_another(run, 1)]

        yield a_round


CASES = {
    **{f"{name}{ending}": Measured("s", played(name, bool(ending))) for name in TEAMS for ending in ("", "_durable")},
    **{
        f"workflow_{shape}{ending}": Measured("s", walked(shape, bool(ending)))
        for shape in SHAPES
        for ending in ("", "_durable")
    },
    "workflow_map": Measured("s", workflow_map, warm_ups=0),
}

if __name__ == "__main__":
    play("LangGraph", CASES)
