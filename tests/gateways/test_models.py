"""The models that come along: what they say, in pieces or at once, and what they refuse."""

from collections.abc import Sequence
from typing import Any

import pytest

from treadle import (
    ConfigError,
    EchoModel,
    FunctionModel,
    Message,
    Model,
    ModelReply,
    ScriptedModel,
    ScriptedTurn,
    ToolCall,
    ToolSpec,
    Usage,
)
from treadle.actors.model import collect
from treadle.actors.model_errors import BadReply

QUESTION = [Message("system", "Be brief."), Message("user", "one  two"), Message("assistant", "three")]


@pytest.mark.parametrize(
    "make",
    [
        lambda: EchoModel(cost_per_token=0.5),
        lambda: FunctionModel(lambda messages, tools: " two  words "),
        lambda: FunctionModel(lambda messages, tools: ModelReply("", (ToolCall("1", "load", {"a": 1}),), Usage(1, 2))),
        lambda: ScriptedModel([ScriptedTurn("hi", [ToolCall("", "load", {})], Usage(3, 4))]),
        lambda: ScriptedModel([]),
    ],
)
async def test_the_pieces_of_an_answer_make_the_whole_one(make: Any) -> None:
    whole = await make().complete(QUESTION)
    assert await collect(make().stream(QUESTION), "model") == whole
    assert isinstance(make(), Model)


async def test_echo_answers_the_last_user_message_and_counts_words() -> None:
    reply = await EchoModel(cost_per_token=0.5).complete(QUESTION)
    assert reply.text == "Echo: one  two"
    assert reply.usage == Usage(5, 3, cost_usd=4.0)
    assert EchoModel().estimate(QUESTION) == (5, 3)
    assert (await EchoModel("").complete([])).text == ""


async def test_a_script_is_said_in_order_and_then_nothing() -> None:
    model = ScriptedModel([ScriptedTurn("one"), ScriptedTurn(tool_calls=[ToolCall("", "load", {})])])
    assert [model.remaining, (await model.complete([])).text, model.remaining] == [2, "one", 1]
    assert (await model.complete([])).tool_calls[0].id == "call_1_0"
    assert (await model.complete([]), model.remaining) == (ModelReply(), 0)
    with pytest.raises(ConfigError, match="a list of ScriptedTurn"):
        ScriptedModel(["one"])  # type: ignore[list-item]  # pyright: ignore


async def test_a_function_sees_the_messages_and_the_tools_and_may_be_a_coroutine() -> None:
    seen: list[Any] = []

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        seen.append((messages, tools))
        return "done"

    spec = ToolSpec("load")
    assert (await FunctionModel(answer, name="rules").complete(QUESTION, tools=[spec], temperature=0)).text == "done"
    assert seen == [(QUESTION, [spec])]


@pytest.mark.parametrize("odd", [None, 42, ["text"]])
async def test_a_function_that_returns_something_else_is_a_failed_call(odd: Any) -> None:
    model = FunctionModel(lambda messages, tools: odd, name="rules")
    with pytest.raises(BadReply, match="'rules' returned") as caught:
        await collect(model.stream([]), "rules")
    assert caught.value.kind == "bad_reply"
