"""Cuts the history of a run and of its children after every append, as a crash might, and goes on on a fresh node.

Of each cut: the run ends as the one that was never cut, its board holds the same, and no model is asked for what has
an answer before the cut.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from treadle.actors.result import RunResult
from treadle.actors.run_history import RunRequest
from treadle.actors.spec import AgentSpec
from treadle.events.blackboard import Posted
from treadle.events.envelope import Meta, Recorded, StreamName
from treadle.events.journal import Append, Journal
from treadle.events.model_step import ModelCompleted
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.journals.submission import Submission
from treadle.gateways.node import Node

RUN_ID = "team"


class Noting(MemoryJournal):
    """Knows where its appends end: a crash leaves all of one or nothing.

    Attributes:
        cuts: How many events there were after each append.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cuts = [0]

    def submit(self, *appends: Append) -> Submission:
        submission = super().submit(*appends)
        if len(self._recorder) > self.cuts[-1]:
            self.cuts.append(len(self._recorder))
        return submission


async def holds_at_every_cut(spec: AgentSpec, prompt: str, calls: Callable[[], int], session_id: str = "") -> RunResult:
    """The result of a run that was never cut, when every cut of it holds.

    Args:
        calls: How many model calls there were until now, of all who take part.
    """
    journal = Noting()
    async with opened(journal) as node:
        whole = await run(node, spec, prompt, session_id)
        events = await journal.read_all(limit=10_000)
        board = await board_of(node)
    total = calls()
    assert total == answered(events)
    assert len(journal.cuts) > total
    for cut in journal.cuts:
        begun = calls()
        async with fresh_node(events[:cut]) as node:
            again = await run(node, spec, prompt, session_id)
            at = f"cut after event {cut} of {len(events)}"
            assert ending(again) == ending(whole), at
            assert await board_of(node) == board, at
        assert answered(events[:cut]) + calls() - begun == total, at
    return whole


@asynccontextmanager
async def fresh_node(events: Sequence[Recorded]) -> AsyncGenerator[Node]:
    """A node whose journal holds these events, written by a process that is gone."""
    journal = MemoryJournal()
    for recorded in events:
        meta = Meta(
            user_id=recorded.user_id,
            session_id=recorded.session_id,
            run_id=recorded.run_id,
            correlation_id=recorded.correlation_id,
            causation_id=recorded.causation_id,
            epoch=recorded.epoch,
        )
        stream = StreamName(recorded.stream)
        await journal.append(Append(stream, await journal.head(stream), [recorded.event], meta, recorded.at))
    async with opened(journal) as node:
        yield node


@asynccontextmanager
async def opened(journal: Journal) -> AsyncGenerator[Node]:
    node = Node(journal)
    await node.start()
    try:
        yield node
    finally:
        await node.close()


async def run(node: Node, spec: AgentSpec, prompt: str, session_id: str = "") -> RunResult:
    """The end of the run: begun, gone on with, or read."""
    assert node.services.children is not None
    request = RunRequest(run_id=RUN_ID, prompt=prompt, user_id="alice", session_id=session_id)
    return await node.services.children.run(spec, request)


async def board_of(node: Node, run_id: str = RUN_ID) -> list[Posted]:
    assert node.services.blackboard is not None
    return await node.services.blackboard.read(run_id, 1000, "", "")


def answered(events: Sequence[Recorded]) -> int:
    """How many model calls have their answer there."""
    return sum(isinstance(recorded.event, ModelCompleted) for recorded in events)


def ending(result: RunResult) -> tuple[str, ...]:
    return (result.state, result.output, result.error, result.interruption_reason)
