"""What a provider wants back of its own answers comes back as it was, or not at all."""

import json
from contextlib import aclosing
from typing import Any, Final

import pytest
from msgspec import structs
from sse_server import SseServer, answers

from treadle import Agent, Message, ToolCall, tool
from treadle.gateways.models.anthropic import AnthropicModel
from treadle.gateways.models.anthropic.messages import carried_of, conversation
from treadle.gateways.models.litellm import messages as litellm_messages
from treadle.gateways.models.openai import OpenAIModel

THOUGHT: Final[dict[str, Any]] = {"type": "thinking", "thinking": "I should look.", "signature": "EqQBCkYIAxgCKkDsig=="}
LOOK: Final[dict[str, Any]] = {"type": "tool_use", "id": "tu_1", "name": "look", "input": {}}


@tool
def look(password: str = "") -> str:
    """Look."""
    return "seen"


def claude(*content: dict[str, Any], stop: str = "tool_use") -> dict[str, Any]:
    return {
        "id": "m", "type": "message", "role": "assistant", "model": "claude", "stop_reason": stop,
        "stop_sequence": None, "content": list(content), "usage": {"input_tokens": 5, "output_tokens": 5},
    }  # fmt: skip


async def sent_back(*content: dict[str, Any]) -> list[dict[str, Any]]:
    """What Claude is sent of its answer with the results of its calls."""
    done = claude({"type": "text", "text": "Done."}, stop="end_turn")
    async with SseServer(answers(claude(*content)), answers(done)) as server:
        url = server.url.removesuffix("/v1")
        agent = Agent(model=AnthropicModel("claude-haiku-4-5", base_url=url, api_key="k"), tools=[look])
        await agent.run("Go.")
        await agent.aclose()
    said: list[dict[str, Any]] = server.asked[1].body["messages"][1]["content"]
    return said


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


# --- Anthropic -------------------------------------------------------------------------------------------------------


async def test_signed_thinking_goes_back_in_its_place() -> None:
    content = (text("First."), THOUGHT, text("Then."), LOOK)
    assert await sent_back(*content) == list(content)


async def test_signed_thinking_in_which_a_secret_is_masked_does_not_go_back() -> None:
    thought = THOUGHT | {"thinking": "I log in with password=hunter22x then."}
    assert await sent_back(thought, text("Ok."), LOOK) == [text("Ok."), LOOK]


async def test_a_text_in_which_a_secret_is_masked_stays_in_one_and_where_it_began() -> None:
    back = await sent_back(THOUGHT, text("pwd=hunt3r is it, and go on."), LOOK, text("Right?"))
    assert [block["type"] for block in back] == ["thinking", "text", "tool_use"]
    assert "hunt3r" not in back[1]["text"] and back[1]["text"].endswith(" is it, and go on.Right?")


def test_what_one_model_has_signed_does_not_go_to_another() -> None:
    carried = carried_of([THOUGHT, 4, "tu_1"], "Look", "deepseek-chat")
    said = Message("assistant", "Look", (ToolCall("tu_1", "look"),), carried=carried)
    _, (turn,) = conversation([said], "claude-haiku-4-5")
    assert turn["content"] == [text("Look"), LOOK]
    _, (turn,) = conversation([said], "deepseek-chat")
    assert turn["content"] == [THOUGHT, text("Look"), LOOK]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("One.Two.", [text("One."), THOUGHT, text("Two."), LOOK]),
        ("One, which was longer.", [text("One, which was longer."), THOUGHT, LOOK]),
    ],
)
def test_what_former_versions_have_recorded_is_read_as_it_is(said: str, expected: list[dict[str, Any]]) -> None:
    message = Message("assistant", said, (ToolCall("tu_1", "look"),), carried={"anthropic": [4, THOUGHT, 4, "tu_1"]})
    _, (turn,) = conversation([message], "claude-haiku-4-5")
    assert turn["content"] == expected


