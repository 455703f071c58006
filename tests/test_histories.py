"""Today's code replays what every earlier version recorded. Histories are added, never edited."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from treadle import ARCHITECTURES, FunctionModel, Message, ModelReply, RunResult, Tool
from treadle.actors.blackboard import FOLD as BLACKBOARD
from treadle.actors.budget import FOLD as BUDGET
from treadle.actors.memory import FOLD as MEMORY
from treadle.actors.run import RunActivation
from treadle.actors.run_history import RunRequest
from treadle.actors.session import FOLD as SESSION
from treadle.actors.spec import AgentSpec
from treadle.actors.stored_run import FOLD as RUN
from treadle.actors.worker import FOLD as WORKER
from treadle.actors.workspace import FOLD as WORKSPACE
from treadle.events.envelope import (
    EMPTY,
    Meta,
    Recorded,
    StreamName,
    decode_event,
    encode_event,
    read_stored,
    verify_chain,
)
from treadle.events.event import UnknownEvent
from treadle.events.journal import Append
from treadle.events.run import Run, RunCompleted, RunStarted
from treadle.events.session import RunOpened, Session
from treadle.events.session import evolve as evolve_session
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.node import Node

FOLDS: dict[str, Any] = {
    "run": RUN,
    "session": SESSION,
    "memory": MEMORY,
    "blackboard": BLACKBOARD,
    "budget": BUDGET,
    "worker": WORKER,
    "workspace": WORKSPACE,
}
HISTORIES = sorted(Path(__file__).with_name("histories").glob("*/*.jsonl"))


def load(path: Path) -> list[Recorded]:
    return [read_stored(line, number) for number, line in enumerate(path.read_bytes().splitlines(), 1)]


def fold(events: Sequence[Recorded]) -> Any:
    category = FOLDS[events[0].category]
    state = category.new()
    for recorded in events:
        state = category.evolve(state, recorded.event)
    return state


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_stream_still_reads_verifies_and_folds(path: Path) -> None:
    events = load(path)
    assert verify_chain(events).version == len(events)
    assert not [recorded.type for recorded in events if isinstance(recorded.event, UnknownEvent)]
    assert fold(events) is not None
    for recorded in events:
        again = decode_event(recorded.event.event_tag, recorded.event.event_schema, encode_event(recorded.event))
        assert again == recorded.event


def test_the_corpus_holds_every_category() -> None:
    assert {load(path)[0].category for path in HISTORIES} == set(FOLDS)


RUNS = [path for path in HISTORIES if path.stem.startswith("run-")]


@pytest.mark.parametrize("path", RUNS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_run_ends_as_it_did(path: Path) -> None:
    state: Run = fold(load(path))
    assert state.started is not None
    assert isinstance(state.closed, RunCompleted)
    assert state.closed.turns == state.turns == len(state.models)
    assert all(step.outcome is not None for step in state.tools.values())


@pytest.mark.parametrize("path", RUNS, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_a_recorded_run_cut_before_its_end_replays_without_any_call(path: Path) -> None:
    """All but the last event are put into a fresh journal; the strategy, run from the top, comes to the same end."""
    events = load(path)
    ended = events[-1].event
    assert isinstance(ended, RunCompleted)
    node = Node(MemoryJournal())
    await node.start()
    try:
        result = await replay(node, events[:-1], conversation_before(path, events[0].run_id))
    finally:
        await node.close()
    assert (result.output, result.turns) == (ended.output, ended.turns)


async def replay(node: Node, events: Sequence[Recorded], history: list[Message]) -> RunResult:
    first, started = events[0], events[0].event
    assert isinstance(started, RunStarted)
    meta = Meta(user_id=first.user_id, session_id=first.session_id, run_id=first.run_id, epoch=1)
    facts = [recorded.event for recorded in events]
    await node.journal.append(Append(StreamName(first.stream), EMPTY, facts, meta, first.at))
    spec = AgentSpec(
        name=started.agent,
        model=FunctionModel(call_nothing, started.model),
        tools={tool.name: Tool(tool, call_nothing, is_async=False) for tool in started.tools},
        architecture=ARCHITECTURES[started.strategy](),
    )
    request = RunRequest(
        run_id=first.run_id,
        prompt=started.prompt,
        user_id=first.user_id,
        session_id=first.session_id,
        history=history,
    )
    run = RunActivation(spec, node.services, request)
    assert await run.continue_("replay")
    return await run.drive()


def conversation_before(path: Path, run_id: str) -> list[Message]:
    """What the run's session held when the run began."""
    session = Session()
    for other in path.parent.glob("session-*.jsonl"):
        for recorded in load(other):
            if isinstance(recorded.event, RunOpened) and recorded.event.run_id == run_id:
                return session.history
            evolve_session(session, recorded.event)
    return []


def call_nothing(*_: Any, **__: Any) -> ModelReply:
    raise AssertionError("a replay called a model or a tool")
