"""`Agent` on its own: runs, streams, sessions, and what becomes of them when something goes wrong."""

import asyncio
import contextlib
import gc
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from treadle import (
    Agent,
    ConfigError,
    Event,
    FunctionModel,
    Message,
    ModelChunk,
    ModelReply,
    Run,
    RunError,
    ScriptedModel,
    ScriptedTurn,
    ToolCall,
    ToolSpec,
    TreadleError,
    Unavailable,
    Usage,
    tool,
)


@pytest.fixture(autouse=True)
async def closing() -> AsyncIterator[None]:
    """Close the system behind agents that name no journal; afterwards nothing of it is left."""
    yield
    await Agent(model="echo").aclose()
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    gc.collect()


def calls(*names: str, then: str = "done") -> FunctionModel:
    """A model that calls these tools, all in one turn, and then answers with what they said."""

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        said = [message.content for message in messages if message.role == "tool"]
        if said:
            return ModelReply(" | ".join([*said, then]))
        return ModelReply(tool_calls=tuple(ToolCall(str(slot), name, {}) for slot, name in enumerate(names)))

    return FunctionModel(answer)


def types(events: Sequence[Event]) -> list[str]:
    return [event.type for event in events if event.version]


# Streams


async def test_a_stream_yields_every_recorded_event_in_order_and_the_chunks_between() -> None:
    @tool(read_only=True)
    async def load() -> float:
        return 0.5

    agent = Agent("You measure.", model=calls("load"), tools=[load])
    events = [event async for event in agent.stream("How busy?")]
    assert types(events) == [
        "run.started",
        "model.requested",
        "model.completed",
        "tool.requested",
        "tool.completed",
        "model.requested",
        "model.completed",
        "run.completed",
    ]
    assert [event.version for event in events if event.version] == list(range(1, 9))
    assert "".join(event.payload["text"] for event in events if event.type == "model.chunk") == "0.5 | done"
    assert {event.run_id for event in events} == {events[0].run_id}
    assert [event.kind for event in events if event.kind in ("started", "tool_call", "tool_result", "completed")] == [
        "started",
        "tool_call",
        "tool_result",
        "completed",
    ]


