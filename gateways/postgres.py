"""What the journal and the views in PostgreSQL have in common: connections, and what their errors mean.

A URL carries a password, so nothing here tells it on: messages show `redacted(url)`, and the words of libpq about a URL
that it cannot parse, which quote it, are left out.

psycopg is an extra. It is loaded by whoever connects and not by whoever imports this module.
"""

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from ..events.errors import ConfigError, ReadOnly, TreadleError, Unavailable

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 10.0
"""How long a statement waits for the locks of other connections."""

STATEMENT_TIMEOUT_S = 20.0
"""How long a statement may take before the server ends it."""

IDLE_TIMEOUT_S = 3.0
"""How long a transaction may stand still, with its locks, before the server ends it: its process may be paused.

Less than others wait for the lock of the journal's writers, so that they lose nothing by it.
"""

_SHOWN = frozenset({"host", "port", "dbname"})

_DEFAULTS: dict[str, str | int] = {
    "application_name": "treadle",
    "connect_timeout": CONNECT_TIMEOUT_S,
    "client_encoding": "UTF8",
    "target_session_attrs": "primary",  # of several hosts, the one that takes writes after a failover
    # A server that vanished without a word is noticed after about as long as one that does not accept connections.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": (
        f"-c lock_timeout={LOCK_TIMEOUT_S * 1000:.0f} "
        f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000:.0f} "
        f"-c idle_in_transaction_session_timeout={IDLE_TIMEOUT_S * 1000:.0f}"
    ),
}
"""Parameters of a connection where the URL says nothing else."""

_WAIT: dict[str, tuple[str, float]] = {
    "08": ("the connection failed", 1.0),
    "40": ("another transaction was in the way", 0.1),
    "53": ("the server is out of disk, memory or connections", 5.0),
    "55": ("another connection holds a lock", 0.1),
    "57": ("the server ended the session", 1.0),
    "58": ("the server's disk does not serve", 5.0),
    "XX": ("the server failed", 5.0),
    "25006": ("the server takes no writes now: it is a standby, or was made read-only", 1.0),
    "25P03": ("a transaction stood still for too long, and the server ended it", 0.1),
    "25P04": ("a transaction took too long, and the server ended it", 1.0),
}
"""By SQLSTATE or its class: why nothing was served, and when to try again."""

_READ_ONLY = frozenset({"42501"})

_MISCONFIGURED = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|(role|database) \".*\" (does not exist|is not permitted)"
    r"|permission denied for database|does not support SSL|certificate|root\.crt|private key|invalid [\w ]*value"
    r"|invalid (port|integer)|unsupported frontend protocol|GSSAPI|SCRAM",
    re.IGNORECASE,
)
"""Refusals of a connection that waiting does not change. libpq gives no SQLSTATE for them, only words."""


_DIRECT = "use the URL of the server itself: Treadle listens, holds locks in its sessions, and pools by itself"


def require() -> None:
    """Raises `ConfigError` with the command that installs psycopg, when it is missing."""
    if find_spec("psycopg") is None:
        raise ConfigError('PostgreSQL needs psycopg: pip install "treadle[postgres]"')


def redacted(url: str) -> str:
    """Host, port and database of `url`, and no more; less still when it is unclear where the password ends."""
    scheme, separator, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    if not separator or "@" in path:
        return "postgresql://…"
    host, _, query = authority.rpartition("@")[2].partition("?")
    database, _, more = path.partition("?")
    shown = urlencode([(name, value) for name, value in parse_qsl(query or more) if name in _SHOWN], safe="/:,")
    return f"{scheme}://{host}/{database}{'?' if shown else ''}{shown}"


def database_name(url: str) -> str:
    """The database that `url` names, or the one that libpq would take."""
    require()
    from psycopg.conninfo import conninfo_to_dict

    given = conninfo_to_dict(conninfo(url))
    return str(given.get("dbname") or os.environ.get("PGDATABASE") or given.get("user") or "postgres")


def connect(url: str, *, autocommit: bool = True) -> "psycopg.Connection":
    """A new connection; `url` overrides what is set here by default.

    Raises:
        Unavailable: The server cannot be reached, is starting, or has no connection left.
        ConfigError: psycopg is missing, the URL does not parse, or the server does not let this user in.
    """
    given = conninfo(url)
    import psycopg

    from .postgres_calls import Connection

    try:
        return Connection.connect(given, autocommit=autocommit)
    except psycopg.Error as exc:
        raise translate(exc, redacted(url)) from exc


def check_direct(connection: "psycopg.Connection", name: str) -> None:
    """A session belongs to us alone: who listens, and whose locks say that they are alive, must not share it.

    A pooler gives each client a process id of its own making. One that hands a session from transaction to transaction
    cannot be told from one that does not, and in neither is there anything to gain: nodes pool by themselves.

    Raises:
        ConfigError: There is a pooler in between.
    """
    row = connection.execute(b"SELECT pg_backend_pid()").fetchone()
    if row is not None and row[0] != connection.info.backend_pid:
        raise ConfigError(f"{name} is reached through a pooler (PgBouncer?); {_DIRECT}")


def conninfo(url: str) -> str:
    """What a connection to `url` is made with: the URL, and our defaults for what it does not say.

    Raises:
        ConfigError: psycopg is missing, or the URL does not parse.
    """
    require()
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    name = redacted(url)
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        raise _no_url(name) from None
    if "@" in f"{given.get('host')}{given.get('dbname')}" or not re.fullmatch(r"[\d,]*", str(given.get("port", ""))):
        raise _no_url(name)  # a piece of the password, which the words of a failed connection would quote
    absent = {key: value for key, value in _DEFAULTS.items() if key not in given}
    return make_conninfo(url, **absent)


def _no_url(name: str) -> ConfigError:
    return ConfigError(
        f"{name} is no URL that PostgreSQL takes; use postgresql://USER:PASSWORD@HOST:PORT/DATABASE, and write the "
        "special characters of a password as %40 for @, %2F for /, %25 for %"
    )


def translate(exc: "psycopg.Error", name: str) -> TreadleError:
    """What the caller of PostgreSQL can do about `exc`; `name` is what did not serve, without secrets.

    A statement that is wrong in itself is a `ConfigError`: only another program helps.
    """
    from psycopg import InterfaceError, OperationalError

    why = " ".join(str(exc).split()) or type(exc).__name__
    state = exc.sqlstate or ""
    if "unsupported startup parameter" in why:  # PgBouncer's words
        return ConfigError(f"{name}: {why}; {_DIRECT}")
    if state in _READ_ONLY:
        return ReadOnly(name, why)
    if wait := _WAIT.get(state) or _WAIT.get(state[:2]):
        return Unavailable(name, f"{wait[0]} ({why})", wait[1])
    if not state and isinstance(exc, OperationalError | InterfaceError) and not _MISCONFIGURED.search(why):
        return Unavailable(name, why)
    return ConfigError(f"{name}: {why}")


@contextmanager
def translated(name: str) -> Generator[None]:
    """Nothing of psycopg's leaves this block."""
    import psycopg

    try:
        yield
    except psycopg.Error as exc:
        raise translate(exc, name) from exc
