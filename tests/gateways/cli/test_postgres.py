"""`treadle postgres`: roles that are printed or made, and tables that their owner brings up to date."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from contracts.journal import append, calls
from postgres import as_role, run_sql
from typer.testing import Result

from treadle import Agent
from treadle.events.envelope import EMPTY
from treadle.events.errors import ConfigError
from treadle.gateways.journals import postgres_schema
from treadle.gateways.journals.postgres import PostgresJournal
from treadle.gateways.system import System

Invoke = Callable[..., Result]


def test_the_sql_is_printed_for_whoever_may_run_it_and_may_be_run_twice(postgres_url: str, invoke: Invoke) -> None:
    printed = invoke("postgres", "roles", "--prefix", "desk").stdout
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for _ in range(2):
            connection.execute(printed.encode())
        found = connection.execute("SELECT has_table_privilege('desk_app', 'stored_events', 'DELETE')").fetchone()
    assert found == (False,)


async def test_roles_are_applied_to_a_journal_and_views_that_are_there(
    postgres_url: str, invoke: Invoke, tmp_path: Path
) -> None:
    async with System(journal=postgres_url, directory=tmp_path) as system:
        agent = system.host(Agent("support", model="echo"))
        first = await agent.run("Where is my parcel?", session_id="conv-1")
    for _ in range(2):
        answer = await asyncio.to_thread(invoke, "postgres", "roles", "--apply", "--journal", postgres_url)
        assert answer.exit_code == 0, answer.stderr
        assert "treadle_app" in answer.stdout
    async with System(journal=as_role(postgres_url, "app"), directory=tmp_path) as system:
        await system.projections.rebuild("runs")
        assert (await system.projections.runs.get(first.run_id)).state == "completed"
        listed = await asyncio.to_thread(invoke, "runs", "--json", "--journal", as_role(postgres_url, "reader"))
    assert first.run_id in listed.stdout


@pytest.mark.parametrize("prefix", ["", "x; DROP TABLE y", "Treadle", "a-b"])
def test_a_prefix_that_is_no_name_is_refused(prefix: str, invoke: Invoke) -> None:
    answer = invoke("postgres", "roles", "--prefix", prefix)
    assert answer.exit_code == 1
    assert "no plain name" in answer.stderr


def test_a_command_without_a_database_says_how_to_name_one(invoke: Invoke) -> None:
    for args in (("migrate",), ("roles", "--apply")):
        answer = invoke("postgres", *args)
        assert (answer.exit_code, "postgresql://USER@HOST/DATABASE" in answer.stderr) == (1, True)


async def test_older_tables_are_brought_up_to_date_once_and_by_their_owner(
    roles_url: str, app_url: str, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    step = ("CREATE TABLE treadle_more (a text)",)  # fails when it is taken twice
    monkeypatch.setattr(postgres_schema, "STEPS", (*postgres_schema.STEPS, step))
    with pytest.raises(ConfigError, match=r"older than this Treadle.*`treadle postgres migrate --journal"):
        await PostgresJournal.open(app_url)
    for _ in range(2):
        answer = await asyncio.to_thread(invoke, "postgres", "migrate", "--journal", as_role(roles_url, "owner"))
        assert answer.exit_code == 0, answer.stderr
    journal = await PostgresJournal.open(app_url)
    await journal.append(append("run-1", EMPTY, *calls("a")))
    await journal.close()
    run_sql(app_url, "INSERT INTO treadle_more VALUES ('the application may')")
