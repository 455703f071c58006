"""`treadle audit` over a journal in PostgreSQL: sealed by each node with a key of its own, which is in no database."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from postgres import run_sql
from typer.testing import Result

from treadle import Agent
from treadle.gateways.system import System

Invoke = Callable[..., Result]


async def record(url: str, directory: Path, *prompts: str) -> None:
    async with System(journal=url, directory=directory) as system:
        agent = system.host(Agent("support", model="echo"))
        for prompt in prompts:
            await agent.run(prompt, user_id="alice", session_id="conv-1")
        await system.projections.catch_up()


@pytest.fixture
def sealed(postgres_url: str, tmp_path: Path) -> str:
    """A journal that a node has written and sealed, whose directory is the current one's `.treadle`."""
    asyncio.run(record(postgres_url, tmp_path / ".treadle", "one", "two"))
    return postgres_url


@pytest.fixture
def audit(invoke: Invoke, sealed: str) -> Callable[..., Result]:
    return lambda *args: invoke("audit", *args, "--journal", sealed, "--json")


Audit = Callable[..., Result]


def key_of(directory: Path) -> str:
    [file] = directory.glob("*.audit.key.pub")
    return file.read_text().strip()


def test_a_whole_journal_is_verified_as_signed(audit: Audit) -> None:
    answer = json.loads(audit("verify").stdout)
    assert (answer["ok"], answer["signed"]) == (True, True)
    assert answer["seals"] >= 1


def test_an_end_that_was_cut_off_journal_and_views_alike_is_found(audit: Audit, sealed: str) -> None:
    run_sql(
        sealed,
        "DELETE FROM stored_events WHERE notification_id > 4",
        "DROP SCHEMA treadle_views CASCADE",
    )
    found = audit("verify")
    assert found.exit_code == 1
    assert {finding["damage"] for finding in json.loads(found.stdout)["findings"]} == {"truncated"}


def test_an_export_is_signed_here_and_verified_with_the_key_alone(audit: Audit, invoke: Invoke, tmp_path: Path) -> None:
    key = json.loads(audit("export", "audit.jsonl").stdout)["public_key"]
    assert key == key_of(tmp_path / ".treadle")
    assert invoke("audit", "verify", "--export", "audit.jsonl", "--public-key", key).exit_code == 0
    edited = Path("audit.jsonl").read_text().replace("user:alice", "user:nobody")
    Path("audit.jsonl").write_text(edited)
    assert invoke("audit", "verify", "--export", "audit.jsonl", "--public-key", key).exit_code == 1


def test_each_node_is_a_witness_with_a_key_of_its_own(audit: Audit, sealed: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    asyncio.run(record(sealed, other, "three"))
    assert key_of(other) != key_of(tmp_path / ".treadle")
    [seals] = other.glob("*.audit.seals")
    assert audit("verify", "--seals", str(seals), "--public-key", key_of(other)).exit_code == 0
    assert audit("verify", "--seals", str(seals), "--public-key", key_of(tmp_path / ".treadle")).exit_code == 1
    assert "give --public-key" in audit("verify", "--seals", str(seals)).stderr
    assert audit("verify", "--directory", str(other)).exit_code == 0


def test_seals_that_are_not_there_are_no_reason_to_be_content(audit: Audit) -> None:
    missing = audit("verify", "--seals", "nowhere.seals")
    assert (missing.exit_code, "no file of seals" in missing.stderr) == (1, True)


def test_neither_the_key_nor_a_seal_is_in_the_database(sealed: str, tmp_path: Path) -> None:
    [private] = (tmp_path / ".treadle").glob("*.audit.key")
    assert private.stat().st_mode & 0o777 == 0o600
    secret = private.read_text().splitlines()[1]
    with psycopg.connect(sealed) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname IN ('public', 'treadle_views')"
        ).fetchall()
        assert len(tables) > 5
        for (table,) in tables:
            rows = connection.execute(f"SELECT t::text FROM {table} t".encode()).fetchall()
            assert not [row for (row,) in rows for text in (secret, key_of(tmp_path / ".treadle")) if text in row]
