"""What a program passes in and cannot be recorded is refused where it is passed, and leaves nothing behind."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, cast

import pytest
from hosting import calling
from pydantic import BaseModel

from treadle import (
    Agent,
    Blackboard,
    ConfigError,
    FunctionModel,
    Memory,
    ModelReply,
    RunContext,
    RunError,
    RuntimeSignal,
    System,
    ToolCall,
    delegate,
    tool,
)
from treadle.events.envelope import Recorded
from treadle.gateways.run_handle import Run

NAN = float("nan")


@pytest.fixture
async def system() -> AsyncIterator[System]:
    async with System() as system:
        yield system


@pytest.fixture
async def desk(system: System) -> Agent:
    return system.host(Agent(model="echo"), name="desk")


async def recorded(system: System) -> list[Recorded]:
    return list(await system.journal.read_all())


def wrong(value: object) -> Any:
    """A value of a type that the signature does not allow, as a program without types would pass it."""
    return value


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"load": NAN}, r"metadata .*\['load'\] is nan"),
        ({"hosts": [{"limit": float("inf")}]}, r"metadata .*\['hosts'\]\[0\]\['limit'\] is inf"),
        ({"lock": object()}, r"metadata .*\['lock'\]: object is no JSON"),
        ({"text": "\ud800"}, r"metadata .*\['text'\]"),
    ],
)
async def test_metadata_that_cannot_be_recorded_is_refused_by_its_key(
    system: System, desk: Agent, metadata: Mapping[str, Any], named: str
) -> None:
    context = RunContext(metadata=metadata)
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: desk.run("Go", metadata=metadata),
        lambda: desk.run("Go", context, session_id="s"),
        lambda: anext(aiter(desk.stream("Go", metadata=metadata))),
        lambda: desk.session("s").start("Go", context),
    ]
    for ask in asked:
        with pytest.raises(ConfigError, match=named):
            await ask()
    assert await recorded(system) == []
    assert (await desk.run("Go", session_id="s", metadata={"load": None})).metadata == {"load": None}


async def test_what_is_shown_to_the_model_is_refused_by_its_name(system: System, desk: Agent) -> None:
    for name, context in {
        "inputs": RunContext(inputs={"load": NAN}),
        "knowledge": RunContext(knowledge=[NAN]),
        "extensions": RunContext(extensions={"lock": threading.Lock()}),
    }.items():
        with pytest.raises(ConfigError, match=name):
            await desk.run("Go", context)
    assert await recorded(system) == []


async def test_metadata_that_is_no_mapping_and_ids_that_are_no_text_are_refused(system: System, desk: Agent) -> None:
    with pytest.raises(ConfigError, match="metadata must be a mapping, not set"):
        await desk.run("Go", metadata=wrong({"a"}))
    for name in ("user_id", "session_id"):
        with pytest.raises(ConfigError, match=f"{name} must be a str, not int"):
            await desk.run("Go", **wrong({name: 7}))
    with pytest.raises(ConfigError, match="prompt must be a str, not NoneType"):
        await desk.run(wrong(None))
    with pytest.raises(ConfigError, match="session_id must be a str"):
        desk.session(wrong(7))
    with pytest.raises(ConfigError, match="user_id must be a str"):
        await desk.signal("Hello?", session_id="s", user_id=wrong(7))
    assert await recorded(system) == []


@pytest.mark.parametrize("prompt", ["", " \n\t"])
async def test_an_empty_prompt_is_refused_wherever_it_is_given(system: System, desk: Agent, prompt: str) -> None:
    session = desk.session("s")
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: desk.run(prompt),
        lambda: desk.run(prompt, session_id="s"),
        lambda: desk.resume("s", prompt),
        lambda: anext(aiter(desk.stream(prompt))),
        lambda: session.run(prompt),
        lambda: session.start(prompt),
        lambda: anext(aiter(session.stream(prompt))),
    ]
    for ask in asked:
        with pytest.raises(ConfigError, match="the prompt is empty"):
            await ask()
    for signal in (prompt, RuntimeSignal(summary=prompt, payload={})):
        with pytest.raises(ConfigError, match="neither a summary nor a payload"):
            await desk.signal(signal, session_id="s")
        with pytest.raises(ConfigError, match="neither a summary nor a payload"):
            await system.signal("desk", signal, session_id="s")
    assert await recorded(system) == []


@pytest.mark.usefixtures("desk")
async def test_a_task_without_a_prompt_is_not_delegated(system: System) -> None:
    lead = system.host(Agent(model=calling("delegate_to_desk", prompt=" "), tools=[delegate("desk")]), name="lead")
    assert "the prompt is empty" in (await lead.run("Go")).output
    assert not [event for event in await recorded(system) if event.category == "worker"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"payload": {"load": NAN}}, r"payload .*\['load'\] is nan"),
        ({"payload": object()}, "payload of type object"),
        ({"source": 7}, r"signal: .*source"),
        ({"urgency": "soon"}, r"signal: .*urgency"),
        ({"observed_at": "yesterday"}, "observed_at 'yesterday' is no ISO 8601 time with a zone"),
    ],
)
async def test_a_signal_that_would_be_parked_is_refused_at_the_call(
    system: System, desk: Agent, fields: dict[str, Any], named: str
) -> None:
    signal = RuntimeSignal("Disk full", **fields)
    with pytest.raises(ConfigError, match=named):
        await desk.signal(signal, session_id="s")
    with pytest.raises(ConfigError, match=named):
        await system.signal("desk", signal, session_id="s")
    assert await recorded(system) == []


async def test_the_payload_of_a_signal_is_recorded_as_json_types(system: System, desk: Agent) -> None:
    class Disk(BaseModel):
        device: str

    result = await desk.signal(RuntimeSignal("Full", payload=Disk(device="sda1")), session_id="s", wait=True)
    assert result is not None
    assert '"device": "sda1"' in result.output
    assert [event.event for event in await recorded(system)]


async def test_notes_entries_blocks_and_facts_of_a_wrong_type_are_refused_and_their_streams_stay_readable(
    system: System, desk: Agent
) -> None:
    board, memory, run = Blackboard("ops", system), Memory(system), Run(system.node, "r-1")
    refused: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        (r"approve: .*note", lambda: run.approve("r-1_1_0", note=wrong({"a", "b"}))),
        (r"approve: note: .*object", lambda: run.approve("r-1_1_0", note=wrong(object()))),
        (r"approve: .*allowed", lambda: run.approve("r-1_1_0", wrong("no"))),
        (r"cancel: .*reason", lambda: run.cancel(wrong(7))),
        (r"call_id must be a str", lambda: desk.session("s").approve(wrong(7))),
        (r"post: .*content", lambda: board.post(wrong(7), author="bob")),
        (r"post: .*author", lambda: board.post("x", author=wrong({"bob"}))),
        (r"data .*\['ms'\] is nan", lambda: board.post("x", author="bob", data={"ms": NAN})),
        (r"update_block: .*content", lambda: memory.update_block("persona", wrong(["terse"]))),
        (r"user_id must be a str", lambda: memory.update_block("persona", "terse", user_id=wrong(7))),
        (r"add_fact: .*object", lambda: memory.add_fact("db-1", "runs", wrong(17))),
        (r"add_fact: .*confidence", lambda: memory.add_fact("db-1", "runs", "it", confidence=NAN)),
        (r"valid_from .*no time zone", lambda: memory.add_fact("a", "b", "c", valid_from=datetime(2026, 1, 1))),
        (r"retract_fact: .*reason", lambda: memory.retract_fact("f", reason=wrong(7))),
    ]  # fmt: skip
    for named, call in refused:
        with pytest.raises(ConfigError, match=named):
            await call()
    assert await recorded(system) == []
    await board.post("x", author="bob", data={"ms": None})
    await memory.add_fact("db-1", "runs", "it")
    assert len(await recorded(system)) == 2


@pytest.mark.parametrize("value", [NAN, {"load": [float("inf")]}], ids=str)
async def test_a_tool_whose_result_has_a_float_that_json_lacks_fails_and_the_model_is_told_where(
    system: System, value: Any
) -> None:
    @tool
    async def load() -> Any:
        return value

    lead = system.host(Agent(model=calling("load"), tools=[load]), name="lead")
    result = await lead.run("Go")
    assert "ERROR: the tool ran, and a result of type" in result.output
    assert "JSON has neither NaN nor infinity" in result.output
    [failed] = [event for event in await recorded(system) if event.type == "run.tool_failed"]
    assert cast(Any, failed.event).kind == "unrecordable"


async def test_a_model_that_calls_with_a_float_that_json_lacks_has_failed(system: System) -> None:
    @tool
    async def wait(seconds: float) -> str:
        raise AssertionError("it was called")

    def ask(messages: object, tools: object) -> ModelReply:
        return ModelReply(tool_calls=(ToolCall("1", "wait", {"seconds": NAN}),))

    lead = system.host(Agent(model=FunctionModel(ask), tools=[wait]), name="lead")
    with pytest.raises(RunError, match=r"has no JSON form: \['seconds'\] is nan"):
        await lead.run("Go")
