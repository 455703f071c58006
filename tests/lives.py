"""Runs that are cut after each of their events, and gone on with on a fresh journal: crashes, in process."""

from collections.abc import AsyncGenerator, Callable, Sequence

from msgspec import Struct

from treadle import Agent, RunResult
from treadle.actors.run import RunActivation
from treadle.actors.run_history import RunRequest
from treadle.events.envelope import EMPTY, Meta, Recorded
from treadle.events.event import Event
from treadle.events.journal import Append
from treadle.events.run import run_stream
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.node import Node

RUN = "run-1"


class Life(Struct):
    """What came of a run, and of which of its events it was told when it began."""

    result: RunResult
    events: Sequence[Recorded]
    told: Sequence[Recorded] = ()

    def told_of(self, kind: type[Event]) -> int:
        """How many events of a kind it was told of."""
        return sum(isinstance(recorded.event, kind) for recorded in self.told)


async def live(agent: Agent, prompt: str, told: Sequence[Recorded] = ()) -> Life:
    """Run a prompt on a journal of its own, which has `told` of the run already."""
    node = Node(MemoryJournal())
    await node.start()
    try:
        run = RunActivation(agent.spec, node.services, RunRequest(run_id=RUN, prompt=prompt, user_id="ann"))
        if told:
            facts = [recorded.event for recorded in told]
            meta = Meta(user_id="ann", run_id=RUN, epoch=1)
            await node.journal.append(Append(run_stream(RUN), EMPTY, facts, meta, told[0].at))
            assert await run.continue_("its process died")
        result = await run.drive()
        return Life(result, await node.journal.read(run_stream(RUN)), told)
    finally:
        await node.close()


async def lives(make: Callable[[], Agent], prompt: str) -> AsyncGenerator[Life]:
    """The whole life of a run first, then one for each of its events: cut after it, gone on with by another agent."""
    whole = await live(make(), prompt)
    yield whole
    for cut in range(1, len(whole.events)):
        yield await live(make(), prompt, whole.events[:cut])
