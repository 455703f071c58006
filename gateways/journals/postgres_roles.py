"""Who may do what with a journal on PostgreSQL: three roles, as the SQL that makes them.

    owner   makes the tables and changes them, archives, repairs
    app     what a node needs: appends, reads, keeps the views
    reader  looks

What is appended stands: the application can neither update nor delete, truncate, alter nor drop it, whatever is in its
code or was put into it. No trigger guards the table besides. It would have to let the archive through, the owner could
drop it, and what an owner changes is found by the audit.

`MAINTAIN` is the right to take the lock under which positions are drawn without the right to change rows. PostgreSQL
has it from version 17 on.
"""

import re
from collections.abc import Sequence

from ...events.errors import ConfigError
from .postgres_archived import NAMES as ARCHIVE_TABLES
from .postgres_schema import EVENTS, STEPS, taken

NEEDS_VERSION = 170000

_TABLES = (EVENTS, "treadle_journal", "treadle_blobs", "treadle_snapshots", *ARCHIVE_TABLES)
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")


def roles_sql(prefix: str, views: str) -> Sequence[str]:
    """The statements, for a superuser, or for the owner of the database who may make roles (`CREATEROLE`).

    They may be repeated, and make the tables where there are none.

    Args:
        prefix: The roles are `<prefix>_owner`, `<prefix>_app` and `<prefix>_reader`. They have no password.
        views: The schema of the views, which the application may drop and fold anew.
    Raises:
        ConfigError: `prefix` is not a plain name.
    """
    if not _NAME.fullmatch(prefix):
        raise ConfigError(f"role prefix {prefix!r} is no plain name; use a-z, 0-9 and _")
    owner, app, reader = (f"{prefix}_{role}" for role in ("owner", "app", "reader"))
    tables = ", ".join(_TABLES)
    return (
        *(_role(name) for name in (owner, app, reader)),
        # Only a member may give things to a role. Who is no superuser stays one, as they could make themselves anyway.
        "DO $$ BEGIN IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) "
        f"THEN GRANT {owner}, {app} TO CURRENT_USER; END IF; END $$",
        *(statement for step in STEPS for statement in step),
        taken(len(STEPS)),
        # What is made is the owner's. It migrates, so it may make more.
        f"GRANT USAGE, CREATE ON SCHEMA public TO {owner}",
        f"GRANT USAGE ON SCHEMA public TO {app}, {reader}",
        *(f"ALTER TABLE {table} OWNER TO {owner}" for table in _TABLES),
        f"ALTER TYPE stored_event_text OWNER TO {owner}",
        f"ALTER FUNCTION es_insert_events_text(stored_event_text[]) OWNER TO {owner}",
        f"REVOKE ALL ON {tables} FROM PUBLIC, {app}, {reader}",
        # The application appends, draws positions, and keeps a cache.
        f"GRANT SELECT ON {tables} TO {app}, {reader}",
        f"GRANT INSERT, MAINTAIN ON {EVENTS} TO {app}",
        f"GRANT SELECT, UPDATE ON SEQUENCE {EVENTS}_notification_id_seq TO {app}",
        f"GRANT INSERT ON treadle_blobs TO {app}",
        f"GRANT INSERT, UPDATE ON treadle_snapshots TO {app}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO {app}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT SELECT ON TABLES TO {reader}",
        # The views are a cache of the journal, and the application's own.
        f"CREATE SCHEMA IF NOT EXISTS {views}",
        f"ALTER SCHEMA {views} OWNER TO {app}",
        f"DO $$ DECLARE name text; BEGIN FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = '{views}' "
        f"LOOP EXECUTE format('ALTER TABLE {views}.%I OWNER TO {app}', name); END LOOP; END $$",
        f"GRANT USAGE ON SCHEMA {views} TO {reader}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {views} TO {reader}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {app} IN SCHEMA {views} GRANT SELECT ON TABLES TO {reader}",
    )


def _role(name: str) -> str:
    return f"DO $$ BEGIN CREATE ROLE {name} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
