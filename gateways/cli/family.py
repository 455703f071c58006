"""A run with the runs below it, each followed from its first event to its last, and told beside one another."""

import asyncio

from msgspec import structs

from ...events.errors import NotFound
from ..run_event import Event
from .following import CLOSING, RETRY_S, Follower
from .run_progress import Tell


class Family:
    """Follows the runs that a run asks for as soon as it does."""

    def __init__(self, following: Follower) -> None:
        self._following = following

    async def run(self, run_id: str, after: int, tell: Tell) -> Event:
        """Tell the events of a run above version `after`, and all of those it asks for since; returns the run's last.

        Raises:
            NotFound: There is no such run.
        """
        return await self._member(run_id, after, tell, structs.replace(_NOBODY, run_id=run_id))

    async def _member(self, run_id: str, after: int, tell: Tell, of: Event) -> Event:
        """One of them, and those below it; `of` has whose its events are."""
        below: list[asyncio.Task[None]] = []
        ended = asyncio.Event()

        def tell_own(event: Event) -> None:
            if event.type in CLOSING:
                return  # after all that those below have told
            tell(structs.replace(event, depth=of.depth, parent_run_id=of.parent_run_id, role=of.role))
            shared = event.type == "run.copied"
            type, said = (event.payload["type"], event.payload["payload"]) if shared else (event.type, event.payload)
            if type == "child.requested" and event.run_id == run_id:
                asked, role = str(said["run_id"]), str(said.get("role", ""))
                child = structs.replace(of, depth=of.depth + 1, parent_run_id=run_id, role=role)
                below.append(asyncio.create_task(self._child(asked, tell, child, ended)))

        try:
            last = await self._following.run(run_id, after, tell_own)
            ended.set()
            await asyncio.gather(*below)
        finally:
            for task in below:
                task.cancel()
        last = structs.replace(last, depth=of.depth, parent_run_id=of.parent_run_id, role=of.role)
        if last.version > after:
            tell(last)
        return last

    async def _child(self, run_id: str, tell: Tell, of: Event, ended: asyncio.Event) -> None:
        """A run that was asked for, and begins in a moment; or never, when the run that `ended` is of ends before."""
        while True:
            over = ended.is_set()
            try:
                await self._member(run_id, 0, tell, of)
                return
            except NotFound:
                if over:
                    return
                await asyncio.sleep(RETRY_S)


_NOBODY = Event(type="", run_id="")
