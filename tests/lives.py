"""Runs that are cut after each event of their journal, and gone on with on a fresh one: crashes, in process."""

from collections.abc import AsyncGenerator, Callable, Sequence

from cuts import fresh_node
from msgspec import Struct

from treadle import Agent, RunResult
from treadle.actors.run_history import RunRequest
from treadle.events.envelope import Recorded
from treadle.events.event import Event

RUN, USER = "run-1", "ann"


class Life(Struct):
    """What came of a run, and of which events its journal held when it began.

    Attributes:
        events: What the journal held in the end, of the run and of all that it touched.
        blocks: The working blocks of its user in the end.
    """

    result: RunResult
    events: Sequence[Recorded]
    blocks: dict[str, str]
    told: Sequence[Recorded] = ()

    def told_of(self, kind: type[Event]) -> int:
        """How many events of a kind its journal held when it began."""
        return sum(isinstance(recorded.event, kind) for recorded in self.told)


async def live(agent: Agent, prompt: str, told: Sequence[Recorded] = ()) -> Life:
    """Run a prompt, or go on with it, on a journal that holds `told` of a process that is gone."""
    async with fresh_node(told) as node:
        assert node.services.children is not None
        assert node.services.memory is not None
        request = RunRequest(run_id=RUN, prompt=prompt, user_id=USER)
        result = await node.services.children.run(agent.spec, request)
        blocks = dict((await node.services.memory.state(USER)).blocks)
        return Life(result, await node.journal.read_all(limit=10_000), blocks, told)


async def lives(make: Callable[[], Agent], prompt: str) -> AsyncGenerator[Life]:
    """The whole life of a run first, then one for each event: cut after it, gone on with by another agent."""
    whole = await live(make(), prompt)
    yield whole
    for cut in range(1, len(whole.events) + 1):
        yield await live(make(), prompt, whole.events[:cut])
