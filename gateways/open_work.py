"""Open work: runs that nobody works on any more, and signals that wait for their run. A node goes on with them."""

import asyncio
from collections.abc import Callable, Collection
from functools import partial

from ..actors.host import Host
from ..actors.run_actor import ContinueRun
from ..actors.session_messages import DescribeSession, ResumeSession
from ..events.errors import Fenced, Owned, ReplayDivergence, TreadleError
from ..events.logs import get_logger
from ..events.run import RunState
from ..events.subjects import SignalAddress
from ..projections import Projections

LOOK_EVERY_S = 5.0
"""How often a node looks for what another one, that died, has left."""

_EVERY = 1_000_000  # rows: all of them, in practice
_log = get_logger("treadle")


class OpenWork:
    """What there is to go on with for one node.

    Args:
        is_ours: Whether a session, or a run without one, is this node's to go on with.
    """

    def __init__(self, host: Host, projections: Projections, is_ours: Callable[[SignalAddress], bool]) -> None:
        self._host = host
        self._projections = projections
        self._is_ours = is_ours
        self._going_on: dict[str, asyncio.Task[None]] = {}
        self._diverged: set[str] = set()  # our code does not go with their history: looking again does not change that
        self._looking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Look no more, and wait for nobody."""
        tasks = [*self._going_on.values(), *([self._looking] if self._looking is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def take_up(self) -> int:
        """Continue the open runs of hosted agents that no living process works on; returns how many are open."""
        return await self._look(None)

    def keep_looking(self) -> None:
        """From now on, take up what dead nodes leave, and what an outage has stopped here."""
        self._looking = asyncio.create_task(self._look_again(), name="open work")

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._look(await self._left())
            except TreadleError as exc:
                _log.warning("open work is looked for again: %s", exc)
            except Exception:
                _log.exception("open work is looked for again")

    async def _left(self) -> Collection[str]:
        """Whose open runs nobody may be at: those of the dead, and this node's own, which an outage may have stopped.

        What others that live have open is never read: that may be a hundred thousand runs which wait for somebody.
        """
        journal = self._host.services.journal
        owners = await self._projections.runs.open_owners()
        return [owner for owner in owners if owner == journal.owner or not await journal.is_alive(owner)]

    async def _look(self, owners: Collection[str] | None) -> int:
        await self._projections.catch_up()
        for session in await self._projections.sessions.list(waiting=True, limit=_EVERY):
            address = SignalAddress(session.user_id, session.agent, session.session_id)
            if session.agent in self._host and self._is_ours(address):
                # Asking it anything is enough: it sees what waits, and runs it.
                self._host.session(*address).tell(DescribeSession())
        count, mine = 0, self._host.services.journal.owner
        for row in await self._projections.runs.open_runs(owners=owners):
            address = SignalAddress(row.user_id, row.agent, row.session_id)
            # A run that is ours is ours to end, also when the signals of its session go to another node by now: that
            # one must not touch it while we are alive.
            if row.agent not in self._host or not (row.owner == mine or self._is_ours(address)):
                continue
            if owners is not None and row.owner == mine and row.state == RunState.INTERRUPTED:
                continue  # it waits for who wants it
            count += 1
            if row.run_id in self._going_on or row.run_id in self._diverged:
                continue
            if not self._host.run(row.run_id).is_live:
                task = asyncio.create_task(self._go_on(row.run_id, address), name=f"going on with {row.run_id}")
                self._going_on[row.run_id] = task
                task.add_done_callback(partial(self._gone_on, row.run_id))
        return count

    def _gone_on(self, run_id: str, _: asyncio.Task[None]) -> None:
        del self._going_on[run_id]

    async def _go_on(self, run_id: str, address: SignalAddress) -> None:
        host = self._host
        try:
            if address.session_id == run_id:
                await host.run(run_id).ask(ContinueRun(reason="its process ended"))
            else:
                await host.session(*address).ask(ResumeSession())
        except (Fenced, Owned) as exc:
            _log.info("run %s is somebody else's: %s", run_id, exc)
        except ReplayDivergence as exc:
            self._diverged.add(run_id)
            _log.error("run %s stays open, and is not tried again here: %s", run_id, exc)
        except TreadleError as exc:
            _log.warning("run %s stays open: %s", run_id, exc)
        except Exception:
            _log.exception("run %s stays open", run_id)
