"""What is to become of a batch: which submissions fit the heads that are there, and what they come to.

A database store makes a plan while it holds the write lock, stores what was accepted, and settles the plan when that is
committed. Heads are cached between batches; the store says when they have gone stale.
"""

from collections.abc import Callable
from itertools import islice

from ...events.envelope import EMPTY, Head, Row
from ...events.errors import AppendUncertain, TreadleError, VersionConflict
from .submission import Submission

CACHED_HEADS = 65_536


class Heads:
    """The ends of streams as this store knows them, those at the back written last."""

    def __init__(self) -> None:
        self._heads: dict[str, Head] = {}

    def clear(self) -> None:
        """Somebody else has written: nothing is known any more."""
        self._heads.clear()

    def get(self, stream: str) -> Head | None:
        return self._heads.get(stream)

    def found(self, stream: str, head: Head) -> Head:
        """`head` was read."""
        self._heads[stream] = head
        return head

    def stored(self, heads: dict[str, Head]) -> None:
        """These are the ends now."""
        known = self._heads
        for stream in heads:
            # To the end: the streams at the front are those that nobody has written for longest.
            known.pop(stream, None)
        known.update(heads)
        if len(known) > CACHED_HEADS:
            for stream in list(islice(known, CACHED_HEADS // 4)):
                del known[stream]


class Plan:
    """What is to become of the submissions of one batch, once it is committed.

    Attributes:
        accepted: With the position of its last event.
        rows: Of all accepted ones, in the order of their positions, which begin after `last` as it was.
        last: The newest position with them.
    """

    __slots__ = ("accepted", "heads", "last", "refused", "rows")

    def __init__(self, last: int) -> None:
        self.accepted: list[tuple[Submission, int]] = []
        self.refused: list[tuple[Submission, VersionConflict]] = []
        self.heads: dict[str, Head] = {}
        self.rows: list[Row] = []
        self.last = last

    def add(self, submission: Submission, known: Heads, read: Callable[[str], Head], *, trust_new: bool) -> bool:
        """Take `submission` in if it fits what is there and what was taken in before it; tells whether it did.

        Args:
            read: Reads the head of a stream that is not known.
            trust_new: A stream that is said to be new is not looked up: its unique key will object if it is not.
        """
        heads = self._check(submission, known, read, trust_new)
        if isinstance(heads, VersionConflict):
            self.refused.append((submission, heads))
            return False
        self.heads.update(heads)
        self.rows += submission.rows
        self.last += len(submission.rows)
        self.accepted.append((submission, self.last))
        return True

    def _check(
        self, submission: Submission, known: Heads, read: Callable[[str], Head], trust_new: bool
    ) -> dict[str, Head] | VersionConflict:
        """The heads after `submission`, on top of those that are there and of what the batch did before it."""
        heads: dict[str, Head] = {}
        for stream, before, after in submission.changes:
            found = heads.get(stream) or self.heads.get(stream) or known.get(stream)
            if found is None:
                # Without a row to insert there is no unique key to object.
                if trust_new and before.version == 0 and after.version > 0:
                    found = EMPTY
                else:
                    found = known.found(stream, read(stream))
            # The hash, not only the version: where an event of ours failed, another may stand in its place.
            if found != before:
                return VersionConflict(stream, before.version, found.version)
            heads[stream] = after
        return heads

    def settle(self) -> None:
        """It is committed."""
        for submission, position in self.accepted:
            submission.settle(position)
        self._settle_refused()

    def fail(self, error: TreadleError) -> None:
        """Nothing of it is stored. A conflict may have been one with something that is not there now either."""
        for submission, _ in (*self.accepted, *self.refused):
            submission.fail(error)

    def lose(self, error: Callable[[Submission], TreadleError]) -> None:
        """Nobody knows whether it is stored; `error` says so of each."""
        for submission, _ in self.accepted:
            submission.fail(error(submission))
        self._settle_refused()

    def _settle_refused(self) -> None:
        for submission, conflict in self.refused:
            submission.fail(conflict)


def uncertain(submission: Submission, cause: str) -> AppendUncertain:
    """Nobody knows whether `submission` was stored."""
    streams = tuple([change.stream for change in submission.changes])
    return AppendUncertain(streams, tuple(submission.ids), cause)
