"""`treadle postgres`: the roles of a journal in PostgreSQL, and its tables."""

from typing import Annotated

import typer
from typer import Option

from ...events.errors import ConfigError
from ..journals import is_postgres
from ..postgres import connect, redacted, translated
from ..views.postgres import SCHEMA
from .command import Call, command

app = typer.Typer(help="Make the roles and tables of a journal in PostgreSQL.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Make the roles and tables of a journal in PostgreSQL."""


@command(app)
async def roles(
    call: Call,
    prefix: Annotated[str, Option(help="Roles are PREFIX_owner, PREFIX_app and PREFIX_reader.")] = "treadle",
    apply: Annotated[bool, Option("--apply", help="Run it there, as a superuser or as the database's owner.")] = False,
) -> None:
    """Print the SQL for an owner that migrates, an application that appends and reads, and a reader; or run it."""
    from ..journals.postgres_roles import NEEDS_VERSION, roles_sql

    statements = roles_sql(prefix, SCHEMA)
    if not apply:
        if call.out.json:
            call.out.object({"statements": statements})
        else:
            call.out.say("BEGIN;\n\n" + "".join(f"{statement};\n\n" for statement in statements) + "COMMIT;")
        return
    url = _url(call)
    with translated(redacted(url)), connect(url) as connection:
        if connection.info.server_version < NEEDS_VERSION:
            found = connection.info.server_version // 10000
            raise ConfigError(f"{redacted(url)} is PostgreSQL {found}; these roles need {NEEDS_VERSION // 10000}")
        with connection.transaction():
            for statement in statements:
                connection.execute(statement.encode())
    names = [f"{prefix}_{role}" for role in ("owner", "app", "reader")]
    if call.out.json:
        call.out.object({"roles": names})
    call.out.say(f"{', '.join(names)} have their rights in {redacted(url)}", "green")
    call.out.note(f"they have no password; give them one each: psql -c '\\password {names[1]}'")


@command(app)
async def migrate(call: Call) -> None:
    """Make the journal's tables, or bring them up to date, as their owner."""
    from ..journals.postgres_schema import STEPS, make_tables

    url = _url(call)
    with translated(redacted(url)), connect(url) as connection:
        format = make_tables(connection, redacted(url))
    if call.out.json:
        call.out.object({"format": format, "steps": len(STEPS)})
    call.out.say(f"the tables of {redacted(url)} are up to date", "green")


def _url(call: Call) -> str:
    if not is_postgres(call.place.own_journal):
        raise ConfigError("name the database: --journal postgresql://USER@HOST/DATABASE")
    return call.place.own_journal
