"""Runs that are forked: what is done anew, what is not, and who pays."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from pydantic import BaseModel

from treadle import (
    Agent,
    Cassette,
    ConfigError,
    FunctionModel,
    Limits,
    Message,
    ModelReply,
    NotFound,
    Run,
    RunError,
    RunState,
    System,
    ToolCall,
    ToolSpec,
    Usage,
    tool,
)
from treadle.actors.model import ModelChunk
from treadle.actors.run_actor import ContinueRun
from treadle.events.envelope import EMPTY, Meta
from treadle.events.fork import NotAForkPoint, fork_points
from treadle.events.journal import Append
from treadle.events.redaction import redaction
from treadle.events.run import RunCompleted, RunStarted, run_stream
from treadle.gateways.cassettes.replay import replay
from treadle.gateways.forks import IdTaken


class Desk:
    """An agent that looks and posts, each in a turn of its own, and says what it did; and what it did."""

    def __init__(self, runtime: str, **more: Any) -> None:
        self.asked: list[str] = []
        self.posted: list[str] = []

        @tool
        def post(text: str) -> str:
            """Post a text."""
            self.posted.append(text)
            return f"posted {text}"

        @tool(read_only=True)
        def look(place: str) -> str:
            """Look somewhere."""
            return f"{place} is empty"

        self.agent = Agent(
            "You keep a desk.", model=self.model("first"), name="desk", tools=[post, look], runtime=runtime, **more
        )

    def model(self, name: str) -> FunctionModel:
        def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
            self.asked.append(name)
            since = max(index for index, message in enumerate(messages) if message.role == "user")
            turn = sum(message.role == "assistant" for message in messages[since:])
            usage = Usage(10, 5, cost_usd=0.25)
            if turn == 2:
                said = [message.content for message in messages if message.role in ("user", "tool")]
                return ModelReply(f"{name}: {', '.join(said)}", usage=usage)
            calls = (
                (ToolCall("a", "look", {"place": "tray"}), ToolCall("b", "look", {"place": "drawer"})),
                (ToolCall("c", "post", {"text": f"from {name}"}),),
            )[turn]
            return ModelReply("", calls, usage, "tool_calls")

        return FunctionModel(answer, name)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(f"sqlite:{tmp_path}/runs.db")
    yield desk
    await desk.agent.aclose()


async def handle(agent: Agent, run_id: str) -> Run:
    return Run(await agent.node(), run_id)


async def test_another_model_goes_on_and_nothing_before_is_done_again(desk: Desk) -> None:
    result = await desk.agent.run("Tidy up.")
    run = await handle(desk.agent, result.run_id)
    fork = await run.fork("2", model=desk.model("second"))
    forked = await fork.wait()
    assert desk.asked == ["first", "first", "first", "second", "second"]
    assert desk.posted == ["from first", "from second"]
    assert forked.output == "second: Tidy up., tray is empty, drawer is empty, posted from second"
    assert (forked.state, forked.turns) == (RunState.COMPLETED, 3)
    assert (forked.cost_usd, result.cost_usd) == (0.5, 0.75)
    assert (await run.result()).output == result.output


async def test_a_fork_from_the_top_does_everything_anew(desk: Desk) -> None:
    result = await desk.agent.run("Tidy up.")
    forked = await (await desk.agent.fork(result.run_id, model=desk.model("second"))).wait()
    assert desk.asked == ["first"] * 3 + ["second"] * 3
    assert forked.cost_usd == result.cost_usd
    assert forked.run_id != result.run_id


async def test_events_tell_where_a_fork_comes_from(desk: Desk) -> None:
    result = await desk.agent.run("Tidy up.", user_id="alice", metadata={"ticket": 7})
    run = await handle(desk.agent, result.run_id)
    events = await run.transcript()
    [looked] = [event for event in events if event.type == "model.completed" and event.payload["step"] == "3"]
    fork = await run.fork(looked, model=desk.model("second"))
    forked = await fork.wait()
    started, *rest = await fork.transcript()
    assert started.payload["forked_from"] == result.run_id
    assert started.payload["forked_at"] == looked.version
    assert (started.payload["model"], started.payload["forked_to"]) == ("second", "second")
    copies = [event for event in rest if event.type == "run.copied"]
    assert [copy.payload["type"] for copy in copies] == [event.type for event in events[1 : looked.version]]
    assert rest[len(copies)].type == "tool.requested"
    assert (forked.user_id, forked.metadata) == ("alice", {"ticket": 7})
    stored = await (await desk.agent.node()).journal.read(run_stream(fork.id))
    origin = await (await desk.agent.node()).journal.read(run_stream(run.id))
    assert stored[0].causation_id == origin[looked.version - 1].id
    assert fork.id not in str(events)
    assert result.run_id not in "".join(recorded.data.decode() for recorded in stored[1:])


async def test_every_version_of_a_run_forked_there_tells_the_same_story(desk: Desk, tmp_path: Path) -> None:
    cassette = Cassette(tmp_path / "run.json")
    with cassette:
        result = await desk.agent.run("Tidy up.")
    run = await handle(desk.agent, result.run_id)
    history = await (await desk.agent.node()).journal.read(run_stream(run.id))
    points = fork_points(history)
    asked = len(desk.asked)
    for version in range(1, len(history) + 1):
        if version not in points:
            with pytest.raises(NotAForkPoint) as caught:
                await run.fork(version)
            assert caught.value.before in points
            assert caught.value.after in points
            continue
        done = sum(recorded.type == "run.model_completed" for recorded in history[:version])
        with Cassette(cassette.path, record="none") as frozen:
            forked = await (await run.fork(version)).wait()
        assert len(frozen.unplayed) == done
        assert (forked.output, forked.turns) == (result.output, result.turns)
        assert forked.tokens_in == result.tokens_in - 10 * done
    assert len(desk.asked) == asked
    assert points[0] == 1
    assert points[-1] == len(history)


async def test_a_budget_is_charged_for_what_a_fork_does_itself(tmp_path: Path) -> None:
    desk = Desk("memory", budget=Limits(max_tokens=10_000))
    async with System(journal=f"sqlite:{tmp_path}/runs.db") as system:
        agent = system.host(desk.agent, name="desk")
        result = await agent.run("Tidy up.")
        fork = await (await agent.fork(result.run_id, "3", model=desk.model("second"))).wait()
        await system.projections.catch_up()
        assert (await system.projections.budget.scope("desk")).used_tokens == 4 * 15
        usage = {row.model: row.calls for row in await system.projections.budget.usage(("model",))}
        assert usage == {"first": 3, "second": 1}
        row = await system.projections.runs.get(fork.run_id)
        assert (row.turns, row.tokens, row.cost_usd, row.model) == (3, 15, 0.25, "second")
        entries = await system.projections.audit.list(run_id=fork.run_id)
        assert [entry.action for entry in entries] == [
            "run.started", "run.tool_requested", "run.tool_completed", "run.completed",
        ]  # fmt: skip
        assert entries[0].detail["forked_from"] == result.run_id


async def test_a_fork_of_a_session_s_run_knows_what_was_said_before_and_is_a_conversation_of_its_own(
    desk: Desk,
) -> None:
    session = desk.agent.session("conv", user_id="alice")
    await session.run("First.")
    second = await session.run("Second.")
    await session.run("Third.")
    fork = await desk.agent.fork(second.run_id, "2", model=desk.model("other"))
    forked = await fork.wait()
    assert "First." in forked.output and "Third." not in forked.output
    assert len(await session.history()) == 6
    more = desk.agent.session(fork.id, user_id="alice")
    await more.run("Fourth.")
    said = [message.content for message in await more.history() if message.role == "user"]
    assert said == ["First.", "Second.", "Fourth."]


async def test_forking_twice_under_one_id_forks_once(desk: Desk) -> None:
    result = await desk.agent.run("Tidy up.")
    run = await handle(desk.agent, result.run_id)
    again = [
        await desk.agent.fork(run.id, "2", fork_id="fork-1"),
        await run.fork("2", fork_id="fork-1"),
    ]
    assert [(await fork.wait()).run_id for fork in again] == ["fork-1", "fork-1"]
    assert len(desk.posted) == 2
    with pytest.raises(IdTaken, match="which is no fork of 'fork-1'; leave fork_id out"):
        await desk.agent.fork("fork-1", fork_id=result.run_id)
    with pytest.raises(
        IdTaken, match=r"'fork-1', which was forked of '.*' at version \d+, not at 1; leave fork_id out"
    ):
        await run.fork(1, fork_id="fork-1")
    with pytest.raises(IdTaken, match="with another prompt; leave fork_id out"):
        await run.fork("2", fork_id="fork-1", prompt="Be quick.")
    with pytest.raises(IdTaken, match="with other instructions; leave fork_id out"):
        await run.fork("2", fork_id="fork-1", instructions="You are quick.")
    for at in (None, "2"):
        for _ in range(2):
            fork = await run.fork(at, fork_id=f"fork-{at}", prompt="Be quick.", instructions="You are quick.")
            await fork.wait()
        for prompt, instructions in (("Be slow.", "You are quick."), ("Be quick.", "You are slow."), (None, None)):
            with pytest.raises(IdTaken, match="which was forked of"):
                await run.fork(at, fork_id=f"fork-{at}", prompt=prompt, instructions=instructions)


async def test_a_fork_of_a_fork_shares_the_first_run_s_records(desk: Desk) -> None:
    result = await desk.agent.run("Tidy up.")
    first = await desk.agent.fork(result.run_id, "2", model=desk.model("second"))
    await first.wait()
    second = await (await first.fork("4")).wait()
    assert second.output == "second: Tidy up., tray is empty, drawer is empty, posted from second"
    assert desk.asked == ["first"] * 3 + ["second"] * 3
    assert desk.posted == ["from first", "from second"]


async def test_a_fork_at_the_end_asks_nobody(desk: Desk) -> None:
    result = await desk.agent.run("Tidy up.")
    events = await (await handle(desk.agent, result.run_id)).transcript()
    forked = await (await desk.agent.fork(result.run_id, events[-1])).wait()
    assert forked.output == result.output
    assert forked.total_tokens == 0
    assert len(desk.asked) == 3


async def test_a_run_that_waits_for_an_approval_is_forked_before_the_question() -> None:
    wiped: list[str] = []

    @tool(destructive=True)
    async def wipe() -> str:
        """Wipe it."""
        wiped.append("it")
        return "wiped"

    def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        return "done" if messages[-1].role == "tool" else ModelReply("", (ToolCall("a", "wipe"),))

    agent = Agent(model=FunctionModel(rules), tools=[wipe], approval_handler="wait")
    async with agent:
        result = await agent.run("Wipe.")
        assert result.state == RunState.WAITING
        with pytest.raises(NotAForkPoint, match=r"a call of wipe.* has no end; fork it at version 3"):
            await agent.fork(result.run_id, 4)
        fork = await agent.fork(result.run_id, 3, model=FunctionModel(lambda messages, tools: "careful", "careful"))
        [question] = [event async for event in _until(fork, "approval.requested")]
        await fork.approve(question.payload["call_id"])
        forked = await fork.wait()
        assert forked.output == "careful"
        assert wiped == ["it"]
        assert (await (await handle(agent, result.run_id)).result()).state == RunState.WAITING


async def _until(run: Run, type: str) -> AsyncIterator[Any]:
    async for event in run.events():
        if event.type == type:
            yield event
            return


async def test_a_failed_run_goes_on_with_another_model_where_the_first_one_failed() -> None:
    def fails(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        raise RuntimeError("out of order")

    async with Agent(model=FunctionModel(fails, "broken")) as agent:
        with pytest.raises(RunError) as caught:
            await agent.run("Hello.")
        run_id = caught.value.result.run_id
        assert (await (await agent.fork(run_id, model="echo")).wait()).output == "Echo: Hello."


async def test_what_cannot_be_forked_says_why(desk: Desk) -> None:
    result = await desk.agent.run("Tidy up.")
    events = [event async for event in desk.agent.stream("Tidy up.")]
    agent, run_id = desk.agent, result.run_id
    with pytest.raises(NotFound, match="99"):
        await agent.fork(run_id, 99)
    with pytest.raises(NotFound, match="the steps: 1, 2, 3, 4, 5"):
        await agent.fork(run_id, "nine")
    with pytest.raises(NotFound):
        await agent.fork("no-such-run")
    with pytest.raises(ConfigError, match="name one of its own events"):
        await agent.fork(run_id, events[0])
    with pytest.raises(ConfigError, match="at=True"):
        await agent.fork(run_id, True)
    with pytest.raises(ConfigError, match="no-such-model"):
        await agent.fork(run_id, model="no-such-model")
    with pytest.raises(ConfigError, match="100,001 characters"):
        await agent.fork(run_id, "1", prompt="x" * 100_001)
    with pytest.raises(ConfigError, match="fork_id"):
        await agent.fork(run_id, fork_id=7)  # type: ignore[arg-type]


async def test_a_fork_that_was_left_open_goes_on_with_its_own_model(tmp_path: Path) -> None:
    """What another process finds in the journal: a fork whose owner is dead."""
    async with System(journal=f"sqlite:{tmp_path}/runs.db") as system:
        system.host(Desk("memory").agent, name="desk")
        started = RunStarted(
            agent="desk", prompt="Tidy up.", owner="dead:1:aa", model="echo", forked_from="r0", forked_at=1,
            forked_to="echo",
        )  # fmt: skip
        lost = [started, structs.replace(started, model="lent", forked_to="lent")]
        for run_id, event in zip(("f1", "f2"), lost, strict=True):
            meta = Meta(run_id=run_id, session_id=run_id, epoch=1)
            await system.journal.append(Append(run_stream(run_id), EMPTY, [event], meta, system.node.clock.now()))
        result = await system.node.host.result(system.node.host.run("f1"), ContinueRun())
        assert result.output == "Echo: Tidy up."
        with pytest.raises(ConfigError, match="was forked to model 'lent', an object"):
            await system.node.host.result(system.node.host.run("f2"), ContinueRun())


async def test_the_end_of_a_fork_says_what_it_used_itself(desk: Desk) -> None:
    result = await desk.agent.run("Tidy up.")
    fork = await desk.agent.fork(result.run_id, "4")
    await fork.wait()
    stored = await (await desk.agent.node()).journal.read(run_stream(fork.id))
    ended = stored[-1].event
    assert isinstance(ended, RunCompleted)
    assert ended.usage == Usage(10, 5, cost_usd=0.25)


@pytest.fixture
def learned() -> Iterator[Callable[[], None]]:
    """Makes `drawer-of-acme` a secret, as one that a vault hands out late."""
    yield lambda: redaction.add_secret("drawer-of-acme")
    redaction.forget_secret("drawer-of-acme")


async def test_a_secret_that_is_learned_later_keeps_no_run_from_being_forked_anywhere(
    tmp_path: Path, learned: Callable[[], None]
) -> None:
    told: list[str] = []

    @tool
    def look(place: str) -> str:
        """Look somewhere."""
        told.append(place)
        return f"{place} is empty"

    def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        if messages[-1].role == "tool":
            return f"done: {messages[-1].content}"
        return ModelReply("", (ToolCall("a", "look", {"place": "drawer-of-acme"}),))

    runtime = f"sqlite:{tmp_path}/runs.db"
    async with Agent("You look.", model=FunctionModel(rules), name="desk", tools=[look], runtime=runtime) as agent:
        result = await agent.run("What is in drawer-of-acme?")
        learned()
        journal = (await agent.node()).journal
        history = await journal.read(run_stream(result.run_id))
        for version in fork_points(history):
            fork = await (await agent.fork(result.run_id, version)).wait()
            assert fork.state == RunState.COMPLETED
            new = [event for event in await journal.read(run_stream(fork.run_id)) if event.type != "run.copied"]
            assert "drawer-of-acme" not in "".join(event.data.decode() for event in new[1:])
        # Called anew where the call was not shared, with what is recorded of it.
        assert told == ["drawer-of-acme", "[redacted]", "[redacted]"]


async def test_a_secret_that_is_learned_later_keeps_no_open_run_from_going_on(
    tmp_path: Path, learned: Callable[[], None]
) -> None:
    @tool
    def look(place: str) -> str:
        """Look somewhere."""
        return f"{place} is empty"

    @tool(destructive=True)
    def wipe(place: str) -> str:
        """Wipe it."""
        return f"{place} is clean"

    def rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        if messages[-1].role == "tool":
            return "done"
        calls = (ToolCall("a", "look", {"place": "drawer-of-acme"}), ToolCall("b", "wipe", {"place": "drawer-of-acme"}))
        return ModelReply("", calls)

    runtime = f"sqlite:{tmp_path}/runs.db"
    agent = Agent(model=FunctionModel(rules), name="desk", tools=[look, wipe], runtime=runtime, approval_handler="wait")
    async with agent:
        result = await agent.run("Wipe drawer-of-acme.")
        assert result.state == RunState.WAITING
        await agent.aclose()
        learned()
        run = await handle(agent, result.run_id)
        [question] = [event async for event in _until(run, "approval.requested")]
        await run.approve(question.payload["call_id"])
        assert (await run.wait()).output == "done"


class Held:
    """A model that looks once, then answers as asked if it was told the schema, either way."""

    def __init__(self, name: str, native_output: bool) -> None:
        self.name = name
        self.native_output = native_output
        self.told: list[str] = []

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        in_words = sum(message.content.count("STRUCTURED OUTPUT") for message in messages if message.role == "system")
        self.told.append("option" if "output_schema" in options else f"in words {in_words}")
        if messages[-1].role == "tool":
            yield ModelChunk("text", '{"population": 717000}')
        else:
            yield ModelChunk("tool_call", tool_call=ToolCall("a", "look"))
        yield ModelChunk("finish")


@pytest.mark.parametrize("instructions", ["", "You count."])
async def test_a_model_that_goes_on_without_taking_schemas_reads_it(tmp_path: Path, instructions: str) -> None:
    class City(BaseModel):
        population: int

    @tool
    def look() -> str:
        """Look."""
        return "many"

    native, plain = Held("native", True), Held("plain", False)
    runtime = f"sqlite:{tmp_path}/runs.db"
    async with Agent(
        instructions, model=native, name="desk", tools=[look], runtime=runtime, output_schema=City
    ) as agent:
        result = await agent.run("Oslo?")
        with Cassette(tmp_path / "fork.json") as recorded:
            fork = await (await agent.fork(result.run_id, "1", model=plain)).wait()
        top = await (await agent.fork(result.run_id, model=plain)).wait()
        assert fork.value == top.value == City(population=717000)
        assert native.told == ["option", "option"]
        assert plain.told == ["in words 1"] * 3
        with Cassette(recorded.path, record="none"):
            again = await (await agent.fork(result.run_id, "1", model=plain)).wait()
        assert again.value == fork.value
        assert len(plain.told) == 3
        # How it was told is no difference to a replay.
        hosted = await agent.node()
        for run_id, model in itertools.product((result.run_id, fork.run_id), (native, plain)):
            spec = structs.replace(hosted.host.agent("desk"), model=model)
            async with System(projections=False) as system:
                assert (await replay(hosted.journal, run_id, system.node, spec)).differences == []
