"""What the journals in databases have in common: submissions are prepared here, queued, and stored by group commit.

A process that forks has to open its journal after the fork: the child's copy refuses to write.
"""

import os
import weakref

from ...actors.clock import Clock
from ...events.envelope import Position
from ...events.errors import ReadOnly, Refused, TreadleError
from ...events.journal import Append, Snapshot
from .group_commit import GroupCommit
from .submission import Submission, prepare

MAX_SUBMISSION_BYTES = 512 * 1024 * 1024


class QueuedJournal:
    """The writing half of a `Journal` whose store is a database.

    Args:
        refusal: Why nothing can be written; None when it can.
    """

    def __init__(self, name: str, owner: str, clock: Clock, commits: GroupCommit, refusal: TreadleError | None) -> None:
        self._name = name
        self._owner = owner
        self._new_ids = clock.new_ids
        self._commits = commits
        self._refusal: TreadleError | None = refusal
        _OPEN.add(self)

    @property
    def name(self) -> str:
        return self._name

    @property
    def owner(self) -> str:
        return self._owner

    @property
    def refusal(self) -> TreadleError | None:
        """Why nothing can be written: what `submit` would raise; None when it can."""
        return self._refusal

    def submit(self, *appends: Append) -> Submission:
        """As `Journal.submit`.

        Raises:
            ReadOnly, JournalTooNew: This journal can only be read.
            Unavailable: Too much is waiting, or the journal was closed.
            Refused: The submission is larger than `MAX_SUBMISSION_BYTES`.
        """
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        submission = prepare(appends, self._new_ids)
        if submission.size_bytes > MAX_SUBMISSION_BYTES:
            raise Refused(
                f"a submission of {submission.size_bytes} bytes is larger than {MAX_SUBMISSION_BYTES}; keep the data "
                "elsewhere and record where"
            )
        self._commits.submit(submission)
        return submission

    async def append(self, *appends: Append) -> Position:
        return await self.submit(*appends)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        submission = Submission(size_bytes=len(snapshot.state), snapshot=snapshot)
        self._commits.submit(submission)
        await submission

    def forked(self) -> None:
        """We are a copy in a child process: connections, locks and the writer thread are the parent's."""
        self._refusal = ReadOnly(self._name, "it was opened before this process was forked; open it again here")


_OPEN: weakref.WeakSet[QueuedJournal] = weakref.WeakSet()


def _after_fork() -> None:
    for journal in list(_OPEN):
        journal.forked()


os.register_at_fork(after_in_child=_after_fork)
