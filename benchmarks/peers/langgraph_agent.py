"""LangGraph: a graph of one echo node, and the documented model-and-tools loop with its SQLite checkpointers.

The graph is built by hand from `StateGraph`, `ToolNode` and `tools_condition`, with a plain function for a model: less
work per turn than the prebuilt agents. `durability="sync"` is LangGraph's own name for "the step is stored before the
next one starts", which is what the other durable contenders do; both savers use WAL with SQLite's default
`synchronous=FULL`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from measured import Measured, Round, all_at_once, one_after_another, play, times


@tool
def stock(item: str) -> str:
    """Tell how many of an item are in stock."""
    return f"42 of {item}"


@tool("stock")
async def stock_async(item: str) -> str:
    """Tell how many of an item are in stock."""
    return f"42 of {item}"


def model(state: MessagesState) -> dict[str, Any]:
    """Asks for one tool call, then answers."""
    if isinstance(state["messages"][-1], ToolMessage):
        return {"messages": [AIMessage("There are 42.")]}
    call = {"name": "stock", "args": {"item": "bolts"}, "id": uuid4().hex, "type": "tool_call"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


async def model_async(state: MessagesState) -> dict[str, Any]:
    return model(state)


async def echo(state: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage(f"Echo: {state['messages'][-1].content}")]}


def loop(
    saver: BaseCheckpointSaver[Any], *, is_async: bool
) -> CompiledStateGraph[MessagesState, None, MessagesState, MessagesState]:
    graph = StateGraph(MessagesState)
    graph.add_node("model", model_async if is_async else model)
    graph.add_node("tools", ToolNode([stock_async if is_async else stock]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=saver)


def question() -> tuple[MessagesState, RunnableConfig]:
    return {"messages": [HumanMessage("How many bolts are there?")]}, {"configurable": {"thread_id": uuid4().hex}}


def check(state: dict[str, Any]) -> None:
    if len(state["messages"]) != 4 or state["messages"][-1].content != "There are 42.":
        raise AssertionError(f"not the loop of two turns that is measured: {state!r}")


@asynccontextmanager
async def echo_turn() -> AsyncGenerator[Round]:
    graph = StateGraph(MessagesState)
    graph.add_node("echo", echo)
    graph.add_edge(START, "echo")
    graph.add_edge("echo", END)
    compiled = graph.compile()
    prompt: MessagesState = {"messages": [HumanMessage("Tell me a joke.")]}
    yield lambda: one_after_another(lambda: compiled.ainvoke(prompt), times(300))


@asynccontextmanager
async def durable_loop() -> AsyncGenerator[Round]:
    """The asynchronous saver, which is the one an asynchronous service can use."""
    async with AsyncSqliteSaver.from_conn_string("checkpoints.db") as saver:
        graph = loop(saver, is_async=True)

        async def run() -> None:
            prompt, config = question()
            check(await graph.ainvoke(prompt, config, durability="sync"))

        yield lambda: one_after_another(run, times(100))


@asynccontextmanager
async def durable_loop_blocking() -> AsyncGenerator[Round]:
    """The blocking saver: no thread hand-over, one run at a time."""
    with SqliteSaver.from_conn_string("checkpoints.db") as saver:
        graph = loop(saver, is_async=False)

        async def run() -> None:
            prompt, config = question()
            check(graph.invoke(prompt, config, durability="sync"))

        yield lambda: one_after_another(run, times(100))


@asynccontextmanager
async def concurrent_loops() -> AsyncGenerator[Round]:
    async with AsyncSqliteSaver.from_conn_string("checkpoints.db") as saver:
        graph = loop(saver, is_async=True)

        async def run() -> None:
            prompt, config = question()
            check(await graph.ainvoke(prompt, config, durability="sync"))

        yield lambda: all_at_once(run, 500)


if __name__ == "__main__":
    blocking = sys.argv[2:] == ["blocking"]
    play(
        "LangGraph",
        {
            "echo_turn": Measured("s", echo_turn),
            "durable_loop": Measured("s", durable_loop_blocking if blocking else durable_loop),
            "concurrent_loops": Measured("runs/s", concurrent_loops),
        },
    )
