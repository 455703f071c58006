"""What a connection to PostgreSQL sets, what its errors mean, and that no password is ever told."""

import asyncio
import socket
import traceback
from importlib.machinery import ModuleSpec

import psycopg
import pytest
from postgres import PostgresServer
from psycopg import errors

from treadle.events.errors import ConfigError, ReadOnly, TreadleError, Unavailable
from treadle.gateways.journals import open_journal
from treadle.gateways.postgres import connect, redacted, require, translate, translated

SECRET = "geheim"


def test_a_connection_has_a_name_and_waits_for_nothing_for_ever(postgres_url: str) -> None:
    with connect(postgres_url) as connection:
        assert connection.autocommit
        assert connection.info.get_parameters()["application_name"] == "treadle"
        assert connection.execute("SELECT current_setting('lock_timeout')").fetchone() == ("10s",)
        assert connection.execute("SHOW statement_timeout").fetchone() == ("20s",)
        assert connection.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("3s",)


def test_what_the_url_says_stands(postgres_url: str) -> None:
    with connect(f"{postgres_url}&application_name=alice", autocommit=False) as connection:
        assert not connection.autocommit
        assert connection.info.get_parameters()["application_name"] == "alice"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://alice:geheim@db:5432/runs", "postgresql://db:5432/runs"),
        ("postgresql://alice:geheim@db1,db2/runs?sslmode=require", "postgresql://db1,db2/runs"),
        ("postgresql://db/runs?user=alice&password=geheim", "postgresql://db/runs"),
        ("postgresql:///runs?host=/tmp/pg&password=geheim", "postgresql:///runs?host=/tmp/pg"),
        ("postgresql://alice:ge@heim@db/runs", "postgresql://db/runs"),
        ("postgresql://alice:ge?heim@db/runs", "postgresql://db/runs"),
        ("postgresql://alice:geh/eim@db/runs", "postgresql://…"),
        ("postgresql://db/runs?password=geh@eim", "postgresql://…"),
        ("host=db password=geheim", "postgresql://…"),
    ],
)
def test_a_url_is_shown_without_user_and_password(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://alice:{SECRET}@127.0.0.1:1/runs",
        f"postgresql://alice:{SECRET}/x@127.0.0.1:1/runs",
        f"postgresql://alice:x@{SECRET}@127.0.0.1:1/runs",
        f"postgresql://alice:%zz{SECRET}@127.0.0.1:1/runs",
        f"postgresql://alice@127.0.0.1:1/runs?password={SECRET}&unknown={SECRET}",
        f"host=127.0.0.1 port=1 password={SECRET}",
    ],
)
def test_an_error_while_connecting_does_not_tell_the_password(url: str) -> None:
    with pytest.raises((Unavailable, ConfigError)) as told:
        connect(url)
    assert SECRET not in "".join(traceback.format_exception(told.value)).replace(url, "")


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"postgresql://127\.0\.0\.1:1/runs is unavailable: .*refused.*; retry after"):
        connect("postgresql://alice@127.0.0.1:1/runs")


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Unavailable, match="timeout"):
            connect(f"postgresql://alice@127.0.0.1:{port}/runs?connect_timeout=2")


def test_a_database_or_a_user_that_does_not_exist_is_to_be_fixed(postgres_server: PostgresServer) -> None:
    with pytest.raises(ConfigError, match='database "nowhere" does not exist'):
        connect(postgres_server.url("nowhere"))
    with pytest.raises(ConfigError, match='role "nobody" does not exist'):
        connect(postgres_server.url().replace("postgres@", f"nobody:{SECRET}@"))


def test_a_url_that_does_not_parse_is_told_how_to_write_it() -> None:
    with pytest.raises(ConfigError, match="%2F for /"):
        connect("postgresql://alice:a/b@db/runs")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.AdminShutdown("terminating connection"), Unavailable),
        (errors.CannotConnectNow("starting up"), Unavailable),
        (errors.TooManyConnections("too many clients"), Unavailable),
        (errors.DiskFull("no space"), Unavailable),
        (errors.LockNotAvailable("lock timeout"), Unavailable),
        (errors.DeadlockDetected("deadlock"), Unavailable),
        (errors.SerializationFailure("could not serialize"), Unavailable),
        (errors.IdleInTransactionSessionTimeout("idle"), Unavailable),
        (errors.InternalError_("cache lookup failed"), Unavailable),
        (psycopg.OperationalError("server closed the connection unexpectedly"), Unavailable),
        (psycopg.InterfaceError("the connection is closed"), Unavailable),
        (psycopg.OperationalError('FATAL: password authentication failed for user "alice"'), ConfigError),
        (psycopg.OperationalError("FATAL: no pg_hba.conf entry for host"), ConfigError),
        (errors.ReadOnlySqlTransaction("cannot execute INSERT"), Unavailable),
        (errors.InsufficientPrivilege("permission denied for table"), ReadOnly),
        (errors.UndefinedTable("relation does not exist"), ConfigError),
        (errors.SyntaxError("syntax error"), ConfigError),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_is_translated_by_what_to_do_next(error: psycopg.Error, kind: type[TreadleError]) -> None:
    assert type(translate(error, "the journal")) is kind
    with pytest.raises(kind, match="the journal") as told, translated("the journal"):
        raise error
    assert told.value.__cause__ is error


async def test_who_is_cancelled_while_a_connection_becomes_free_is_cancelled(postgres_url: str) -> None:
    journal = await open_journal(postgres_url)

    async def look() -> None:
        while True:
            await journal.last_position()

    for turns in range(10):
        looking = asyncio.create_task(look())
        for _ in range(turns):
            await asyncio.sleep(0)
        await journal.last_position()  # there is one connection: the other one gets it now
        looking.cancel()
        done, _ = await asyncio.wait((looking,), timeout=5.0)
        assert done and looking.cancelled(), f"cancelled after {turns} turns of the loop, it goes on"
    await journal.close()


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr("treadle.gateways.postgres.find_spec", nothing)
    with pytest.raises(ConfigError, match=r'pip install "treadle\[postgres\]"'):
        require()
