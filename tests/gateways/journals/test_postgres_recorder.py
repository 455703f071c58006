"""The tables of a journal on PostgreSQL pass the test cases that eventsourcing has for its recorders.

Left out, because we have nothing they could be run against: tracking and process recorders (a checkpoint lies beside
the rows of its projection), snapshots of the library (ours are a table of their own), factories, mappers and
transcoders (one codec, JSON). Our own writer is no recorder, and is held to the journal's contract instead.
"""

import threading
from uuid import uuid4

import pytest
from eventsourcing.persistence import AggregateRecorder
from eventsourcing.postgres import PostgresAggregateRecorder, PostgresDatastore
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
    RecorderTestCase,
)

from treadle.gateways.journals.postgres_schema import EVENTS, JournalRecorder, datastore, make_tables
from treadle.gateways.postgres import connect


class _OnAJournal(RecorderTestCase):
    @pytest.fixture(autouse=True)
    def _place(self, postgres_url: str) -> None:
        self.url = postgres_url

    def datastore(self) -> PostgresDatastore:
        """On the tables that our steps have made, which the library makes none of."""
        with connect(self.url) as connection:
            make_tables(connection, "the journal")
        store = datastore(self.url)
        self.addCleanup(store.close)
        # The library's concurrency cases tell their reader threads to stop and do not wait for them.
        self.addCleanup(_join_threads, set(threading.enumerate()))
        return store

    def create_recorder(self) -> JournalRecorder:
        return JournalRecorder(self.datastore())

    def new_originator_id(self) -> str:
        return str(uuid4())


def _join_threads(before: set[threading.Thread]) -> None:
    for thread in set(threading.enumerate()) - before:
        if not thread.name.startswith("pool-"):  # psycopg's, which end with the datastore
            thread.join(10)
            assert not thread.is_alive()


class TestAggregateRecorder(_OnAJournal, AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:  # type: ignore[override]
        return PostgresAggregateRecorder(self.datastore(), events_table_name=EVENTS)


class TestApplicationRecorder(_OnAJournal, ApplicationRecorderTestCase[JournalRecorder]):
    pass


class TestPositions(_OnAJournal, NonInterleavingNotificationIDsBaseCase):
    pass
