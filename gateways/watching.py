"""The events of a run and of the runs below it, from the journal: what was, then what is, without a gap or a double.

A run below is told from its first event on, after the event that asks for it and before the one that tells of its end.
"""

from collections.abc import AsyncIterator

from msgspec import Struct, structs

from ..events.child_step import ChildEnded, ChildRequested
from ..events.journal import Journal
from ..events.run import CLOSING_TAGS, run_stream
from ..events.run_tree import record_of
from .run_event import Event, of_recorded

PAGE = 500


async def watched(journal: Journal, run_id: str, after: int, *, children: bool) -> AsyncIterator[Event]:
    """The events of a run above version `after`, until it has ended."""
    tree = _Tree(journal, children)
    root = _Told(run_id, after)
    if children and after:
        await tree.look_back(root)
    while not root.ended:
        position = await journal.last_position()
        news = False
        async for event in tree.news(root):
            news = True
            yield event
        if not news:
            await journal.wait(position)


class _Told(Struct, eq=False):
    """How far a run has been told.

    Attributes:
        below: The runs that it waits for, by the call that asks for them.
    """

    run_id: str
    version: int = 0
    depth: int = 0
    parent_run_id: str = ""
    role: str = ""
    ended: bool = False
    below: dict[str, "_Told"] = {}


class _Tree:
    def __init__(self, journal: Journal, children: bool) -> None:
        self._journal = journal
        self._children = children

    async def look_back(self, run: _Told) -> None:
        """Find the runs that it waited for when it was told up to its version."""
        version = 0
        while version < run.version:
            page = await self._journal.read(run_stream(run.run_id), version, min(PAGE, run.version - version))
            if not page:
                return
            for recorded in page:
                record = record_of(recorded)
                self._below(run, record)
                if isinstance(record, ChildEnded):
                    run.below.pop(record.call_id, None)
            version = page[-1].version

    async def news(self, run: _Told) -> AsyncIterator[Event]:
        """What is new of a run, and of those below it."""
        for child in list(run.below.values()):
            async for event in self.news(child):
                yield event
        while page := await self._journal.read(run_stream(run.run_id), run.version, PAGE):
            for recorded in page:
                # A run that is shared with another tree is one of this tree's, in a stream of its own.
                fact, run.version = record_of(recorded), recorded.version
                run.ended = recorded.type in CLOSING_TAGS
                last = [*run.below.values()] if run.ended else []
                if isinstance(fact, ChildEnded) and fact.call_id in run.below:
                    last = [run.below.pop(fact.call_id)]
                for child in last:
                    async for event in self.news(child):
                        yield event
                event = of_recorded(recorded)
                yield structs.replace(event, depth=run.depth, parent_run_id=run.parent_run_id, role=run.role)
                self._below(run, fact)
            if run.ended:
                return

    def _below(self, run: _Told, fact: object) -> None:
        if self._children and isinstance(fact, ChildRequested):
            run.below[fact.call_id] = _Told(fact.run_id, 0, run.depth + 1, run.run_id, fact.role)
