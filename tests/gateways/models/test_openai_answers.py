"""How answers read that no mock server gives: odd pieces, odd usage, thoughts, ends."""

import json
from contextlib import aclosing
from typing import Any, Literal

import pytest
from sse_server import SseServer, answers, events, sends, stream_head, streams

from treadle import Agent, Limits, Message, System
from treadle.actors.model import collect
from treadle.actors.model_errors import BadReply
from treadle.events.message import ModelReply, ToolCall, ToolSpec, Usage
from treadle.gateways.models.openai import OpenAIModel
from treadle.gateways.models.prices import Price
from treadle.gateways.models.tool_calls import arguments

HELLO = [Message("user", "Hello.")]


def piece(finish: str | None = None, /, **delta: Any) -> dict[str, Any]:
    return {"model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(index: int | None, id: str | None, name: str | None, args: str | None) -> dict[str, Any]:
    function = {"name": name, "arguments": args}
    return {"index": index, "id": id, "function": {key: value for key, value in function.items() if value is not None}}


async def read(*sent: object, api: Literal["chat", "responses"] = "chat", **more: Any) -> ModelReply:
    async with (
        SseServer(streams(*sent, done=api == "chat")) as server,
        aclosing(OpenAIModel("gpt-5", api=api, base_url=server.url, api_key="k", **more)) as model,
    ):
        return await collect(model.stream(HELLO), model.name)


A, B = ToolCall("a", "stock", {"sku": "A1"}), ToolCall("b", "order", {"sku": "B2"})
PIECES: dict[str, list[list[dict[str, Any]]]] = {
    "as OpenAI does": [
        [call(0, "a", "stock", "")], [call(0, None, None, '{"sku"')], [call(0, None, None, ': "A1"}')],
        [call(1, "b", "order", "")], [call(1, None, None, '{"sku": "B2"}')],
    ],
    "in turns": [
        [call(0, "a", "stock", "{"), call(1, "b", "order", "{")],
        [call(1, None, None, '"sku": "B2"}'), call(0, None, None, '"sku": "A1"}')],
    ],
    "whole": [[call(0, "a", "stock", '{"sku": "A1"}')], [call(1, "b", "order", '{"sku": "B2"}')]],
    "with index 0 for all": [[call(0, "a", "stock", '{"sku": "A1"}')], [call(0, "b", "order", '{"sku": "B2"}')]],
    "without an index": [[call(None, "a", "stock", '{"sku": "A1"}')], [call(None, "b", "order", '{"sku": "B2"}')]],
    "without an index, in one delta": [
        [call(None, "a", "stock", '{"sku": "A1"}'), call(None, "b", "order", '{"sku": "B2"}')]
    ],
    "without an index, in pieces": [
        [call(None, "a", "stock", '{"sku"')], [call(None, None, None, ': "A1"}')],
        [call(None, "b", "order", '{"sku"')], [call(None, "", None, ': "B2"}')],
    ],
    "with id and name in each piece": [
        [call(0, "a", "stock", '{"sku"')], [call(0, "a", "stock", ': "A1"}')],
        [call(1, "b", "order", '{"sku"')], [call(1, "b", "order", ': "B2"}')],
    ],
}  # fmt: skip


@pytest.mark.parametrize("how", PIECES)
async def test_calls_are_put_together_from_their_pieces(how: str) -> None:
    reply = await read(*(piece(tool_calls=each) for each in PIECES[how]), piece("tool_calls"))
    assert reply.tool_calls == (A, B)


async def test_what_a_call_is_signed_with_is_carried() -> None:
    signed = {"google": {"thought_signature": "c2lnbmVk"}}
    sent = [call(0, "a", "stock", "{}"), {**call(1, "b", "order", "{}"), "extra_content": signed}]
    reply = await read(piece(tool_calls=sent), piece("tool_calls"))
    assert reply.carried == {"openai": {"model": "gpt-5", "extra_content": [None, signed]}}


async def test_arguments_that_come_as_an_object_are_taken_as_they_are() -> None:
    function: dict[str, Any] = {"name": "stock", "arguments": {"sku": "A1"}}
    message = {"tool_calls": [{"id": "a", "function": function}]}
    async with (
        SseServer(answers({"choices": [{"message": message, "finish_reason": "stop"}]})) as server,
        aclosing(OpenAIModel("m", base_url=server.url, api_key="k")) as model,
    ):
        assert (await model.complete(HELLO)).tool_calls == (A,)


@pytest.mark.parametrize("id", ["", None, "same"])
async def test_calls_without_an_id_of_their_own_get_one(id: str | None) -> None:
    sent = [call(0, id, "stock", '{"sku": "A1"}'), call(1, id, "order", '{"sku": "B2"}')]
    reply = await read(piece(tool_calls=sent), piece("tool_calls"))
    assert [(each.tool, each.args) for each in reply.tool_calls] == [(each.tool, each.args) for each in (A, B)]
    assert len({each.id for each in reply.tool_calls} - {""}) == 2


async def test_of_several_answers_in_a_stream_the_first_is_read() -> None:
    def of(index: int, finish: str | None = None, /, **delta: Any) -> dict[str, Any]:
        return {"model": "m-1", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}

    second = of(1, tool_calls=[call(0, "b", "order", '{"sku": "B2"}')])
    both = {"model": "m-1", "choices": [*of(1, content="No")["choices"], *of(0, content="llo.")["choices"]]}
    reply = await read(of(1, content="Go"), of(0, content="He"), second, both, of(1, "length"), of(0, "stop"))
    assert (reply.text, reply.tool_calls, reply.finish_reason) == ("Hello.", (), "stop")


async def test_a_stream_without_an_index_is_one_answer() -> None:
    choice = {"delta": {"content": "Hello."}, "finish_reason": "stop"}
    assert (await read({"model": "m-1", "choices": [choice]})).text == "Hello."


async def test_a_stop_with_calls_is_an_end_by_calls() -> None:
    reply = await read(piece(tool_calls=[call(0, "a", "stock", '{"sku": "A1"}')]), piece("stop"))
    assert (reply.finish_reason, reply.tool_calls) == ("tool_calls", (A,))


@pytest.mark.parametrize("end", ["tool_calls", "function_call"])
async def test_an_end_that_is_for_a_call_without_one_is_no_answer(end: str) -> None:
    with pytest.raises(BadReply, match="called none"):
        await read(piece(content="Let me look."), piece(end))


async def test_a_call_that_was_cut_off_before_its_arguments_has_none_that_count() -> None:
    whole = await read(piece(tool_calls=[call(0, "a", "stock", None)]), piece("tool_calls"))
    cut = await read(piece(tool_calls=[call(0, "a", "stock", None)]), piece("length"))
    assert [each.args for each in whole.tool_calls] == [{}]
    assert [each.args for each in cut.tool_calls] == [{"_invalid": ""}]
    assert cut.finish_reason == "length"


@pytest.mark.parametrize("text", ["{", "[1]", '"text"', "null", '{"a": 1}{"b": 2}', "[" * 100_000, "\ud800"])
def test_arguments_that_are_no_object_stay_text(text: str) -> None:
    assert arguments(text) == {"_invalid": text}


async def test_events_come_whole_however_the_bytes_are_cut() -> None:
    sent = b"".join(events(piece(content="Grüß "), piece(content="Gott, 世界"), piece("stop")))
    sent = b": a comment\r\n\r\n" + sent.replace(b"\n", b"\r\n")
    slices = [sent[at : at + 3] for at in range(0, len(sent), 3)]
    async with (
        SseServer(sends(stream_head(), *slices)) as server,
        aclosing(OpenAIModel("m", base_url=server.url, api_key="k")) as model,
    ):
        reply = await collect(model.stream(HELLO), model.name)
    assert (reply.text, reply.finish_reason, reply.model) == ("Grüß Gott, 世界", "stop", "m-1")


async def test_a_stream_that_ends_without_done_is_whole_when_it_has_its_finish() -> None:
    async with (
        SseServer(streams(piece(content="Hi."), piece("stop"), done=False)) as server,
        aclosing(OpenAIModel("m", base_url=server.url, api_key="k")) as model,
    ):
        assert (await collect(model.stream(HELLO), model.name)).text == "Hi."


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_thoughts_come_by_either_name(field: str) -> None:
    reply = await read(
        piece(**{field: "Two "}), piece(**{field: "and two.", "content": "Four"}), piece("stop", content=".")
    )
    assert (reply.thinking, reply.text) == ("Two and two.", "Four.")


PRICE = Price(input=1.0, output=10.0, cached_input=0.1, cache_write=2.0)
USAGES: dict[str, tuple[dict[str, Any], Usage]] = {
    "OpenAI": (
        {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100,
         "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100}},
        Usage(300, 100, 600, 100, cost_usd=0.00156),
    ),
    "DeepSeek": (
        {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "prompt_cache_hit_tokens": 600},
        Usage(400, 100, 600, cost_usd=0.00146),
    ),
    "thinking only in the total": (
        {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1400}, Usage(1000, 400, cost_usd=0.005),
    ),
    "no more than the two": ({"prompt_tokens": 10, "completion_tokens": 1}, Usage(10, 1, cost_usd=0.00002)),
}  # fmt: skip


@pytest.mark.parametrize("of", USAGES)
async def test_cached_input_is_counted_and_priced_apart(of: str) -> None:
    sent, usage = USAGES[of]
    last: dict[str, Any] = {"model": "m-1", "choices": [], "usage": sent}
    reply = await read(piece(content="Hi."), piece("stop"), last, price=PRICE)
    assert reply.usage == pytest.approx(usage) or reply.usage == usage
    async with (
        SseServer(
            answers({"choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}], "usage": sent})
        ) as server,
        aclosing(OpenAIModel("gpt-5", base_url=server.url, api_key="k", price=PRICE)) as model,
    ):
        assert (await model.complete(HELLO)).usage == reply.usage


NO_USAGE = (None, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})


@pytest.mark.parametrize("usage", NO_USAGE)
async def test_an_answer_whose_usage_is_not_told_is_charged_at_a_guess(usage: object) -> None:
    """A budget that it is not charged to would never be spent."""
    price, asked = Price(input=4.0, output=8.0), [Message("user", "?" * 384)]
    choice = {"message": {"content": "a" * 36}, "finish_reason": "stop"}
    async with (
        SseServer(answers({"choices": [choice], "usage": usage})) as server,
        aclosing(OpenAIModel("m", base_url=server.url, api_key="k", price=price)) as model,
    ):
        reply = await model.complete(asked)
    assert reply.estimated
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (101, 10)
    assert reply.usage.cost_usd == pytest.approx(0.000484)
    last: dict[str, Any] = {"choices": [], "usage": usage}
    async with (
        SseServer(streams(piece(content="a" * 36), piece("stop"), last)) as server,
        aclosing(OpenAIModel("m", base_url=server.url, api_key="k", price=price)) as model,
    ):
        streamed = await collect(model.stream(asked), "m")
    assert (streamed.text, streamed.usage, streamed.estimated) == ("a" * 36, reply.usage, True)


async def test_a_guess_at_usage_counts_the_tools_that_were_offered_and_the_calls_that_came() -> None:
    tool = ToolSpec("stock", "How many there are." * 10)
    call_ = {"id": "a", "function": {"name": "stock", "arguments": json.dumps({"sku": "A" * 400})}}
    body = {"choices": [{"message": {"tool_calls": [call_]}, "finish_reason": "tool_calls"}]}
    async with (
        SseServer(answers(body)) as server,
        aclosing(OpenAIModel("m", base_url=server.url, api_key="k")) as model,
    ):
        bare, offered = await model.complete(HELLO), await model.complete(HELLO, tools=[tool])
    assert bare.usage.output_tokens > 100
    assert offered.usage.input_tokens - bare.usage.input_tokens >= len(tool.description) // 4


async def test_a_budget_is_spent_by_answers_whose_usage_is_not_told() -> None:
    choice = {"message": {"content": "a" * 400}, "finish_reason": "stop"}
    async with SseServer(answers({"choices": [choice]})) as server, System() as system:
        model = OpenAIModel("m", base_url=server.url, api_key="k", options={"max_tokens": 10})
        agent = system.host(Agent("Help.", model=model, budget=Limits(max_tokens=120)))
        first, second = await agent.run("Hello."), await agent.run("Hello.")
    assert first.estimated.output_tokens == first.tokens_out == 101
    assert (second.interruption_reason, second.estimated) == ("budget:max_tokens", Usage())


async def test_usage_that_comes_with_each_piece_is_counted_once() -> None:
    first, last = piece(content="Hi."), piece("stop")
    first["usage"], last["usage"] = (
        {"prompt_tokens": 5, "completion_tokens": 1},
        {"prompt_tokens": 5, "completion_tokens": 3},
    )
    assert (await read(first, last, price=Price(input=0.0, output=0.0))).usage == Usage(5, 3)


# --- the responses API -----------------------------------------------------------------------------------------------


def ended(*output: dict[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 100, "output_tokens": 20, "total_tokens": 120, "input_tokens_details": {"cached_tokens": 60},
    }  # fmt: skip
    response = {"model": "gpt-5-2025", "status": status, "output": list(output), "usage": usage, **more}
    return {"type": f"response.{status}", "response": response}


SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Four."}]}
PARTS = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": text} for text in ("A.", "B.")],
}


async def test_a_response_is_read_as_it_comes() -> None:
    summary = "response.reasoning_summary_"
    sent: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"status": "in_progress", "output": []}},
        {"type": f"{summary}part.added", "summary_index": 0},
        {"type": f"{summary}text.delta", "summary_index": 0, "delta": "A."},
        {"type": f"{summary}part.added", "summary_index": 1},
        {"type": f"{summary}text.delta", "summary_index": 1, "delta": "B."},
        {"type": "response.output_text.delta", "delta": "Fo"},
        {"type": "response.output_text.delta", "delta": "ur."},
        {"type": "response.something.new", "delta": "?"},
        ended(PARTS, SAID),
    ]
    reply = await read(*sent, api="responses", price=PRICE)
    assert (reply.thinking, reply.text, reply.model) == ("A.\n\nB.", "Four.", "gpt-5-2025")
    assert reply.usage == Usage(40, 20, 60, cost_usd=0.000246)
    async with (
        SseServer(answers(ended(PARTS, SAID)["response"])) as server,
        aclosing(OpenAIModel("gpt-5", api="responses", base_url=server.url, api_key="k", price=PRICE)) as model,
    ):
        assert await model.complete(HELLO) == reply


async def test_a_response_whose_end_does_not_repeat_its_items_has_those_that_came() -> None:
    item = {"type": "function_call", "call_id": "a", "name": "stock", "arguments": '{"sku": "A1"}'}
    reply = await read({"type": "response.output_item.done", "item": item}, ended(), api="responses")
    assert reply.tool_calls == (A,)
    assert reply.carried["openai"]["output"] == [item]


async def test_a_response_that_was_cut_off_says_so() -> None:
    last = ended(SAID, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    reply = await read({"type": "response.output_text.delta", "delta": "Four."}, last, api="responses")
    assert (reply.text, reply.finish_reason) == ("Four.", "length")
