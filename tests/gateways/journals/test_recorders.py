"""Our recorders pass the test cases that eventsourcing has for its own, and its recorders read our files."""

import sqlite3
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.journal import append, calls
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    InterfaceError,
    StoredEvent,
)
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
    RecorderTestCase,
)

from treadle.events.envelope import EMPTY
from treadle.gateways.journals import sqlite_recorder
from treadle.gateways.journals.memory_recorder import MemoryRecorder
from treadle.gateways.journals.sqlite import SqliteJournal
from treadle.gateways.journals.sqlite_recorder import JournalDatastore, JournalRecorder, connect


class _WithoutIds(AggregateRecorder):
    """The library's aggregate cases want recorders that return no ids."""

    def __init__(self, recorder: ApplicationRecorder) -> None:
        self._recorder = recorder

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        self._recorder.insert_events(stored_events, **kwargs)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        return self._recorder.select_events(originator_id, gt=gt, lte=lte, desc=desc, limit=limit)


def _join_threads(before: set[threading.Thread]) -> None:
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


class _OnAFile(RecorderTestCase):
    def create_recorder(self) -> JournalRecorder:
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        datastore = JournalDatastore(Path(directory.name) / "runs.db")
        self.addCleanup(datastore.close)
        # The library's concurrency cases tell their reader threads to stop and do not wait for them.
        self.addCleanup(_join_threads, set(threading.enumerate()))
        recorder = JournalRecorder(datastore)
        recorder.create_table()
        return recorder

    def new_originator_id(self) -> str:
        return str(uuid4())


class _InMemory(RecorderTestCase):
    def create_recorder(self) -> MemoryRecorder:
        return MemoryRecorder()

    def new_originator_id(self) -> str:
        return str(uuid4())


class TestJournalRecorderAsAggregateRecorder(_OnAFile, AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:  # type: ignore[override]
        return _WithoutIds(super().create_recorder())


class TestJournalRecorder(_OnAFile, ApplicationRecorderTestCase[JournalRecorder]):
    pass


class TestJournalRecorderPositions(_OnAFile, NonInterleavingNotificationIDsBaseCase):
    pass


class TestMemoryRecorderAsAggregateRecorder(_InMemory, AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:  # type: ignore[override]
        return _WithoutIds(super().create_recorder())


class TestMemoryRecorder(_InMemory, ApplicationRecorderTestCase[MemoryRecorder]):
    pass


class TestMemoryRecorderPositions(_InMemory, NonInterleavingNotificationIDsBaseCase):
    pass


async def test_the_librarys_own_recorder_reads_a_journal(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "runs.db")
    await journal.append(append("run-1", EMPTY, *calls("a", "b")))
    events = await journal.read("run-1")
    await journal.close()
    datastore = SQLiteDatastore(str(tmp_path / "runs.db"), originator_id_type="text")
    recorder = SQLiteApplicationRecorder(datastore)
    assert [event.state for event in recorder.select_events("run-1")] == [event.stored for event in events]
    notifications = recorder.select_notifications(start=1, limit=10)
    assert [(n.id, n.originator_version, n.topic) for n in notifications] == [
        (event.position, event.version, event.type) for event in events
    ]
    datastore.close()


def test_a_recorder_conflict_is_the_librarys(tmp_path: Path) -> None:
    datastore = JournalDatastore(tmp_path / "runs.db")
    recorder = JournalRecorder(datastore)
    recorder.create_table()
    event = StoredEvent("run-1", 1, "call.requested", b"{}")
    recorder.insert_events([event])
    with pytest.raises(IntegrityError):
        recorder.insert_events([StoredEvent("run-2", 1, "call.requested", b"{}"), event])
    assert recorder.select_events("run-2") == []
    datastore.close()


class _Watched(sqlite3.Connection):
    """Knows how many of its kind are open."""

    open = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _Watched.open += 1

    def close(self) -> None:
        super().close()
        _Watched.open -= 1


def test_a_file_that_is_no_database_leaves_no_connection_open(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("pay the rent\n" * 1_000)
    before = _Watched.open
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        connect(path, factory=_Watched)
    assert _Watched.open == before


def test_a_locked_file_leaves_no_connection_of_the_pool_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_recorder, "connect", partial(connect, lock_timeout_s=0, factory=_Watched))
    holder = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
    holder.execute("CREATE TABLE stored_events (a)")
    holder.execute("BEGIN IMMEDIATE")  # others still read: only the change to WAL is refused
    before = _Watched.open
    datastore = JournalDatastore(tmp_path / "runs.db")
    with pytest.raises(InterfaceError, match="locked"):
        datastore.pool.get_connection()
    assert _Watched.open == before
    datastore.close()
    holder.close()


@pytest.mark.parametrize("recorder", [MemoryRecorder()])
def test_subscriptions_are_not_offered(recorder: ApplicationRecorder) -> None:
    with pytest.raises(NotImplementedError, match=r"Journal\.wait"):
        recorder.subscribe()
