"""A cassette plays what it has, says what it has not, and records what it may."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from treadle import (
    Agent,
    Cassette,
    ConfigError,
    FunctionModel,
    Image,
    Message,
    ModelChunk,
    ModelReply,
    NotOnCassette,
    RateLimitError,
    RetryPolicy,
    RunError,
    ScriptedModel,
    ScriptedTurn,
    ToolCall,
    ToolSpec,
    Usage,
    redact,
    redaction,
    tool,
)
from treadle.gateways.cassettes.entry import Entry, Failure
from treadle.gateways.cassettes.file import read, write


@tool(read_only=True)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Provider:
    """A model that counts how often it is asked."""

    name = "provider"
    billed = True

    def __init__(self) -> None:
        self.asked = 0
        self.failures: list[Exception] = []

    async def complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        if tools and messages[-1].role == "user":
            calls = (ToolCall("c1", "add", {"a": 1, "b": 2}), ToolCall("c2", "add", {"a": 3, "b": 4}))
            return ModelReply("", calls, Usage(10, 5, cost_usd=0.25), "tool_calls", "I had better add.")
        return ModelReply(f"It is {messages[-1].content}, he said.", usage=Usage(20, 7), request_id="req-1")

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        reply = await self.complete(messages, tools=tools, **options)
        for word in reply.text.split(" "):
            yield ModelChunk("text", f"{word} ")
        for call in reply.tool_calls:
            yield ModelChunk("tool_call", tool_call=call)
        yield ModelChunk("finish", finish_reason=reply.finish_reason, usage=reply.usage)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "test.json"


def written(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


async def test_a_run_with_tools_is_played_without_asking_the_provider_again(path: Path) -> None:
    provider = Provider()
    agent = Agent("You add.", model=provider, tools=[add])
    with Cassette(path):
        recorded = await agent.run("Add them.")
    assert provider.asked == 2
    with Cassette(path, record="none") as cassette:
        played = await agent.run("Add them.")
    assert provider.asked == 2
    assert not cassette.unplayed
    for name in ("output", "turns", "tokens_in", "tokens_out", "cost_usd"):
        assert getattr(played, name) == getattr(recorded, name)


async def test_a_streamed_run_is_played_in_pieces_and_whole(path: Path) -> None:
    provider = Provider()
    agent = Agent("You chat.", model=provider)
    with Cassette(path):
        recorded = [event async for event in agent.stream("seven")]
    with Cassette(path):
        played = [event async for event in agent.stream("seven")]
    assert provider.asked == 1
    assert [event.type for event in played if event.version] == [event.type for event in recorded if event.version]
    assert sum(event.type == "model.chunk" for event in played) > 2
    assert played[-1].payload["output"] == recorded[-1].payload["output"]
    with Cassette(path):
        assert (await agent.run("seven")).output == recorded[-1].payload["output"]


async def test_thinking_ids_and_what_the_provider_wants_back_are_played(path: Path) -> None:
    reply = ModelReply("42", thinking="six by nine", carried={"signature": "s"}, model="m-2026", request_id="req-9")
    cassette = Cassette(path)
    cassette.record("deep", [Message("user", "?")], reply)
    cassette.save()
    model = Cassette(path).model(FunctionModel(lambda messages, tools: "never", "deep"))
    assert await model.complete([Message("user", "?")]) == reply


async def test_a_failure_is_played_as_the_same_error_and_retried_alike(path: Path) -> None:
    provider = Provider()
    provider.failures = [RateLimitError("slow down", provider="p", status=429, request_id="r", retry_after_s=0.0)]
    agent = Agent(model=provider, retry_policy=RetryPolicy(initial_delay_s=0.0, max_delay_s=0.0))
    with Cassette(path):
        await agent.run("seven")
    assert provider.asked == 2
    with Cassette(path):
        result = await agent.run("seven")
    assert provider.asked == 2
    assert result.output == "It is seven, he said."
    failure = read(path)[1][0].answer
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.status, failure.request_id) == ("rate_limited", 429, "r")


async def test_a_stream_that_broke_says_what_it_had_said_and_then_breaks(path: Path) -> None:
    class Breaking(Provider):
        async def stream(
            self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
        ) -> AsyncIterator[ModelChunk]:
            yield ModelChunk("text", "Half an")
            raise ConnectionError("cut")

    agent = Agent(model=Breaking())
    cassette = Cassette(path)
    with cassette:
        recorded = [event async for event in agent.stream("seven")]
    with Cassette(path):
        played = [event async for event in agent.stream("seven")]
    for events in (recorded, played):
        assert "".join(event.payload["text"] for event in events if event.type == "model.chunk") == "Half an"
        assert events[-1].type == "run.failed"
    assert played[-1].payload["error"] == recorded[-1].payload["error"]


async def test_what_is_missing_names_the_file_the_nearest_call_and_the_difference(path: Path) -> None:
    provider = Provider()
    with Cassette(path):
        await Agent("You chat.", model=provider).run("Tell me a joke about cats.")
        await Agent("You sum.", model=provider).run("One and one?")
    with Cassette(path) as cassette, pytest.raises(RunError) as caught:
        await Agent("You chat.", model=provider).run("Tell me a joke about dogs.")
    said = str(caught.value)
    assert str(path) in said
    assert "the nearest is call 1, which differs from message 2 on" in said
    assert "- user: Tell me a joke about cats." in said
    assert "+ user: Tell me a joke about dogs." in said
    assert "--treadle-record=all" in said
    assert caught.value.result.error_kind == "model:not_on_cassette"
    [miss] = cassette.misses
    assert miss.path == path
    assert provider.asked == 2


async def test_equal_calls_are_played_in_order_and_each_once(path: Path) -> None:
    turns = [ScriptedTurn("first"), ScriptedTurn("second")]
    agent = Agent(model=ScriptedModel(turns))
    with Cassette(path):
        assert [(await agent.run("go")).output for _ in range(2)] == ["first", "second"]
    with Cassette(path):
        assert [(await agent.run("go")).output for _ in range(2)] == ["first", "second"]
        with pytest.raises(RunError, match=r"has this call 2 times \(call 1, 2\)"):
            await agent.run("go")


async def test_of_equal_calls_each_model_gets_its_own_answer_first(path: Path) -> None:
    def named(name: str) -> Agent:
        return Agent(model=FunctionModel(lambda messages, tools: f"from {name}", name))

    with Cassette(path):
        for name in ("a", "b"):
            await named(name).run("go")
    with Cassette(path):
        assert [(await named(name).run("go")).output for name in ("b", "a")] == ["from b", "from a"]
    with Cassette(path):
        assert (await named("c").run("go")).output == "from a"
    both: list[Any] = [("messages", "model"), "model"]
    for match in both:
        with Cassette(path, match=match), pytest.raises(RunError, match=r"for a, b .*, and not for 'c'"):
            await named("c").run("go")


@pytest.mark.parametrize(("record", "asked", "calls"), [("none", 0, 1), ("once", 0, 1), ("new", 1, 2), ("all", 2, 2)])
async def test_the_mode_says_what_is_sent(path: Path, record: Any, asked: int, calls: int) -> None:
    with Cassette(path):
        await Agent(model=Provider()).run("old")
    provider = Provider()
    agent = Agent(model=provider)
    with Cassette(path, record=record):
        await agent.run("old")
        if record in ("none", "once"):
            with pytest.raises(RunError):
                await agent.run("new")
        else:
            await agent.run("new")
    assert provider.asked == asked
    assert len(read(path)[1]) == calls


async def test_none_records_nothing_even_where_there_is_no_file(path: Path) -> None:
    with Cassette(path, record="none"), pytest.raises(RunError, match="There is no such file"):
        await Agent(model=Provider()).run("go")
    assert not written(path)


async def test_a_block_that_raises_leaves_no_file(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Cassette(path):
        await Agent(model=Provider()).run("go")
        raise ZeroDivisionError
    assert not written(path)


def test_other_threads_and_event_loops_are_answered_too(path: Path) -> None:
    agent = Agent(model=Provider())

    def run() -> None:
        asyncio.run(agent.run("seven"))

    with Cassette(path):
        run()
    provider = Provider()
    agent = Agent(model=provider)
    with Cassette(path) as cassette:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(30)
    assert not cassette.unplayed
    assert provider.asked == 0


async def test_models_answer_themselves_again_afterwards(path: Path) -> None:
    provider = Provider()
    with Cassette(path):
        await Agent(model=provider).run("go")
    await Agent(model=provider).run("go")
    assert provider.asked == 2


async def test_the_file_reads_like_the_conversation_and_is_the_same_each_time(path: Path, tmp_path: Path) -> None:
    with Cassette(path):
        await Agent("You add.", model=Provider(), tools=[add]).run("Add them.")
    with Cassette(tmp_path / "again.json"):
        await Agent("You add.", model=Provider(), tools=[add]).run("Add them.")
    assert written(path) == written(tmp_path / "again.json")
    first, second = json.loads(written(path))["calls"]
    assert [message["role"] for message in first["sent"]] == ["system", "user"]
    assert second["continues"] == 1
    assert [message["content"] for message in second["sent"]] == ["3", "7"]
    assert first["reply"]["thinking"] == "I had better add."


def test_what_is_written_is_read_again(path: Path) -> None:
    question = (Message("user", "?", images=(Image("image/png", "AAAA" * 1000),)),)
    answer = ModelReply("!", (ToolCall("1", "add", {"a": 1}),))
    told = (*question, answer.message, Message("tool", "1", tool_call_id="1", name="add"))
    entries = [
        Entry.of("m", question, Failure("overloaded", "no room", status=529)),
        Entry.of("m", question, answer),
        Entry.of("m", told, ModelReply("done")),
        Entry.of("m", (Message("user", "another"),), ModelReply("yes")),
    ]
    write(path, entries)
    assert read(path) == (None, entries)
    assert "AAAA" not in path.read_text()
    assert "sha256:" in path.read_text()


def test_no_key_is_written_whoever_said_it(path: Path) -> None:
    key = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"
    cassette = Cassette(path)
    cassette.record("m", [Message("user", f"my key is {key}")], ModelReply(f"do not tell anybody {key}"))
    cassette.record("m", [Message("user", "again")], Failure("authentication", f"incorrect key: {key}"))
    cassette.save()
    assert key not in path.read_text()
    assert Cassette(path, record="none").play("m", [Message("user", f"my key is {key}")]) is not None


def test_a_miss_for_what_was_masked_says_that_it_was(path: Path) -> None:
    cassette = Cassette(path)
    redaction.add_secret("blue-harbour-77")
    try:
        cassette.record("m", [Message("user", redact("Why is blue-harbour-77 refused?"))], ModelReply("It is old."))
        cassette.save()
        with pytest.raises(NotOnCassette, match=r"in what is masked alone\n.*was masked when this was recorded"):
            Cassette(path).play("m", [Message("user", "Why is blue-harbour-77 refused?")])
    finally:
        redaction.forget_secret("blue-harbour-77")
    with pytest.raises(NotOnCassette) as caught:
        Cassette(path).play("m", [Message("user", "Why is blue-harbour-77 refused?")])
    assert "- user: Why is [redacted] refused?" in str(caught.value)
    assert "[redacted] stands for a secret that was masked when this was recorded" in str(caught.value)
    with pytest.raises(NotOnCassette) as plain:
        missed = Cassette.of("x", [Entry.of("m", [Message("user", "cats")], ModelReply("a joke"))])
        missed.play("m", [Message("user", "dogs")])
    assert "masked" not in str(plain.value)


def test_a_cassette_can_be_written_by_hand(path: Path) -> None:
    path.parent.mkdir()
    call = {"model": "any", "sent": [{"role": "user", "content": "ping"}], "reply": {"text": "pong"}}
    path.write_text(json.dumps({"treadle": "cassette", "format": 1, "calls": [call]}))
    played = Cassette(path).play("other", [Message("user", "ping")])
    assert played is not None
    assert played.reply().text == "pong"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "is no cassette"),
        (b"\xff\xfe", "is no cassette"),
        (b'{"interactions": []}', "is no cassette"),
        (b'{"treadle": "cassette", "format": 2}', "has format 2, this Treadle reads up to 1"),
        (b'{"treadle": "cassette", "format": 1, "calls": [{"model": "m", "digest": "d"}]}', "call 1: one of `reply`"),
        (
            b'{"treadle": "cassette", "format": 1, "calls": [{"model": "m", "continues": 1, "reply": {}}]}',
            "an earlier call is wanted",
        ),
        (b'{"treadle": "cassette", "format": 1, "calls": [{"model": "m", "reply": {}}]}', "`sent` is wanted"),
    ],
)
def test_a_file_that_is_no_cassette_says_where(path: Path, text: bytes, why: str) -> None:
    path.parent.mkdir()
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=why) as caught:
        Cassette(path)
    assert str(path) in str(caught.value)


def test_words_that_mean_nothing_are_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="'none', 'once', 'new', 'all'"):
        Cassette(path, record="always")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'messages', 'model'"):
        Cassette(path, match=("uri",))  # type: ignore[arg-type]


async def test_failures_that_are_played_open_no_circuit_for_the_real_model(path: Path) -> None:
    provider = Provider()
    agent = Agent(model=provider, retry_policy=RetryPolicy(max_attempts=1))
    with Cassette(path) as cassette:
        for _ in range(RetryPolicy().circuit_open_after):
            cassette.record("provider", [Message("user", "go")], Failure("overloaded", "no room", status=529))
    with Cassette(path) as cassette:
        while cassette.unplayed:
            with pytest.raises(RunError):
                await agent.run("go")
    assert (await agent.run("seven")).output == "It is seven, he said."


def test_a_miss_is_made_again_of_what_was_recorded() -> None:
    from treadle.actors.model_errors import model_error

    assert isinstance(model_error("not there", "not_on_cassette"), NotOnCassette)
