"""What other systems say that is not so, and offer that does nothing (A1 to A4, A6, A9, A12, L17, L20, L21)."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from known_failures.agents import Opened, Waiting, asks, once
from scripts import Script
from waiting import until

from treadle import (
    Agent,
    ConfigError,
    FunctionModel,
    Message,
    ModelReply,
    QualityGate,
    Run,
    RunError,
    RunState,
    Steps,
    ToolSpec,
    tool,
)


@pytest.mark.parametrize("model", [None, "no-such-model"])
def test_without_a_model_that_can_answer_there_is_an_error_that_says_what_would_work(model: str | None) -> None:
    """A1"""
    with pytest.raises(ConfigError, match="what works: model='echo'"):
        Agent("You are a desk.", model=model)


async def test_a_provider_that_fails_ends_the_run_as_failed_and_with_its_reason(opened: Opened) -> None:
    """A2"""

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        raise ConnectionError("401 the key is not valid")

    session = opened(FunctionModel(answer)).session("conv-1")
    with pytest.raises(RunError, match="401 the key is not valid"):
        await session.run("Hello.")
    result = await session.run("Hello.", on_error="return")

    assert (result.state, result.output) == (RunState.FAILED, "")
    assert "401 the key is not valid" in result.error
    assert await session.history() == []


async def test_a_run_that_used_up_its_turns_is_interrupted_and_says_so(opened: Opened) -> None:
    """A2"""

    @tool
    def look() -> str:
        """Look again."""
        return "nothing yet"

    agent = opened(FunctionModel(lambda messages, tools: asks("look")), tools=[look], max_turns=3)
    result = await agent.run("Look until you find it.")

    assert (result.state, result.interrupted, result.interruption_reason) == (RunState.INTERRUPTED, True, "max_turns")
    assert (result.turns, result.output) == (3, "")


async def test_a_quality_gate_decides_tells_its_criteria_and_feeds_its_critique_back(opened: Opened) -> None:
    """A4"""
    script = Script("It rains.", "It rains: bring a coat.")
    judge = FunctionModel(
        lambda messages, tools: "PASS" if "coat" in messages[-1].content else "FAIL\n- say what to do"
    )
    gate = QualityGate.criteria(["It gives advice."], evaluator=judge)

    result = await opened(script.model, quality=gate).run("How is the weather?")

    assert (result.state, result.output) == (RunState.COMPLETED, "It rains: bring a coat.")
    assert "It gives advice." in script.asked[0][0].content
    assert "say what to do" in script.told[-1]
    bad = opened(Script("It rains.").model, 2, quality=gate)
    assert (await bad.run("And now?")).state == RunState.INTERRUPTED


async def test_an_answer_that_begins_with_error_is_an_answer(opened: Opened) -> None:
    """A3"""
    agent = opened(FunctionModel(lambda messages, tools: "Error: 404 means that the page is not there."))

    result = await agent.run("What does 404 mean?")

    assert (result.state, result.error) == (RunState.COMPLETED, "")
    assert result.output.startswith("Error: 404")


async def test_a_signal_during_a_model_call_neither_drops_its_tool_nor_unpairs_its_call(opened: Opened) -> None:
    """A6"""
    charged: list[int] = []

    @tool
    def charge() -> str:
        """Charge the card."""
        charged.append(1)
        return "charged"

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        if messages[-1].role == "tool":
            return "Charged."
        return asks("charge") if messages[-1].content == "Charge it." else "Noted."

    model = Waiting(answer)
    session = opened(FunctionModel(model), tools=[charge]).session("conv-1")
    run = await session.start("Charge it.")
    await model.asked.wait()
    await session.signal("The card expires soon.")
    model.go_on.set()
    result = await run.wait()
    await until(lambda: len(model.shown) == 3)

    assert (result.output, charged) == ("Charged.", [1])
    second, third = model.shown[1], model.shown[2]
    (call,) = second[-2].tool_calls
    assert (second[-1].role, second[-1].tool_call_id) == ("tool", call.id)
    # The signal has its own run after this one, with all of it in the conversation.
    assert [message.content for message in third[:2]] == ["Charge it.", "Charged."]
    assert "The card expires soon." in third[-1].content


async def test_a_session_shows_each_earlier_turn_once_and_runs_one_prompt_at_a_time(opened: Opened) -> None:
    """A9"""
    shown: list[Sequence[Message]] = []
    running = 0

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        nonlocal running
        running += 1
        assert running == 1
        shown.append(list(messages))
        await asyncio.sleep(0)
        running -= 1
        return f"Answer {len(shown)}"

    agent = opened(FunctionModel(answer))
    prompts = [f"Question {number}" for number in range(1, 6)]
    await asyncio.gather(*(agent.run(prompt, session_id="conv-1") for prompt in prompts))

    for number, messages in enumerate(shown, 1):
        turns = [turn for before in range(1, number) for turn in (f"Question {before}", f"Answer {before}")]
        assert [message.content for message in messages] == [*turns, f"Question {number}"]


async def test_the_system_prompt_stands_before_a_conversation_once(opened: Opened) -> None:
    """A9"""
    model = Waiting(lambda messages, tools: "Yes.")
    model.go_on.set()
    agent = opened(FunctionModel(model), instructions="You are a desk.")
    for prompt in ("One?", "Two?", "Three?"):
        await agent.run(prompt, session_id="conv-1")

    assert [message.role for message in model.shown[-1]].count("system") == 1
    assert model.shown[-1][0].content == "You are a desk."


async def test_events_arrive_while_the_run_goes_on(opened: Opened) -> None:
    """A12"""

    @tool
    def look() -> str:
        """Look."""
        return "seen"

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        return "At last." if messages[-1].role == "tool" else asks("look")

    model = Waiting(answer)
    run = await opened(FunctionModel(model), tools=[look]).session("conv-1").start("Look.")
    types: list[str] = []
    async with asyncio.timeout(20):
        async for event in run.events():
            types.append(event.type)
            if event.type == "run.started":
                # Nothing more can come until the model is let: what was yielded was yielded live.
                assert not model.go_on.is_set()
                model.go_on.set()

    assert types[0] == "run.started"
    assert types[-1] == "run.completed"
    assert "tool.completed" in types


async def test_a_synchronous_tool_that_timed_out_has_an_unknown_outcome_and_the_model_is_told(opened: Opened) -> None:
    """L17"""
    go_on, done = threading.Event(), threading.Event()

    @tool(timeout_s=0.05)
    def charge() -> str:
        """Charge the card, slowly."""
        go_on.wait(10)
        done.set()
        return "charged"

    agent = opened(once("charge"), tools=[charge])
    run = await agent.session("conv-1").start("Charge it.")
    result = await run.wait()

    assert result.output.startswith("UNKNOWN OUTCOME: no result within 0.05 s")
    types = [event.type for event in await run.transcript()]
    assert "tool.outcome_unknown" in types
    assert not {"tool.failed", "tool.completed"} & set(types)
    # It was right to say so: the tool does it after all.
    assert not done.is_set()
    go_on.set()
    assert done.wait(10)


async def test_a_reader_goes_on_from_any_version_and_a_second_one_sees_the_same(opened: Opened) -> None:
    """L21"""

    @tool
    def look() -> str:
        """Look."""
        return "seen"

    run = await opened(once("look"), tools=[look]).session("conv-1").start("Look.")
    first, second = await asyncio.gather(_all(run), _all(run))

    assert first == second
    assert [version for version, _ in first] == list(range(1, len(first) + 1))
    for after in range(len(first)):
        assert await _all(run, after) == first[after:]


async def _all(run: Run, after: int = 0) -> list[tuple[int, str]]:
    async with asyncio.timeout(20):
        return [(event.version, event.type) async for event in run.events(after)]


async def test_redact_is_wired_to_what_is_recorded_what_is_logged_and_what_is_answered(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """L20"""
    key = "sk-proj-" + "aB3dE6gH9j" * 4

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        return f"I was told {messages[-1].content}, and my own is {key}."

    async def breaks(steps: Steps) -> str:
        raise LookupError(f"{steps.prompt} {key}")

    session = opened(FunctionModel(answer)).session("conv-1")
    result = await session.run(f"Remember {key}.")
    assert result.output == "I was told Remember [redacted]., and my own is [redacted]."
    with pytest.raises(RunError, match=r"LookupError: Say \[redacted\] \[redacted\]"):
        await opened(FunctionModel(answer), architecture=breaks).run(f"Say {key}")
    node = await session.agent.node()
    stored = [event.stored for event in await node.journal.read_all(0, 100)]
    assert len(stored) > 6
    assert not any(key.encode() in each for each in stored)
    assert "LookupError: Say [redacted] [redacted]" in caplog.text
    assert key not in caplog.text