@pytest.mark.parametrize("id_", ["tu_1", "", None])
async def test_calls_of_claude_without_an_id_of_their_own_get_one(id_: str | None) -> None:
    back = await sent_back(THOUGHT, LOOK | {"id": id_}, LOOK | {"id": id_})
    assert [block["type"] for block in back] == ["thinking", "tool_use", "tool_use"]
    assert len({block["id"] for block in back[1:]} - {"", None}) == 2


# --- the others ------------------------------------------------------------------------------------------------------


def response(*output: dict[str, Any]) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 3, "total_tokens": 6}
    return {"id": "r", "model": "gpt-5", "status": "completed", "output": list(output), "usage": usage}


async def items_back(*output: dict[str, Any]) -> list[dict[str, Any]]:
    """What the responses API is sent after the prompt."""
    done = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}
    async with SseServer(answers(response(*output)), answers(response(done))) as server:
        agent = Agent(model=OpenAIModel("gpt-5", api="responses", base_url=server.url, api_key="k"), tools=[look])
        await agent.run("Go.")
        await agent.aclose()
    items: list[dict[str, Any]] = server.asked[1].body["input"]
    return items[1:]


def reasoning(summary: str) -> dict[str, Any]:
    told = [{"type": "summary_text", "text": summary}]
    return {"type": "reasoning", "id": "rs_1", "summary": told, "encrypted_content": "gAAAA"}


def called(id_: str, **args: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": id_, "name": "look", "arguments": json.dumps(args)}


async def test_a_response_goes_back_as_it_came() -> None:
    output = (reasoning("I look."), called("c1"))
    assert (await items_back(*output))[:2] == list(output)


@pytest.mark.parametrize(
    "output", [(reasoning("password=hunter22x"), called("c1")), (called("c1", password="hunter22x"),)]
)
async def test_a_response_in_which_a_secret_is_masked_is_told_anew(output: tuple[dict[str, Any], ...]) -> None:
    call, result = await items_back(*output)
    assert (call["type"], call["call_id"], result["call_id"]) == ("function_call", "c1", "c1")
    # What the tool was called with is recorded as it is: the model reads its own call again.
    assert json.loads(call["arguments"]) == json.loads(output[-1]["arguments"])


@pytest.mark.parametrize("id_", ["c1", ""])
async def test_calls_of_a_response_go_back_with_the_ids_of_their_results(id_: str) -> None:
    items = await items_back(reasoning("I look."), called(id_), called(id_))
    assert [item["type"] for item in items] == ["reasoning", *["function_call"] * 2, *["function_call_output"] * 2]
    first, second, *results = (item["call_id"] for item in items[1:])
    assert [first, second] == results
    assert first and second and first != second


async def test_a_response_that_was_recorded_without_a_seal_goes_back() -> None:
    output = [reasoning("I look."), called("c1")]
    said = Message("assistant", "", (ToolCall("c1", "look"),), carried={"openai": {"model": "gpt-5", "output": output}})
    done = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}
    async with (
        SseServer(answers(response(done))) as server,
        aclosing(OpenAIModel("gpt-5", api="responses", base_url=server.url, api_key="k")) as model,
    ):
        await model.complete([Message("user", "Go."), said, Message("tool", "seen", tool_call_id="c1")])
    assert server.asked[0].body["input"][1:3] == output


def test_thinking_that_litellm_carries_goes_back_as_it_came_or_not_at_all() -> None:
    said = Message("assistant", "Cold.", carried=litellm_messages.carried_of([THOUGHT], "anthropic"))
    assert litellm_messages.conversation([said], "anthropic")[0]["thinking_blocks"] == [THOUGHT]
    masked = {"litellm": said.carried["litellm"] | {"thinking_blocks": [THOUGHT | {"thinking": "[redacted]"}]}}
    changed = structs.replace(said, carried=masked)
    assert "thinking_blocks" not in litellm_messages.conversation([changed], "anthropic")[0]
    del masked["litellm"]["fits"]  # as it was recorded before there were seals
    assert "thinking_blocks" in litellm_messages.conversation([changed], "anthropic")[0]
