"""A node with the rights of an application works whole, and what it has appended it cannot change."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from archiving import archive_all
from contracts.journal import JournalContract, append, call_ids, calls
from postgres import PostgresServer, as_role, damage_row, run_sql

from treadle import Agent
from treadle.events.envelope import EMPTY
from treadle.events.errors import ConfigError, ReadOnly, TreadleError, VersionConflict
from treadle.events.journal import Journal
from treadle.gateways.journals import open_journal, postgres_schema
from treadle.gateways.journals.postgres import PostgresJournal
from treadle.gateways.journals.postgres_roles import roles_sql
from treadle.gateways.system import System
from treadle.gateways.views.postgres import SCHEMA


class TestPostgresJournalOfTheApplication(JournalContract):
    @pytest.fixture
    async def journal(self, app_url: str, postgres_url: str) -> AsyncIterator[Journal]:
        self.url = postgres_url  # to damage it, which the application cannot
        journal = await PostgresJournal.open(app_url)
        yield journal
        await journal.close()

    async def damage(
        self, journal: Journal, stream: str, version: int, change: Callable[[bytes], bytes] | None
    ) -> None:
        damage_row(self.url, stream, version, change)


async def test_a_system_with_the_rights_of_an_application_runs_and_rebuilds_its_views(
    app_url: str, tmp_path: Path
) -> None:
    async with System(journal=app_url, directory=tmp_path) as system:
        agent = system.host(Agent("support", model="echo"))
        result = await agent.run("Where is my parcel?", user_id="alice", session_id="conv-1")
        await system.projections.catch_up()
        row = await system.projections.runs.get(result.run_id)
        before = await system.projections.state_hash("runs")
        await system.projections.rebuild("runs")
        assert (row.user_id, await system.projections.state_hash("runs")) == ("alice", before)


CHANGES = (
    "UPDATE {table} SET {column} = {column}",
    "DELETE FROM {table}",
    "TRUNCATE {table}",
    "DROP TABLE {table}",
    "ALTER TABLE {table} ADD COLUMN more text",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} OWNER TO treadle_app",
    "CREATE TRIGGER hidden BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE hidden AS ON INSERT TO {table} DO INSTEAD NOTHING",
)
COLUMNS = {"stored_events": "state", "treadle_blobs": "data", "treadle_journal": "value"}


@pytest.mark.parametrize("role", ["app", "reader"])
def test_what_was_appended_cannot_be_changed(roles_url: str, role: str) -> None:
    with psycopg.connect(as_role(roles_url, role), autocommit=True) as connection:
        for table, column in COLUMNS.items():
            for change in CHANGES:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(change.format(table=table, column=column).encode())


def test_a_reader_cannot_append_past_us_either(roles_url: str) -> None:
    insert = "INSERT INTO {} SELECT * FROM {}"
    with psycopg.connect(as_role(roles_url, "reader"), autocommit=True) as connection:
        for table in (*COLUMNS, "treadle_snapshots"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(insert.format(table, table).encode())


def test_the_application_cannot_make_tables_or_become_another(app_url: str) -> None:
    for statement in ("CREATE TABLE more (a text)", "SET ROLE treadle_owner", "CREATE ROLE more"):
        with psycopg.connect(app_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


def test_every_table_of_a_journal_is_its_owners(roles_url: str) -> None:
    with psycopg.connect(roles_url) as connection:
        owners = connection.execute(
            "SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
    assert {owner for _, owner in owners} == {"treadle_owner"}
    assert {table for table, _ in owners} >= {*COLUMNS, "treadle_snapshots"}


async def test_a_reader_reads_and_is_told_that_it_may_not_append(roles_url: str, app_url: str) -> None:
    journal = await PostgresJournal.open(app_url)
    await journal.append(append("run-1", EMPTY, *calls("a")))
    await journal.close()
    reader = await PostgresJournal.open(as_role(roles_url, "reader"))
    assert await call_ids(reader, "run-1") == ["a"]
    with pytest.raises(ReadOnly, match="role 'treadle_reader' may not append"):
        reader.submit(append("run-2", EMPTY, *calls("b")))
    await reader.close()


async def test_the_owner_archives_and_the_application_reads_on_and_cannot_touch_the_catalog(
    roles_url: str, app_url: str, tmp_path: Path
) -> None:
    journal = await open_journal(app_url)
    for stream in ("run-1", "run-2", "run-3"):
        await journal.append(append(stream, EMPTY, *calls("a")))
    with pytest.raises(TreadleError):
        await archive_all(app_url, tmp_path / "archives")
    assert (await archive_all(as_role(roles_url, "owner"), tmp_path / "archives")).streams == 1
    assert [await call_ids(journal, f"run-{n}") for n in (1, 2, 3)] == [["a"]] * 3
    with pytest.raises(VersionConflict):
        await journal.append(append("run-2", EMPTY, *calls("again")))
    await journal.append(append("run-4", EMPTY, *calls("a")))
    for statement in (
        "DELETE FROM treadle_archived_streams",
        "INSERT INTO treadle_archives (directory, file) VALUES ('/', 'x')",
        "UPDATE treadle_archives SET directory = '/'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run_sql(app_url, statement)
    await journal.close()


async def test_who_owns_the_database_and_may_make_roles_needs_no_superuser(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    admin, database = f"admin_{uuid4().hex}", postgres_url.partition("@/")[2].partition("?")[0]
    postgres_server.execute(f"CREATE ROLE {admin} LOGIN CREATEROLE")
    postgres_server.execute(f"ALTER DATABASE {database} OWNER TO {admin}")
    for _ in range(2):
        run_sql(postgres_url.replace("postgres@", f"{admin}@"), *roles_sql(f"r{admin}", SCHEMA))
    journal = await PostgresJournal.open(postgres_url.replace("postgres@", f"r{admin}_app@"))
    await journal.append(append("run-1", EMPTY, *calls("a")))
    await journal.close()


# --- tables that are missing, or older -------------------------------------------------------------------------------


async def test_an_application_without_tables_is_told_what_the_owner_has_to_run(roles_url: str, app_url: str) -> None:
    run_sql(
        roles_url,
        "DROP TABLE stored_events, treadle_journal, treadle_blobs, treadle_snapshots, "
        "treadle_archives, treadle_archived_streams",
    )
    with pytest.raises(ConfigError, match=r"no journal in .*'treadle_app' may not.*`treadle postgres migrate"):
        await PostgresJournal.open(app_url)


async def test_nodes_that_open_older_tables_at_once_bring_them_up_to_date_once(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await PostgresJournal.open(postgres_url)).close()
    monkeypatch.setattr(postgres_schema, "STEPS", (*postgres_schema.STEPS, ("CREATE TABLE treadle_more (a text)",)))
    for journal in await asyncio.gather(*[PostgresJournal.open(postgres_url) for _ in range(4)]):
        await journal.close()
