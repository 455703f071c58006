"""Runs that ask for tasks of this node, and are in another journal: `AskerPort` over EVENTS, which has all journals."""

from ..actors.services import AskerPort
from ..events.errors import TreadleError
from ..events.journal import Journal
from ..events.logs import get_logger
from ..events.run import CATEGORY, CLOSING_TAGS, run_stream
from ..events.subjects import Subjects
from .broker.streams import stream_name
from .buses.nats import NatsBus

_log = get_logger("treadle.delegation")


class Askers(AskerPort):
    """Looks for the newest event of a run.

    EVENTS keeps what it is told for a while, and is told what is in a journal. Where a run is not found it may be older
    than that, and its task goes on.
    """

    def __init__(self, bus: NatsBus, subjects: Subjects, journal: Journal) -> None:
        self._bus = bus
        self._subjects = subjects
        self._journal = journal

    async def end_of(self, user_id: str, run_id: str) -> str:
        try:
            if (await self._journal.head(run_stream(run_id))).version:
                return ""
            stream, subject = stream_name("events", self._subjects), self._subjects.events(user_id, CATEGORY, run_id)
            newest = (await self._bus.jetstream.last_headers(stream, subject)).get("Nats-Subject", "")
        except TreadleError as exc:
            _log.info("whether run %s has ended is not known: %s", run_id, exc)
            return ""
        end = newest.rpartition(".")[2]
        return end if f"{CATEGORY}.{end}" in CLOSING_TAGS else ""
