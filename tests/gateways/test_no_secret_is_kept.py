"""Keys go in by every way there is, and none is on a disk, on NATS, in an answer or in a log afterwards."""

import asyncio
import base64
import io
import json
import logging
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hosting import Gate, Outsider, namespace, outsider
from planted import Planted
from shell import Shell
from waiting import until

from treadle import (
    Agent,
    Blackboard,
    ConfigError,
    FunctionModel,
    Image,
    Memory,
    Message,
    ModelChunk,
    ModelReply,
    Run,
    RunContext,
    RunError,
    RunState,
    RuntimeSignal,
    Steps,
    System,
    Tool,
    ToolCall,
    ToolSpec,
    Workspace,
    delegate,
    redaction,
    remote,
    tool,
)
from treadle.events.journal import BLOB_LIMIT_BYTES


@tool(read_only=True)
def elsewhere(line: str) -> str:
    """What a worker does."""
    return f"{line}; password={_ELSEWHERE}"


_ELSEWHERE = "pw-of-the-worker-1"


class Talkative:
    """A model that says a key wherever it can: in text, thinking, arguments, and what it wants back."""

    name = "talkative"

    def __init__(self, planted: Planted, tools: Sequence[str]) -> None:
        self._planted = planted
        self._tools = tools
        self.saw: list[Message] = []

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        self.saw += messages
        key = self._planted.key
        yield ModelChunk("thinking", f"I think of {key('thinking')}")
        if messages[-1].role != "tool":
            for number, name in enumerate(self._tools):
                line = {"line": f"with {key(f'argument of {name}')}"}
                yield ModelChunk("tool_call", tool_call=ToolCall(str(number), name, line))
        yield ModelChunk("text", f"It is {key('answer')}")
        yield ModelChunk("finish", carried={"talkative": {"signature": key("carried")}})


