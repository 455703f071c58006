"""Runs with an `output_schema=`: what the model is told, what comes of answers that do not fit, what callers get."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from treadle import (
    Agent,
    ConfigError,
    FunctionModel,
    Limits,
    Message,
    ModelChunk,
    ModelReply,
    OutputValidationError,
    Run,
    RunError,
    RunState,
    Steps,
    System,
    ToolCall,
    ToolSpec,
    Tuning,
    Usage,
    tool,
)
from treadle.actors.output import DoesNotFit
from treadle.events.message import OutputFormat
from treadle.gateways.outputs.pydantic_types import PydanticOutput


class Report(BaseModel):
    city: str
    temp_c: float


class Missing(BaseModel):
    reason: str


TOKYO = Report(city="Tokyo", temp_c=22)
FITS = TOKYO.model_dump_json()
MISFIT = '{"city": "Tokyo"}'


@pytest.fixture(autouse=True)
async def closing() -> AsyncIterator[None]:
    yield
    await Agent(model="echo").aclose()


class Answers(FunctionModel):
    """Answers one after the other, the last one for ever; remembers what it was asked, and with which options."""

    def __init__(self, *answers: str | ModelReply, native: bool = False) -> None:
        super().__init__(self._next)
        self.native_output = native
        self.asked: list[list[Message]] = []
        self.schemas: list[OutputFormat | None] = []
        self._answers = list(answers)

    def _next(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        self.asked.append(list(messages))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        self.schemas.append(options.get("output_schema"))
        return await super().complete(messages, tools=tools, **options)

    def system(self, call: int = 0) -> str:
        first = self.asked[call][0]
        return first.content if first.role == "system" else ""


def used(text: str) -> ModelReply:
    return ModelReply(text, usage=Usage(10, 5, cost_usd=0.01))


# What callers get


async def test_an_answer_is_parsed_and_the_call_wins_over_the_agent() -> None:
    agent = Agent(model=Answers(FITS), output_schema=Report)
    result = await agent.run("Weather?")
    assert result.parsed == result.value == TOKYO
    assert result.output == FITS
    assert (await agent.run("Weather?", output_schema=dict[str, Any])).parsed == TOKYO.model_dump()


async def test_without_a_schema_the_value_is_the_text() -> None:
    result = await Agent(model="echo").run("Hello")
    assert (result.value, result.parsed, result.output_format) == (result.output, None, None)


async def test_none_is_a_value_where_the_type_has_it() -> None:
    result = await Agent(model=Answers('{"value": null}')).run("Weather?", output_schema=Report | None)
    assert result.value is None
    assert result.output == '{"value": null}'


@pytest.mark.parametrize("output_schema", ["Report", 5, {"type": 3}])
async def test_what_is_no_type_is_refused_before_anything_is_recorded(output_schema: Any) -> None:
    with pytest.raises(ConfigError, match="output_schema"):
        Agent(model="echo", output_schema=output_schema)
    agent = Agent(model="echo")
    position = await (await agent.node()).journal.last_position()
    with pytest.raises(ConfigError, match="output_schema"):
        await agent.run("Weather?", output_schema=output_schema)
    assert await (await agent.node()).journal.last_position() == position


@pytest.mark.parametrize("retries", [-1, 1.5, True, "1"])
def test_a_wrong_number_of_corrections_is_refused(retries: Any) -> None:
    with pytest.raises(ConfigError, match="output_validation_retries"):
        Agent(model="echo", output_validation_retries=retries)


async def test_whoever_asks_for_a_run_gets_its_answer_parsed() -> None:
    agent = Agent(model=Answers(FITS), output_schema=Report)
    session = agent.session("conv-1")
    run = await session.start("Weather?", output_schema=Report | Missing)
    assert (await run.wait()).parsed == (await run.result()).parsed == TOKYO
    assert (await session.run("And now?")).parsed == TOKYO
    signalled = await agent.signal("It rains", session_id="conv-1", wait=True)
    assert signalled is not None
    assert signalled.parsed == TOKYO
    assert (await Run(await agent.node(), signalled.run_id).wait()).parsed == TOKYO


async def test_whoever_does_not_know_the_type_gets_json_values() -> None:
    agent = Agent(model=Answers(f'{{"value": {FITS}}}'))
    result = await agent.run("Weather?", output_schema=Report | Missing)
    assert result.parsed == TOKYO
    assert (await Run(await agent.node(), result.run_id).result()).parsed == TOKYO.model_dump()


async def test_a_hosted_agent_answers_with_its_type_and_the_bus_with_json() -> None:
    async with System() as system:
        agent = Agent(model=Answers(FITS), output_schema=Report)
        system.host(agent, name="desk")
        assert (await agent.run("Weather?")).parsed == TOKYO
        assert system.services is not None
        answer = await system.services.run(b'{"agent": "desk", "prompt": "Weather?", "wait": true}')
        assert answer.parsed == TOKYO.model_dump()


# What the model is told


async def test_a_model_without_a_native_mode_reads_the_schema_in_its_system_message() -> None:
    model = Answers(FITS)
    await Agent("You are precise.", model=model).run("Weather?", output_schema=Report)
    assert model.system().startswith("You are precise.\n\nSTRUCTURED OUTPUT REQUIRED\n")
    assert '"temp_c"' in model.system()
    assert model.schemas == [None]


async def test_a_model_with_a_native_mode_is_handed_the_schema_and_reads_nothing_of_it() -> None:
    model = Answers(FITS, native=True)
    await Agent("You are precise.", model=model).run("Weather?", output_schema=Report)
    assert model.system() == "You are precise."
    (schema,) = model.schemas
    assert schema is not None
    assert (schema.name, schema.schema["required"]) == ("Report", ["city", "temp_c"])


async def test_only_calls_that_may_give_the_answer_are_handed_the_schema() -> None:
    async def plan_first(steps: Steps) -> str:
        messages = steps.messages()
        await steps.model(messages, tools=False)
        return (await steps.model(messages, answer=True)).text

    model = Answers(FITS, native=True)
    assert (await Agent(model=model, architecture=plan_first, output_schema=Report).run("Weather?")).parsed == TOKYO
    assert [schema is not None for schema in model.schemas] == [False, True]


# Corrections


@pytest.mark.parametrize("native", [False, True])
async def test_an_answer_that_does_not_fit_is_corrected_by_one_more_turn(native: bool) -> None:
    model = Answers(used(MISFIT), used(FITS), native=native)
    result = await Agent("You are precise.", model=model, output_schema=Report).run("Weather?")
    assert result.parsed == TOKYO
    assert (result.turns, result.tokens_in, result.cost_usd) == (2, 20, 0.02)
    *before, answer, told = model.asked[1]
    assert before == model.asked[0]
    assert (answer.role, answer.content) == ("assistant", MISFIT)
    assert told.role == "user"
    assert "temp_c: Field required" in told.content
    assert ('"required":["city","temp_c"]' in told.content) == native


async def test_a_correction_sees_what_the_tools_said() -> None:
    @tool(read_only=True)
    async def look() -> str:
        return "22 degrees in Tokyo"

    model = Answers(ModelReply(tool_calls=(ToolCall("1", "look"),)), "It is warm.", FITS)
    result = await Agent(model=model, tools=[look], output_schema=Report).run("Weather?")
    assert result.parsed == TOKYO
    assert [message.role for message in model.asked[2]] == ["system", "user", "assistant", "tool", "assistant", "user"]


async def test_corrections_are_charged_to_the_budget_and_counted_as_turns() -> None:
    model = Answers(used(MISFIT))
    agent = Agent(
        model=model,
        output_schema=Report,
        output_validation_retries=9,
        budget=Limits(max_tokens=2000),
        options={"max_tokens": 1000},
        max_turns=3,
    )
    result = await agent.run("Weather?")
    assert (result.state, result.interruption_reason) == (RunState.INTERRUPTED, "max_turns")
    assert (result.turns, result.tokens_in + result.tokens_out) == (3, 45)
    assert result.output == MISFIT
    assert result.parsed is None
    assert result.value == MISFIT


@pytest.mark.parametrize(("retries", "asked"), [(0, 1), (1, 2), (3, 4)])
async def test_an_answer_that_never_fits_fails_the_run_with_all_that_is_known(retries: int, asked: int) -> None:
    model = Answers("no", MISFIT)
    agent = Agent(model=model, output_schema=Report, output_validation_retries=retries)
    with pytest.raises(OutputValidationError, match="does not fit 'Report'") as failed:
        await agent.run("Weather?")
    assert len(model.asked) == asked
    assert failed.value.raw == ("no" if not retries else MISFIT)
    assert failed.value.schema["required"] == ["city", "temp_c"]
    assert failed.value.cause.startswith("it is no JSON" if not retries else "temp_c: Field required")
    assert isinstance(failed.value, RunError)
    assert failed.value.result.state == RunState.FAILED
    assert failed.value.result.error_kind == "model:output_validation"
    assert failed.value.result.turns == asked


async def test_the_call_wins_over_the_agent_and_the_agent_over_its_tuning() -> None:
    tuning = Tuning(output_validation_retries=2)
    for given, in_call, asked in ((None, None, 3), (1, None, 2), (1, 0, 1)):
        model = Answers("no")
        agent = Agent(model=model, output_schema=Report, output_validation_retries=given, tuning=tuning)
        with pytest.raises(OutputValidationError):
            await agent.run("Weather?", output_validation_retries=in_call)
        assert len(model.asked) == asked


async def test_why_an_answer_was_rejected_is_recorded_before_its_correction() -> None:
    agent = Agent(model=Answers(MISFIT, FITS), output_schema=Report)
    run = await agent.session("conv-1").start("Weather?")
    await run.wait()
    told = [(event.type, event.payload.get("name")) for event in await run.transcript()]
    assert told[3:6] == [("value.recorded", "answer rejected"), ("model.requested", None), ("model.completed", None)]


async def test_a_validator_that_raises_something_else_fails_the_run_by_its_name() -> None:
    class Odd(BaseModel):
        def model_post_init(self, context: object) -> None:
            raise ZeroDivisionError("odd")

    with pytest.raises(RunError, match="ZeroDivisionError: odd") as failed:
        await Agent(model=Answers("{}")).run("Weather?", output_schema=Odd)
    assert failed.value.result.error_kind == "ZeroDivisionError"


# Ends of other kinds


async def test_the_result_of_a_tool_that_ends_the_turn_has_to_fit_too() -> None:
    @tool(ends_turn=True)
    async def report(temp_c: float) -> dict[str, Any]:
        return {"city": "Tokyo", "temp_c": temp_c} if temp_c else {"city": "Tokyo"}

    def model(temp_c: float) -> Answers:
        return Answers(ModelReply(tool_calls=(ToolCall("1", "report", {"temp_c": temp_c}),)), FITS)

    fits, misfit = model(22), model(0)
    assert (await Agent(model=fits, tools=[report], output_schema=Report).run("Weather?")).parsed == TOKYO
    assert len(fits.asked) == 1
    assert (await Agent(model=misfit, tools=[report], output_schema=Report).run("Weather?")).parsed == TOKYO
    assert [message.role for message in misfit.asked[1]] == ["system", "user", "assistant", "user"]


async def test_half_an_answer_is_not_taken_for_whole_and_its_tools_are_not_called() -> None:
    called: list[str] = []

    @tool
    async def note(text: str) -> None:
        called.append(text)

    cut = ModelReply(FITS[:9], (ToolCall("1", "note", {"text": "half"}),), finish_reason="length")
    for output_schema in (None, Report):
        result = await Agent(model=Answers(cut), tools=[note], output_schema=output_schema).run("Weather?")
        assert (result.state, result.interruption_reason) == (RunState.INTERRUPTED, "max_tokens")
        assert (result.output, result.parsed, result.turns) == (FITS[:9], None, 1)
    assert called == []


async def test_a_correction_that_is_cut_off_interrupts_the_run() -> None:
    model = Answers(MISFIT, ModelReply(FITS, finish_reason="length"))
    result = await Agent(model=model, output_schema=Report).run("Weather?")
    assert (result.interruption_reason, result.output, result.parsed) == ("max_tokens", FITS, None)


async def test_a_strategy_may_go_on_with_half_an_answer() -> None:
    async def patient(steps: Steps) -> str:
        first = await steps.model(steps.messages(), whole=False)
        return first.text + (await steps.model([*steps.messages(), first.message], answer=True)).text

    model = Answers(ModelReply(FITS[:9], finish_reason="length"), FITS[9:])
    assert (await Agent(model=model, architecture=patient, output_schema=Report).run("Weather?")).parsed == TOKYO


# Streams


async def test_a_stream_tells_the_object_while_it_grows_and_whole_at_its_end() -> None:
    class Slow(Answers):
        async def stream(
            self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
        ) -> AsyncIterator[ModelChunk]:
            reply = await self.complete(messages, tools=tools, **options)
            for at in range(0, len(reply.text), 8):
                yield ModelChunk("text", reply.text[at : at + 8])
            yield ModelChunk("finish", finish_reason="stop")

    agent = Agent(model=Slow(MISFIT, FITS))
    events = [event async for event in agent.stream("Weather?", output_schema=Report)]
    partials = [event.payload["partial"] for event in events if event.kind == "output_partial"]
    assert partials[:2] == [{}, {"city": "Tokyo"}]
    assert partials[-1] == TOKYO.model_dump()
    assert all(before != after for before, after in pairwise(partials))
    assert {event.version for event in events if event.type == "output.partial"} == {0}
    assert events[-1].payload["result"]["parsed"] == TOKYO
    assert [event.type for event in events].count("model.requested") == 2


async def test_a_stream_without_a_schema_tells_no_partial_objects() -> None:
    events = [event async for event in Agent(model=Answers(FITS)).stream("Weather?")]
    assert "output.partial" not in {event.type for event in events}
    assert "parsed" not in events[-1].payload["result"]


# Going on


def agent_at(journal: Path, model: Answers, **more: Any) -> Agent:
    return Agent(model=model, name="desk", runtime=f"sqlite:{journal}", **more)


async def left_open(journal: Path, output_schema: Any) -> None:
    """A run whose caller went away between the answer that does not fit and its correction, or before the answer."""
    asked = asyncio.Event()

    class Hanging(Answers):
        async def complete(
            self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
        ) -> ModelReply:
            if output_schema is None or len(self.asked) == 1:
                asked.set()
                await asyncio.Event().wait()
            return await super().complete(messages, tools=tools, **options)

    agent = agent_at(journal, Hanging(used(MISFIT)))
    running = asyncio.create_task(agent.run("Weather?", session_id="conv-1", output_schema=output_schema))
    await asked.wait()
    running.cancel()
    await asyncio.wait((running,))
    await agent.aclose()


@pytest.mark.parametrize(
    ("default", "in_call", "parsed"),
    [(Report, None, TOKYO), (None, Report, TOKYO), (Missing, Report, TOKYO), (None, None, TOKYO.model_dump())],
    ids=["the agent knows", "the caller knows", "the caller knows better", "nobody knows"],
)
async def test_a_resumed_run_is_held_to_what_it_was_asked_for(
    default: Any, in_call: Any, parsed: Any, tmp_path: Path
) -> None:
    await left_open(tmp_path / "runs.db", Report)
    model = Answers(used(FITS))
    agent = agent_at(tmp_path / "runs.db", model, output_schema=default)
    result = await agent.resume("conv-1", output_schema=in_call)
    assert result.parsed == parsed
    assert len(model.asked) == 1
    assert "temp_c: Field required" in model.asked[0][-1].content
    assert (result.turns, result.tokens_in) == (2, 20)
    await agent.aclose()


async def test_an_unknown_type_is_validated_by_its_recorded_schema(tmp_path: Path) -> None:
    await left_open(tmp_path / "runs.db", Report)
    agent = agent_at(tmp_path / "runs.db", Answers('{"city": 5, "temp_c": 22}'))
    with pytest.raises(OutputValidationError, match="city: 5 is not of type 'string'"):
        await agent.resume("conv-1")
    await agent.aclose()


@pytest.mark.parametrize("asked", [None, Missing])
async def test_a_run_that_was_asked_for_something_else_is_left_as_it_is(asked: Any, tmp_path: Path) -> None:
    await left_open(tmp_path / "runs.db", asked)
    agent = agent_at(tmp_path / "runs.db", Answers(FITS))
    journal = (await agent.node()).journal
    before = await journal.last_position()
    for going_on in (
        agent.resume("conv-1", output_schema=Report),
        agent.run("Weather?", session_id="conv-1", output_schema=Report),
    ):
        with pytest.raises(ConfigError, match="output_schema=Report does not change that"):
            await going_on
    assert await journal.last_position() == before
    await agent.aclose()


async def test_an_unknown_type_without_the_package_leaves_the_run_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await left_open(tmp_path / "runs.db", Report)
    agent = agent_at(tmp_path / "runs.db", Answers(FITS))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "jsonschema", None)
        with pytest.raises(ConfigError, match=r'pip install "treadle\[jsonschema\]"; or pass the type itself'):
            await agent.resume("conv-1")
    assert (await agent.resume("conv-1", output_schema=Report)).parsed == TOKYO
    await agent.aclose()


async def test_a_type_that_has_become_stricter_does_not_pass_for_the_recorded_answer() -> None:
    agent = Agent(model=Answers(FITS), output_schema=Report)
    run = await agent.session("conv-1").start("Weather?")
    assert (await run.wait()).parsed == TOKYO

    def refuse(self: object, text: str) -> Any:
        raise DoesNotFit("temp_c: nothing is warm enough")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PydanticOutput, "parse", refuse)
        with pytest.raises(OutputValidationError, match="does not fit 'Report' any more: temp_c: nothing"):
            await run.result()
