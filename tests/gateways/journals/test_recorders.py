"""Our recorders pass the test cases that eventsourcing has for its own, and its recorders read our files."""

import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.journal import append, calls
from eventsourcing.persistence import AggregateRecorder, ApplicationRecorder, IntegrityError, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
    RecorderTestCase,
)

from treadle.events.envelope import EMPTY
from treadle.gateways.journals.memory_recorder import MemoryRecorder
from treadle.gateways.journals.sqlite import SqliteJournal
from treadle.gateways.journals.sqlite_recorder import JournalDatastore, JournalRecorder


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


@pytest.mark.parametrize("recorder", [MemoryRecorder()])
def test_subscriptions_are_not_offered(recorder: ApplicationRecorder) -> None:
    with pytest.raises(NotImplementedError, match=r"Journal\.wait"):
        recorder.subscribe()