async def test_a_model_call_that_is_watched_is_on_disk_before_the_model_is_asked(tmp_path: Path) -> None:
    found: list[str] = []

    def look(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        with contextlib.closing(sqlite3.connect(tmp_path / "runs.db")) as reader:
            found.extend(topic for (topic,) in reader.execute("SELECT topic FROM stored_events ORDER BY rowid"))
        return "fine"

    async with Agent(model=FunctionModel(look), runtime=f"sqlite:{tmp_path}/runs.db") as agent:
        async for _ in agent.stream("How is it?"):
            pass
    assert found == ["run.started", "run.model_requested"]


async def test_a_stream_of_a_run_that_fails_ends_with_the_failure_and_does_not_raise() -> None:
    def broken(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        raise OSError("no route to the model")

    events = [event async for event in Agent(model=FunctionModel(broken)).stream("Hello?")]
    assert types(events)[-2:] == ["model.failed", "run.failed"]
    assert "no route to the model" in events[-1].payload["message"]


class Talker:
    """A model that talks for ever, and counts how much it has said."""

    name = "talker"

    def __init__(self) -> None:
        self.said = 0

    async def stream(self, messages: Any, *, tools: Any = (), **options: Any) -> AsyncIterator[ModelChunk]:
        while True:
            self.said += 1
            yield ModelChunk("text", "word ")


async def test_a_slow_reader_slows_the_model_down_and_one_that_leaves_suspends_the_run() -> None:
    model = Talker()
    agent = Agent(model=model, name="talker")
    stream = agent.stream("Talk", user_id="alice", session_id="talk-1")
    event = await until_type(stream, "model.chunk")
    await until(lambda: model.said >= 256)
    for _ in range(100):
        await asyncio.sleep(0)
    assert model.said < 300
    await aclose(stream)

    await until_type(Run(await agent.node(), event.run_id).events(), "run.suspended")
    said = model.said
    for _ in range(100):
        await asyncio.sleep(0)
    assert model.said == said


async def until_type(stream: AsyncIterator[Event], wanted: str) -> Event:
    async with asyncio.timeout(5):
        while (event := await anext(stream)).type != wanted:
            pass
    return event


async def aclose(stream: AsyncIterator[Event]) -> None:
    close: Any = getattr(stream, "aclose")  # noqa: B009 - an async generator, typed as less
    await close()


async def test_a_suspended_run_is_continued_by_resume_and_goes_on_where_it_was() -> None:
    gate = asyncio.Event()
    times: list[int] = []

    @tool(idempotent=True)
    async def measure() -> int:
        times.append(1)
        return 7

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        if messages[-1].role == "user":
            return ModelReply(tool_calls=(ToolCall("1", "measure", {}),))
        await gate.wait()
        return ModelReply(f"it is {messages[-1].content}")

    agent = Agent(model=FunctionModel(answer), name="resumed", tools=[measure])
    stream = agent.stream("How much?", session_id="s")
    event = await until_type(stream, "tool.completed")
    await aclose(stream)
    gate.set()
    result = await agent.resume("s")
    assert (result.run_id, result.output, times) == (event.run_id, "it is 7", [1])


# Handles


async def test_a_second_observer_attaches_in_the_middle_and_sees_the_same_events() -> None:
    gate = asyncio.Event()

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        await gate.wait()
        return "done"

    session = Agent(model=FunctionModel(answer), name="observed").session("s", user_id="alice")
    run = await session.start("Go")

    async def follow(after: int = 0) -> list[Event]:
        return [event async for event in run.events(after)]

    first = asyncio.create_task(follow())
    stream = run.events()
    assert (await anext(stream)).type == "run.started"
    second, third = asyncio.create_task(follow()), asyncio.create_task(follow(after=1))
    gate.set()
    seen = await first
    assert types(seen) == ["run.started", "model.requested", "model.completed", "run.completed"]
    assert [await second, await third, [event async for event in stream]] == [seen, seen[1:], seen[1:]]
    assert await follow(after=3) == seen[3:]
    assert await run.transcript() == seen


async def test_whoever_stops_waiting_for_a_run_stops_nothing() -> None:
    gate = asyncio.Event()

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        await gate.wait()
        return "done"

    run = await Agent(model=FunctionModel(answer), name="waited").session("s").start("Go")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run.wait(), 0.01)
    gate.set()
    assert (await run.wait()).output == "done"
    assert (await run.result()).output == "done"


async def test_prompts_of_one_session_run_in_the_order_of_their_start() -> None:
    agent = Agent(model="echo", name="ordered")
    session = agent.session("s")
    runs = [await session.start(f"prompt {number}") for number in range(5)]
    assert [(await run.wait()).output for run in runs] == [f"Echo: prompt {number}" for number in range(5)]
    assert [message.content for message in await session.history() if message.role == "user"] == [
        f"prompt {number}" for number in range(5)
    ]


async def test_a_call_of_a_run_is_approved_through_its_session() -> None:
    done: list[str] = []

    @tool(destructive=True)
    async def restart() -> str:
        done.append("restarted")
        return "restarted"

    agent = Agent(model=calls("restart"), name="a_name_with_lines", tools=[restart], approval_handler="wait")
    session = agent.session("s_1", user_id="alice")
    waiting = await session.run("Restart it")
    assert (waiting.state, done) == ("waiting", [])
    [question] = waiting.waiting_for
    await session.approve(question.call_id, by="bob")
    result = await Run(await agent.node(), waiting.run_id).wait()
    assert (result.output, done) == ("restarted | done", ["restarted"])


async def test_a_run_is_cancelled_and_says_why() -> None:
    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        await asyncio.Event().wait()
        return ""

    run = await Agent(model=FunctionModel(answer), name="cancelled").session("s").start("Go")
    await until_type(run.events(), "model.requested")
    result = await run.cancel("too slow")
    assert (result.state, result.error) == ("cancelled", "cancelled: too slow")
    assert (await run.wait()).state == "cancelled"


async def test_a_failed_run_raises_or_is_returned_as_the_caller_wants() -> None:
    def broken(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        raise OSError("gone")

    session = Agent(model=FunctionModel(broken), name="failing").session("s")
    with pytest.raises(RunError, match="gone"):
        await session.run("Go")
    assert (await session.run("Go", on_error="return")).state == "failed"


# Models that misbehave


class Model:
    """A model whose stream is this function's."""

    name = "odd"

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def stream(self, messages: Any, *, tools: Any = (), **options: Any) -> Any:
        return self._stream()


async def truncated() -> AsyncIterator[ModelChunk]:
    yield ModelChunk("text", "half an ans")


async def garbage() -> AsyncIterator[Any]:
    yield {"not": "a chunk"}


async def raising() -> AsyncIterator[ModelChunk]:
    yield ModelChunk("text", "half")
    raise ConnectionResetError("reset by peer")


async def unreadable_call() -> AsyncIterator[ModelChunk]:
    yield ModelChunk("tool_call", tool_call=ToolCall("1", "x", {"a": "\ud800"}))
    yield ModelChunk("finish")


async def no_usage() -> AsyncIterator[Any]:
    yield ModelChunk("text", "ok")
    yield ModelChunk("finish", usage=object())  # type: ignore[arg-type]  # pyright: ignore


async def cancelling() -> AsyncIterator[ModelChunk]:
    raise asyncio.CancelledError
    yield ModelChunk("finish")


async def exiting() -> AsyncIterator[ModelChunk]:
    raise SystemExit(2)
    yield ModelChunk("finish")


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize(
    "stream",
    [truncated, garbage, raising, unreadable_call, no_usage, cancelling, exiting, lambda: None],
)
async def test_a_model_that_gives_no_answer_fails_its_run_and_the_session_goes_on(stream: Any, watched: bool) -> None:
    agent = Agent(model=Model(stream), name=f"odd-{getattr(stream, '__name__', '')}-{watched}")
    async with asyncio.timeout(5):
        if watched:
            assert [event async for event in agent.stream("Go", session_id="s")][-1].type == "run.failed"
        else:
            with pytest.raises(RunError):
                await agent.run("Go", session_id="s")
        agent.spec = Agent(model="echo", name=agent.name).spec
        assert (await agent.run("And now?", session_id="s")).output == "Echo: And now?"


@pytest.mark.parametrize("reply", [None, 42, {"text": "hello"}, ["hello"]])
async def test_a_function_that_returns_no_reply_fails_the_run_and_is_named(reply: Any) -> None:
    agent = Agent(model=FunctionModel(lambda messages, tools: reply, name="rules"))
    with pytest.raises(RunError, match=rf"'rules' returned {type(reply).__name__}"):
        await agent.run("Go")
    events = [event async for event in agent.stream("Go")]
    assert f"'rules' returned {type(reply).__name__}" in events[-1].payload["message"]


async def test_a_model_that_hangs_is_given_up_after_its_time() -> None:
    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        await asyncio.Event().wait()
        return ""

    with pytest.raises(RunError, match=r"did not answer within 0.02 s \(model_timeout_s\)"):
        await Agent(model=FunctionModel(answer), model_timeout_s=0.02).run("Go")


# Tools that misbehave


def raise_(error: BaseException) -> Any:
    raise error


class Odd:
    def model_dump(self, mode: str) -> Any:
        raise RuntimeError("not today")


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    ("effect", "told"),
    [
        (lambda: raise_(ValueError("no such host")), "no such host"),
        (lambda: raise_(StopIteration(1)), "StopIteration"),
        (lambda: raise_(SystemExit(3)), "SystemExit"),
        (lambda: raise_(KeyboardInterrupt()), "KeyboardInterrupt"),
        (lambda: raise_(asyncio.CancelledError()), "CancelledError"),
        (lambda: raise_(TimeoutError("its own")), "its own"),
        (lambda: raise_(BaseExceptionGroup("two", [SystemExit(1)])), "two"),
        (lambda: raise_(UnicodeError("odd \ud800 text")), "odd"),
        (object, "has no JSON form"),
        (lambda: "\ud800", "has no JSON form"),
        (lambda: [1, {2}, object()], "has no JSON form"),
        (Odd, "not today"),
    ],
)
async def test_whatever_a_tool_raises_or_returns_is_recorded_and_told_to_the_model(
    kind: str, effect: Any, told: str
) -> None:
    if kind == "sync":

        @tool
        def odd() -> Any:
            return effect()

    else:

        @tool
        async def odd() -> Any:
            return effect()

    async with asyncio.timeout(5):
        agent = Agent(model=calls("odd"), tools=[odd])
        result = await agent.run("Go")
    assert result.output.startswith("ERROR: ")
    assert told in result.output
    recorded = await (await agent.node()).journal.read(f"run-{result.run_id}")
    assert "run.tool_failed" in [event.type for event in recorded]


async def test_an_async_tool_that_hangs_is_cancelled_and_its_outcome_unknown() -> None:
    ended: list[str] = []

    @tool(timeout_s=0.02)
    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    result = await Agent(model=calls("hang"), tools=[hang]).run("Go")
    assert "UNKNOWN OUTCOME: no result within 0.02 s" in result.output
    assert ended == ["cancelled"]


async def test_a_sync_tool_that_hangs_does_not_hold_the_run_nor_other_tools() -> None:
    gate = threading.Event()

    @tool(timeout_s=0.05)
    def hang() -> None:
        gate.wait(5)

    @tool
    def quick() -> str:
        return "quick"

    result = await Agent(model=calls("hang", "quick"), tools=[hang, quick]).run("Go")
    assert result.output.startswith("UNKNOWN OUTCOME: ")
    assert "its thread cannot be stopped" in result.output
    assert result.output.endswith("quick | done")
    gate.set()


async def test_a_huge_result_is_kept_and_shown_whole() -> None:
    text = "x" * 700_000

    @tool
    async def dump() -> str:
        return text

    agent = Agent(model=calls("dump"), tools=[dump])
    result = await agent.run("Go")
    assert result.output == f"{text} | done"
    recorded = await (await agent.node()).journal.read(f"run-{result.run_id}")
    completed = next(event for event in recorded if event.type == "run.tool_completed")
    assert completed.blob
    assert len(completed.stored) < 2000


async def test_arguments_that_do_not_fit_come_back_to_the_model_and_the_tool_is_not_called() -> None:
    called: list[int] = []

    @tool
    async def page(times: int) -> str:
        called.append(times)
        return "paged"

    turns = [
        ScriptedTurn(tool_calls=[ToolCall("", "page", {"times": "often"})]),
        ScriptedTurn(tool_calls=[ToolCall("", "pager", {})]),
        ScriptedTurn(tool_calls=[ToolCall("", "page", {"times": 2})]),
        ScriptedTurn("fine"),
    ]
    agent = Agent(model=ScriptedModel(turns), tools=[page])
    events = [event async for event in agent.stream("Go")]
    failed = [event.payload["error"] for event in events if event.type == "tool.failed"]
    assert "times: Input should be a valid integer" in failed[0]
    assert "there is no tool 'pager'; there are: page" in failed[1]
    assert called == [2]


# Where it runs


def test_an_agent_runs_again_in_another_loop() -> None:
    agent = Agent(model="echo", name="looped")
    assert asyncio.run(agent.run("one", session_id="s")).output == "Echo: one"
    assert asyncio.run(agent.run("two", session_id="s")).output == "Echo: two"

    async def history() -> list[str]:
        found = [message.content for message in await agent.session("s").history() if message.role == "user"]
        await agent.aclose()
        return found

    assert asyncio.run(history()) == ["one", "two"]
    gc.collect()


def test_what_a_loop_left_open_is_closed_when_the_next_one_begins(tmp_path: Path) -> None:
    async def watch(agent: Agent) -> None:
        async for _ in (await agent.node()).watch("nobody"):
            pass

    async def left(agent: Agent) -> str:
        asyncio.create_task(watch(agent)).add_done_callback(lambda task: task.cancelled() or task.exception())
        result = await agent.run("one", session_id="s")
        owner: Any = (await (await agent.node()).journal.read(f"run-{result.run_id}"))[0].event
        return str(owner.owner)

    async def after(agent: Agent, former: str) -> None:
        journal = (await agent.node()).journal
        assert not await journal.is_alive(former)
        assert (await agent.run("two", session_id="s")).output == "Echo: two"
        assert len(await agent.session("s").history()) == 4
        assert sum(thread.name == f"journal {journal.name}" for thread in threading.enumerate()) == 1
        await agent.aclose()

    gc.disable()  # the collector would close it sooner or later
    try:
        ways: list[Callable[[Coroutine[Any, Any, str]], str]] = [asyncio.run, run_and_leave_its_tasks]
        for number, leave in enumerate(ways):
            agent = Agent(model="echo", name="left", runtime=f"sqlite:{tmp_path}/{number}.db")
            asyncio.run(after(agent, leave(left(agent))))
    finally:
        gc.enable()


def run_and_leave_its_tasks(work: Coroutine[Any, Any, str]) -> str:
    """A loop that is closed while tasks wait on it, as a program may that does not use `asyncio.run`."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def test_an_agent_over_a_file_runs_again_in_another_loop(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    agent = Agent(model="echo", name="looped", runtime=f"sqlite:{tmp_path}/runs.db")
    assert asyncio.run(agent.run("one", session_id="s")).output == "Echo: one"
    gc.collect()

    async def again() -> list[str]:
        await agent.run("two", session_id="s")
        found = [message.content for message in await agent.session("s").history() if message.role == "user"]
        await agent.aclose()
        return found

    assert asyncio.run(again()) == ["one", "two"]
    gc.collect()
    assert set(threading.enumerate()) <= before


async def test_closing_one_agent_leaves_the_others_of_its_journal_usable() -> None:
    first, second = Agent(model="echo"), Agent(model="echo")
    await first.run("one")
    await second.run("two")
    await first.aclose()
    await first.aclose()
    assert (await second.run("three")).output == "Echo: three"


async def test_what_is_no_model_is_refused_with_what_would_work() -> None:
    with pytest.raises(ConfigError, match=r"is a class; pass an instance: FunctionModel\(…\)"):
        Agent(model=FunctionModel)
    for model in (None, "no-such-model", object()):
        with pytest.raises(ConfigError, match="what works: model='echo'"):
            Agent(model=model)


async def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_turns=0"):
        Agent(model="echo", max_turns=0)
    with pytest.raises(ConfigError, match="approval_handler='maybe'"):
        Agent(model="echo", approval_handler="maybe")  # type: ignore[arg-type]  # pyright: ignore
    with pytest.raises(ConfigError, match="there is no architecture 'guess'; there are: "):
        Agent(model="echo", architecture="guess")
    with pytest.raises(ConfigError, match="a session needs an id"):
        Agent(model="echo").session("")
    with pytest.raises(ConfigError, match="session_id is empty"):
        await Agent(model="echo").signal("Hello?", session_id="")


async def test_tools_come_and_go_for_runs_that_begin_later() -> None:
    @tool
    async def load() -> int:
        return 1

    agent = Agent(model=calls("load"))
    assert "there is no tool 'load'; there are: none" in (await agent.run("Go")).output
    assert (await agent.with_tool(load).run("Go")).output == "1 | done"
    with pytest.raises(ConfigError, match="has a tool 'load' already"):
        agent.add_tool(load)
    agent.remove_tool("load")
    assert agent.tools_list() == []
    with pytest.raises(ConfigError, match="has no tool 'load'"):
        agent.remove_tool("load")
    with pytest.raises(ConfigError, match="two tools are called 'load'"):
        Agent(model="echo", tools=[load, load])


async def test_a_prompt_that_cannot_be_written_down_is_refused_and_the_session_goes_on() -> None:
    agent = Agent(model="echo", name="odd-prompts")
    for asked in (agent.run("\ud800", session_id="s"), agent.run("\ud800"), agent.session("s").start("\ud800")):
        with pytest.raises(ConfigError, match="no text that can be written down"):
            await asked
    assert (await agent.run("é", session_id="s")).output == "Echo: é"


async def test_usage_is_what_the_model_said() -> None:
    turn = ScriptedTurn("hi", usage=Usage(input_tokens=3, output_tokens=4, cost_usd=0.5))
    result = await Agent(model=ScriptedModel([turn])).run("Go")
    assert (result.tokens_in, result.tokens_out, result.cost_usd, result.turns) == (3, 4, 0.5, 1)


class _Leaves:
    """A model whose plain functions raise what is no `Exception`."""

    name = "leaves"

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def complete(self, messages: Sequence[Message], **options: Any) -> Any:
        raise self._error

    def stream(self, messages: Sequence[Message], **options: Any) -> Any:
        raise self._error


@pytest.mark.parametrize("error", [SystemExit(4), asyncio.CancelledError()])
@pytest.mark.parametrize("watched", [False, True])
async def test_a_model_that_leaves_in_a_plain_function_fails_its_run(error: BaseException, watched: bool) -> None:
    session = Agent(model=_Leaves(error)).session("conv-1")
    for _ in range(2):
        if watched:
            run = await session.start("Go on.")
            assert [event.type async for event in run.events()][-1] == "run.failed"
        else:
            with pytest.raises(RunError, match=r"nobody had cancelled it|which is no Exception"):
                await session.run("Go on.")


@pytest.mark.parametrize("error", [SystemExit(4), asyncio.CancelledError()])
async def test_an_approval_handler_that_leaves_denies_the_call(error: BaseException) -> None:
    @tool(destructive=True)
    async def wipe() -> str:
        """Delete everything."""
        raise AssertionError("nobody allowed it")

    def leave(_: object) -> bool:
        raise error

    result = await Agent(model=calls("wipe"), tools=[wipe], approval_handler=leave).run("Go on.")
    assert result.output.startswith(f"DENIED: the approval handler raised RuntimeError: it raised {error!r}, ")


@pytest.mark.parametrize("error", [SystemExit(4), asyncio.CancelledError()])
async def test_a_strategy_that_leaves_fails_its_run(error: BaseException) -> None:
    async def leave(steps: object) -> str:
        raise error

    session = Agent(model="echo", architecture=leave).session("conv-1")
    for _ in range(2):
        with pytest.raises(RunError, match=type(error).__name__):
            await session.run("Go on.")


async def test_a_strategy_that_cancels_its_task_ends_the_wait_for_it() -> None:
    async def cancel(steps: object) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return "never"

    session = Agent(model="echo", architecture=cancel).session("conv-1")
    async with asyncio.timeout(5):
        for _ in range(2):
            with pytest.raises(TreadleError, match="cancelled"):
                await session.run("Go on.")


async def test_a_caller_that_goes_while_the_end_is_stored_leaves_a_session_that_goes_on(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
    busy = asyncio.Event()

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        if messages[-1].content == "Settle March.":
            other.execute("BEGIN IMMEDIATE")  # another process writes for a moment
            busy.set()
        return "settled"

    agent = Agent(model=FunctionModel(answer), runtime=f"sqlite:{tmp_path}/runs.db", name="desk")
    session = agent.session("conv-1")
    async with agent, asyncio.timeout(20):
        await session.run("Settle February.")
        caller = asyncio.create_task(session.run("Settle March."))
        await busy.wait()
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert (await session.run("Settle April.")).output == "settled"
        answered = [message.content for message in await session.history()]
    other.close()
    assert answered.count("settled") == 3


async def test_runs_that_wait_for_their_turn_hear_that_the_system_was_closed() -> None:
    agent = Agent(model=FunctionModel(_hang), name="desk")
    session = agent.session("conv-1")
    first, second = asyncio.create_task(session.run("One.")), asyncio.create_task(session.run("Two."))
    await until(lambda: _hanging.is_set())
    await agent.aclose()
    for waiting in (first, second):
        with pytest.raises(Unavailable):
            await waiting


_hanging = threading.Event()


async def _hang(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
    _hanging.set()
    await asyncio.Event().wait()
    return "never"
