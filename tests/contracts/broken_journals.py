"""Journals that each break one promise. `tests/gateways/journals/test_broken_on_purpose.py` lists who must notice."""

from collections.abc import Sequence

from treadle.events.envelope import EMPTY, Head, Position, Recorded
from treadle.events.errors import CorruptEvent, VersionConflict
from treadle.events.journal import Append, Snapshot
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.journals.submission import Change, Submission


class TakesEverything(MemoryJournal):
    """Checks no head."""

    def _conflict(self, changes: Sequence[Change]) -> VersionConflict | None:
        return None


class ComparesVersionsOnly(MemoryJournal):
    """Takes what builds on another event of the same version."""

    def _conflict(self, changes: Sequence[Change]) -> VersionConflict | None:
        found = super()._conflict(changes)
        return found if found is not None and found.expected != found.found else None


class TakesWhatIsAhead(MemoryJournal):
    """Refuses old heads only, and leaves holes."""

    def _conflict(self, changes: Sequence[Change]) -> VersionConflict | None:
        found = super()._conflict(changes)
        return found if found is not None and found.expected < found.found else None


class StoresOneByOne(MemoryJournal):
    """Keeps the first streams of a submission whose last one conflicts."""

    def submit(self, *appends: Append) -> Submission:
        submissions = [super(StoresOneByOne, self).submit(append) for append in appends]
        for submission in submissions:
            try:
                _ = submission.position
            except VersionConflict:
                return submission
        return submissions[-1]


class SkipsBetweenPages(MemoryJournal):
    """Loses the first event of every page of the log but the first."""

    async def read_all(self, after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]:
        return await super().read_all(after + 1 if after else 0, limit, category=category)


class NeverWakes(MemoryJournal):
    """Lets those who wait for events sleep until their time is up."""

    async def wait(self, after: int, timeout_s: float | None = None) -> Position:
        await self._tail.wait(2**62, 0.05)
        return Position(after)


class TrustsItsRows(MemoryJournal):
    """Skips what is corrupt as if it had never been."""

    async def read(self, stream: str, after: int = 0, limit: int | None = None) -> Sequence[Recorded]:
        try:
            return await super().read(stream, after, limit)
        except CorruptEvent as exc:
            return await super().read(stream, after, exc.version - 1 - after)


class BelievesEverySnapshot(MemoryJournal):
    """Returns the snapshot it has, whatever it is of."""

    async def load_snapshot(self, stream: str, schema: str) -> Snapshot | None:
        return self._snapshots.get(stream)


class LosesTheHeadOfEmptyAppends(MemoryJournal):
    """Does not look at appends without events."""

    def _conflict(self, changes: Sequence[Change]) -> VersionConflict | None:
        return super()._conflict([change for change in changes if change.before != change.after])


class NeverDies(MemoryJournal):
    """Takes every owner for alive."""

    async def is_alive(self, owner: str) -> bool:
        return True


class SaysNothingIsThere(MemoryJournal):
    """Forgets the end of a stream, though not its events."""

    async def head(self, stream: str) -> Head:
        return EMPTY