def tools_with(planted: Planted) -> list[Tool]:
    """Tools that return and raise keys."""

    @tool
    def look(line: str) -> dict[str, Any]:
        """Returns an object."""
        return {"found": planted.key("result"), "auth": {"password": planted.password("member of a result")}}

    @tool
    async def read(line: str) -> str:
        """Returns a long text: its event's payload is kept in a blob."""
        return "x " * (BLOB_LIMIT_BYTES // 2) + planted.key("long result")

    @tool
    def fail(line: str) -> str:
        """Raises."""
        raise ConnectionError(f"postgres://app:{planted.password('error of a tool')}@db refuses {line}")

    @tool
    async def post(line: str) -> str:
        """Raises what has a cause."""
        try:
            raise ValueError(planted.key("cause of an error"))
        except ValueError as exc:
            raise RuntimeError(f"Bearer {planted.key('error of a coroutine')}") from exc

    return [look, read, fail, post]


async def talks(system: System, planted: Planted) -> list[Any]:
    """A run with tools, watched and not; its instructions and the descriptions of its tools hold keys, too."""
    noted = tool(description=f"Uses {planted.key('description of a tool')}")(_noted)
    tools = [*tools_with(planted), noted, remote(elsewhere)]
    model = Talkative(planted, [each.name for each in tools])
    instructions = f"Always use {planted.key('instructions')}"
    agent = system.host(Agent(instructions, model=model, name="talks", tools=tools, memory=True))
    context = RunContext(
        user_id="alice",
        metadata={"at": planted.key("metadata"), "db": {"password": planted.password("member of the metadata")}},
        inputs={"log": planted.key("inputs")},
        knowledge=[planted.key("knowledge")],
        extensions={"x": {"y": planted.key("extensions")}},
    )
    prompt = f"Use {planted.key('prompt')}, password={planted.password('assignment in a prompt')}"
    result = await agent.run(prompt, context)
    assert (result.state, result.output) == (RunState.COMPLETED, "It is [redacted]")
    assert planted.found_in(repr(model.saw)) == []  # what it was sent is what was recorded
    told: list[Any] = [result, [event async for event in system.watch(result.run_id)]]
    told += [[event async for event in agent.stream(f"Say {planted.key('prompt of a watched run')}", context)]]
    return told


def _noted(line: str) -> str:
    return "noted"


async def fails(system: System, planted: Planted) -> list[Any]:
    """Models that raise, with a second that is asked in the place of the first, and a strategy that raises."""

    def broken(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        raise OSError(f"401: Incorrect API key provided: {planted.key('error of a model')}")

    async def strategy(steps: Steps) -> str:
        made = await steps.value("made", lambda: {"key": planted.key("recorded value")})
        (outcome,) = await steps.tools([ToolCall("1", "see", {"at": planted.key("argument of a strategy")})])
        assert planted.found_in(repr((made, outcome, steps.prompt))) == []
        raise LookupError(f"secret_key={planted.password('error of a strategy')}")

    @tool
    def see(at: str) -> str:
        """What it was given is what was recorded."""
        assert at == "[redacted]"
        return at

    told: list[Any] = []
    for agent in (
        Agent(model=FunctionModel(broken), name="broken"),
        Agent(model="echo", name="thinker", tools=[see], architecture=strategy),
    ):
        with pytest.raises(RunError) as failed:
            await system.host(agent).run(f"Fail with {planted.key(f'prompt of {agent.name}')}", session_id="s-fails")
        told += [failed.value, failed.value.result]
    return told


async def is_signalled(system: System, planted: Planted) -> list[Any]:
    """Signals by the agent, by the system over NATS, and by timers; and a prompt as over any NATS client."""
    agent = system.host(Agent(model="echo", name="signalled"))
    signal = RuntimeSignal(
        summary=f"Saw {planted.key('summary')}",
        payload={"line": planted.key("payload"), "client_secret": planted.password("member of a payload")},
        source=planted.key("source"),
        type=planted.key("type"),
    )
    told: list[Any] = [await agent.signal(signal, session_id="s-2", wait=True)]
    assert system.signals is not None
    signals = system.signals
    over = RuntimeSignal(f"Over {planted.key('summary over NATS')}", payload=[planted.key("payload over NATS")])
    await system.signal(agent.name, over, session_id="s-3")
    await until(lambda: signals.done == 1)
    await system.after(3600, f"Look at {planted.key('timer')}", agent=agent.name)
    repeated = RuntimeSignal("Look.", payload=planted.key("payload of a timer"))
    told += [await system.every("0 9 * * *", repeated, agent=agent.name), await system.timers()]
    async with _client(system) as client:
        asked = await client.ask(
            "run",
            agent=agent.name,
            prompt=f"Asked with {planted.key('prompt over NATS')}",
            metadata={"k": planted.key("metadata over NATS")},
            wait=True,
        )
        assert asked["state"] == "completed"
        told += [asked, await client.ask("history", run_id=asked["run_id"])]
    return told


async def remembers(system: System, planted: Planted) -> list[Any]:
    """Memory, blackboards and workspaces, by programs."""
    memory, board = Memory(system), Blackboard("ops", system)
    for _ in range(2):
        await memory.update_block("notes", f"The key is {planted.key('block')}", user_id="bob")
    fact_id = await memory.add_fact("db", "has", planted.key("fact"), sources=[planted.key("source of a fact")])
    await memory.retract_fact(fact_id, reason=f"It was {planted.key('reason of a retraction')}")
    await board.post(planted.key("entry"), author="bob", data={"k": planted.key("data of an entry")})
    events = await system.journal.read("memory-bob")
    assert [event.type for event in events] == ["memory.block_updated"]  # said twice, it is no news
    notes = Workspace("ops", system).of("bob").member("bob")
    note = await notes.note(planted.key("title"), planted.key("text"), kind="question", tags=[planted.key("tag")])
    await notes.update(note.slug, body=planted.key("second text"), step=planted.key("step"))
    await notes.answer(note.slug, planted.key("answer"))
    await notes.archive(note.slug, reason=planted.key("reason of an archiving"))
    return [await memory.working(user_id="bob"), await board.read(), await notes.list(archived=None)]


async def is_decided(system: System, planted: Planted) -> list[Any]:
    """Approvals, cancellations, delegated tasks."""

    @tool(destructive=True)
    def restart(line: str) -> str:
        """Needs a yes."""
        return "restarted"

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        name = messages[-1].content.partition(" ")[0]
        if messages[-1].role == "tool":
            return messages[-1].content
        given = "prompt" if name.startswith("delegate") else "line"
        return ModelReply(tool_calls=(ToolCall("1", name, {given: f"with {planted.key(f'argument of {name}')}"}),))

    system.host(Agent(model="echo", name="helper"))
    agent = system.host(
        Agent(
            model=FunctionModel(answer), name="asks", tools=[restart, delegate("helper")], approval_handler="wait"
        )
    )  # fmt: skip
    session = agent.session("s-4")
    waiting = await session.run("restart it")
    (asked,) = waiting.waiting_for
    note = f"Not with {planted.key('note')}"
    await session.approve(asked.call_id, False, by=planted.key("who approves"), note=note)
    told: list[Any] = [asked, await Run(system.node, waiting.run_id).wait(), await session.history()]
    waiting = await agent.session("s-5").run("restart it")
    run = Run(system.node, waiting.run_id)
    told += [await run.cancel(f"for {planted.key('reason')}", by=planted.key("who cancels"))]
    told += [await agent.run("delegate_to_helper it")]
    return told


def _client(system: System) -> Any:
    assert system.server is not None
    return outsider(system.server.url, system.subjects.namespace)


async def test_a_key_that_comes_in_by_any_way_is_kept_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "treadle")
    planted = Planted()
    journal = f"sqlite:{tmp_path}/events.db"
    told: list[Any] = []
    async with System(journal=journal, nats="embedded", namespace=namespace(), directory=tmp_path) as system:
        await system.offer(elsewhere)
        await system.start_hosting()
        for play in (talks, fails, is_signalled, remembers, is_decided):
            told += await play(system, planted)
        last = await system.journal.last_position()
        await system.projections.wait_for(last, 10.0)
        assert system.relay is not None
        relay = system.relay
        await until(lambda: relay.position >= last)
        exported = io.BytesIO()
        await system.projections.audit.export(exported)
        told += [exported.getvalue(), [event.event for event in await system.journal.read_all(0, 10_000)]]

    assert len(planted) > 45
    assert planted.found_below(tmp_path) == {}
    assert planted.found_in("\n".join(map(repr, told))) == []
    assert _ELSEWHERE not in repr(told)
    records = [(record.getMessage(), record.args, record.exc_info, record.exc_text) for record in caplog.records]
    assert planted.found_in(repr(records)) == []
    assert "LookupError: secret_key=[redacted]" in caplog.text


async def test_what_another_program_publishes_is_recorded_and_parked_without_its_key(tmp_path: Path) -> None:
    """On the broker's disk it stands as it came until it is handled: there it was before anybody could mask it."""
    planted = Planted()
    system = System(journal=f"sqlite:{tmp_path}/events.db", nats="embedded", namespace=namespace(), directory=tmp_path)
    async with system:
        agent = system.host(Agent(model="echo", name="desk"))
        await system.start_hosting()
        assert system.signals is not None
        signals = system.signals
        async with _client(system) as client:
            assert isinstance(client, Outsider)
            body = {"summary": f"Saw {planted.key('summary')}", "payload": {"api_key": planted.key("payload")}}
            await client.signal("alice.desk.s-1", body)
            await client.signal("alice.desk.s-1", f'{{"oops": "{planted.key("of no signal")}"}}'.encode())
            await client.signal("alice.desk.s-1", f"\xff {planted.key('of no JSON')}".encode("latin-1"))
            await until(lambda: (signals.done, signals.parked) == (1, 2))
            parked = [(message.data, message.headers) for message in await client.parked(2)]
        history = await agent.session("s-1", user_id="alice").history()
    assert len(planted) == 4
    assert planted.found_in(repr((parked, history))) == []
    assert history[0].content.startswith("Saw [redacted]")
    kept = planted.found_below(tmp_path)
    assert {path for path in kept if "SIGNALS" not in path} == set()


async def test_a_run_that_goes_on_in_another_process_finds_what_it_worked_with(tmp_path: Path) -> None:
    """What model and tool saw is what was recorded: the second activation asks for the same, and diverges nowhere."""
    planted, journal = Planted(), f"sqlite:{tmp_path}/events.db"
    reached = asyncio.Event()

    @tool(read_only=True)
    def look(line: str) -> str:
        return f"{line} is {planted.key('result')}"

    def agent(*, stops: bool) -> Agent:
        async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
            said = [message.content for message in messages if message.role == "tool"]
            if len(said) < 2:
                line = {"line": f"{planted.key('argument')} after {len(repr(messages))}"}
                return ModelReply(tool_calls=(ToolCall(str(len(said)), "look", line),))
            if stops:
                reached.set()
                await asyncio.Event().wait()
            return f"{messages[0].content} | {' | '.join(said)} | {planted.key('answer')}"

        return Agent(model=FunctionModel(answer), name="desk", tools=[look])

    prompt = f"Use {planted.key('prompt')}"
    async with System(journal=journal) as system:
        whole = await system.host(agent(stops=False)).run(prompt, session_id="s-1")
        assert whole.output.count("[redacted]") == 6
        await system.host(agent(stops=True)).session("s-2").start(prompt)
        await reached.wait()
    async with System(journal=journal) as system:
        resumed = await system.host(agent(stops=False)).resume("s-2")
    assert (resumed.state, resumed.output) == (RunState.COMPLETED, whole.output)
    assert planted.found_below(tmp_path) == {}


async def test_the_same_words_continue_a_run_although_others_are_recorded(tmp_path: Path) -> None:
    gate, prompt = Gate(), f"Use {Planted().key('prompt')}"
    async with System(journal=f"sqlite:{tmp_path}/events.db") as system:
        agent = system.host(Agent(model=gate.model, name="desk"))
        leaving = asyncio.create_task(agent.run(prompt, session_id="s-1"))
        await until(lambda: gate.waiting == 1)
        leaving.cancel()
        await asyncio.wait((leaving,))
        gate.open()
        assert (await agent.run(prompt, session_id="s-1")).output == "answer to Use [redacted]"
        types = [event.type for event in await system.journal.read_all(0, 100)]
    assert types.count("run.started") == 1


async def test_a_picture_comes_through_unharmed(tmp_path: Path) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + os.urandom(60_000)
    saw: list[Image] = []

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        saw.extend(image for message in messages for image in message.images)
        if messages[-1].role == "tool":
            return messages[-1].content
        return ModelReply(tool_calls=(ToolCall("1", "draw", {}),))

    @tool
    def draw() -> dict[str, str]:
        """A picture."""
        return {"png": base64.b64encode(picture).decode()}

    async with System(journal=f"sqlite:{tmp_path}/events.db") as system:
        agent = system.host(Agent(model=FunctionModel(answer), name="desk", tools=[draw]))
        result = await agent.run("What is this?", images=[Image("image/png", base64.b64encode(picture).decode())])
    assert {base64.b64decode(image.data) for image in saw} == {picture}
    assert base64.b64decode(json.loads(result.output)["png"]) == picture


async def test_an_id_that_looks_like_a_key_is_refused_and_not_shown() -> None:
    key = Planted().key("session")
    agent = Agent(model="echo", name="ids")
    with pytest.raises(ConfigError, match="the session_id holds what looks like a secret") as refused:
        await agent.run("Go", session_id=key)
    assert key not in str(refused.value)
    with pytest.raises(ConfigError, match="the user_id holds what looks like a secret"):
        await agent.signal("Go", session_id="s", user_id=key)


async def test_what_is_switched_off_keeps_all() -> None:
    key = Planted().key("prompt")
    agent = Agent(model="echo", name="open")
    redaction.off()
    try:
        assert key in (await agent.run(f"Use {key}")).output
    finally:
        redaction.on()


def test_a_process_that_hosts_agents_keeps_and_tells_no_key(tmp_path: Path) -> None:
    planted = Planted()
    with Shell(tmp_path) as shell:
        up = shell.up("--log-level", "debug")
        payload = json.dumps({"password": planted.password("payload"), "log": planted.key("member")})
        said = shell.run("signal", "desk", f"Use {planted.key('text')}", "--payload", payload, "--wait").stdout
        _, err = up.stop()
    assert "Use [redacted]" in said
    assert planted.found_below(tmp_path) == {}
    assert planted.found_in(said + err) == []
