"""A session and other processes: what it believes may be old, and what waits may have been done elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from hosting import Gate
from waiting import until

from treadle import Agent, FunctionModel, Message, ToolSpec, Unavailable
from treadle.actors.entity import SNAPSHOT_EVERY
from treadle.actors.session_messages import MoveSession, SignalSession
from treadle.events.run import RunStarted
from treadle.events.session import SNAPSHOT, session_stream
from treadle.events.signal import RuntimeSignal


def repeating(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
    return f"Seen: {messages[-1].content}"


class Opened(Protocol):
    def __call__(self, process: int, name: str = "desk") -> Agent: ...


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    """Agents on one journal file; each number is a system of its own, as another process would have."""
    agents: list[Agent] = []

    def make(process: int, name: str = "desk") -> Agent:
        runtime = f"sqlite:{tmp_path}/{'./' * process}runs.db"
        agents.append(Agent(model=FunctionModel(repeating), name=name, runtime=runtime))
        return agents[-1]

    yield make
    for agent in agents:
        await agent.aclose()


async def test_a_signal_that_was_run_elsewhere_meanwhile_is_answered_and_not_run_again(opened: Opened) -> None:
    here, there = opened(1, "other"), opened(2)
    node = await here.node()
    signal = RuntimeSignal(id="s1", summary="A card was charged twice.")
    session = node.host.session("alice", "desk", "conv-1")
    await session.ask(SignalSession(signal, answer_when="taken"))
    elsewhere = await there.session("conv-1", user_id="alice").signal(signal, wait=True)

    # Here the signal still waits, as far as this session knows.
    node.host.add(there.spec)
    answered = await session.ask(SignalSession(signal))

    assert elsewhere is not None
    assert (answered.run_id, answered.output) == (elsewhere.run_id, elsewhere.output)
    assert sum(isinstance(event.event, RunStarted) for event in await node.journal.read_all()) == 1


async def test_a_prompt_behind_a_signal_that_cannot_run_is_told_the_same_reason(opened: Opened) -> None:
    here = opened(1)
    node = await here.node()
    signal = RuntimeSignal(id="s1", summary="A card was charged twice.")
    # `support` is not hosted here, so its signal stays; the prompt brings its own agent and is behind it.
    support = opened(1, "support")
    session = node.host.session("alice", "support", "conv-1")
    await session.ask(SignalSession(signal, answer_when="taken"))
    support.bind(node)
    journal = node.journal
    submit = journal.submit

    def refuse(*appends: object) -> object:
        raise Unavailable("the disk", "it is full")

    journal.submit = refuse  # type: ignore[assignment, method-assign]
    with pytest.raises(Unavailable, match="the disk is unavailable: it is full"):
        await support.run("Hello?", user_id="alice", session_id="conv-1")
    journal.submit = submit  # type: ignore[method-assign]

    assert (await support.run("Hello?", user_id="alice", session_id="conv-1")).output == "Seen: Hello?"
    history = await support.session("conv-1", user_id="alice").history()
    assert [message.role for message in history] == ["user", "assistant"] * 2


async def test_the_history_of_a_session_has_what_another_process_added(opened: Opened) -> None:
    here, there = (opened(number).session("conv-1") for number in (1, 2))
    await here.run("One.")
    assert len(await there.history()) == 2
    await here.run("Two.")

    assert [message.content for message in await there.history()][2:] == ["Two.", "Seen: Two."]


async def test_a_session_with_many_turns_keeps_a_snapshot(opened: Opened) -> None:
    agent = opened(1)
    session = agent.session("conv-1")
    async with asyncio.timeout(60):
        for number in range(SNAPSHOT_EVERY // 2 + 1):
            await session.run(f"Prompt {number}.")
    journal = (await agent.node()).journal

    snapshot = await journal.load_snapshot(session_stream("", "desk", "conv-1"), SNAPSHOT)

    assert snapshot is not None
    assert snapshot.head.version >= SNAPSHOT_EVERY


async def test_each_of_many_signals_that_come_at_once_is_answered_when_its_run_has_ended(opened: Opened) -> None:
    agent = opened(1)
    session = agent.session("conv-1", user_id="alice")
    async with asyncio.timeout(30):
        for wave in range(20):
            signals = [RuntimeSignal(id=f"{wave}-{number}", summary=f"{wave} {number}") for number in range(5)]
            # They do not come in one turn of the loop: a run may end while the next signal is on its way to the disk.
            sent: list[asyncio.Task[object]] = []
            for number, signal in enumerate(signals):
                sent.append(asyncio.create_task(session.signal(signal, wait=True)))
                for _ in range((wave + number) % 7):
                    await asyncio.sleep(0)
            results = await asyncio.gather(*sent)
            assert [getattr(result, "output", None) for result in results] == [f"Seen: {s.summary}" for s in signals]


async def test_a_signal_that_comes_again_while_the_next_one_finishes_its_run_is_answered(
    opened: Opened, tmp_path: Path
) -> None:
    gate = Gate()
    there = Agent(model=gate.model, name="desk", runtime=f"sqlite:{tmp_path}/runs.db")
    first, second = (RuntimeSignal(id=id, summary=f"Look at {id}.") for id in ("s1", "s2"))
    waiting = asyncio.create_task(there.session("conv-1", user_id="alice").signal(first, wait=True))
    await until(lambda: gate.waiting == 1)
    await there.aclose()
    with pytest.raises(Unavailable):
        await waiting

    here = opened(1)
    session = (await here.node()).host.session("alice", "desk", "conv-1")
    answers = await asyncio.gather(session.ask(SignalSession(second)), session.ask(SignalSession(first)))

    assert [answer.output for answer in answers] == ["Seen: Look at s2.", "Seen: Look at s1."]


async def test_a_run_that_is_to_move_during_its_last_step_is_left_for_whoever_goes_on(
    opened: Opened, tmp_path: Path
) -> None:
    gate = Gate()
    agent = Agent(model=gate.model, name="desk", runtime=f"sqlite:{tmp_path}/runs.db")
    session = (await agent.node()).host.session("alice", "desk", "conv-1")
    signal = RuntimeSignal(id="s1", summary="Look.")
    waiting = asyncio.ensure_future(session.ask(SignalSession(signal)))
    await until(lambda: gate.waiting == 1)
    moving = asyncio.ensure_future(session.ask(MoveSession()))
    gate.open()
    await moving
    with pytest.raises(Unavailable, match="another node takes its signals"):
        await waiting
    await agent.aclose()

    there = (await opened(1).node()).host.session("alice", "desk", "conv-1")
    assert (await there.ask(SignalSession(signal))).output == "answer to Look."
