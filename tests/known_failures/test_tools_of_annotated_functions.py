"""Tools of a module whose annotations are strings, and synchronous tools of one turn (A19)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from known_failures.agents import Opened

from treadle import FunctionModel, Message, ModelReply, ToolCall, ToolSpec, tool


def schema(made: Any) -> dict[str, Any]:
    properties: dict[str, Any] = msgspec.json.decode(made.spec.parameters)["properties"]
    return {name: {key: value for key, value in each.items() if key != "title"} for name, each in properties.items()}


def test_the_schema_of_a_tool_has_the_types_of_its_parameters() -> None:
    """A19"""

    @tool
    def book(amount: int, rate: float, tags: list[str], kind: Literal["debit", "credit"], final: bool = False) -> str:
        """Book an amount."""
        return f"{amount} {rate} {tags} {kind} {final}"

    assert schema(book) == {
        "amount": {"type": "integer"},
        "rate": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "kind": {"type": "string", "enum": ["debit", "credit"]},
        "final": {"type": "boolean", "default": False},
    }


async def test_a_tool_gets_its_arguments_in_the_types_that_it_names(opened: Opened) -> None:
    """A19"""
    got: list[Any] = []

    @tool
    def book(amount: int, tags: list[str]) -> str:
        """Book an amount."""
        got.append((amount, tags))
        return "booked"

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        calls = ToolCall("m1", "book", {"amount": 7, "tags": ["rent"]}), ToolCall("m2", "book", {"amount": "seven"})
        return messages[-1].content if messages[-1].role == "tool" else ModelReply("", calls)

    result = await opened(FunctionModel(answer), tools=[book]).run("Book it.")

    assert got == [(7, ["rent"])]
    assert result.output.startswith("ERROR: the arguments do not fit book")


async def test_synchronous_tools_of_one_turn_run_at_the_same_time_and_not_on_the_event_loop(opened: Opened) -> None:
    """A19"""
    together = threading.Barrier(3, timeout=5)
    loop_thread = threading.get_ident()
    threads: set[int] = set()

    @tool
    def fetch(part: int) -> int:
        """Fetch a part; it comes when all three are being fetched."""
        together.wait()
        threads.add(threading.get_ident())
        return part

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        results = [message.content for message in messages if message.role == "tool"]
        calls = tuple(ToolCall(f"m{part}", "fetch", {"part": part}) for part in range(3))
        return ",".join(results) if results else ModelReply("", calls)

    result = await opened(FunctionModel(answer), tools=[fetch]).run("Fetch all.")

    assert result.output == "0,1,2"
    assert len(threads) == 3
    assert loop_thread not in threads
