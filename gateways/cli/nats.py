"""`treadle nats auth`: accounts and keys for a NATS server that several tenants use."""

from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct
from typer import Argument, Option

from ..broker.auth import account_of
from ..broker.auth_files import AuthFiles, Made
from .command import Call, command
from .output import Columns

app = typer.Typer(help="Make accounts for tenants on a NATS server: who may do what.", no_args_is_help=True)
auth = typer.Typer(help="Make, change and show the accounts and their keys.", no_args_is_help=True)
app.add_typer(auth, name="auth")

New = Annotated[bool, Option("--new-key", help="Replace the key: the old one is void once the server has reloaded.")]


class AccountRow(Struct, frozen=True):
    """One account.

    Attributes:
        user_id: The tenant; empty in the account of the nodes.
        worker, tools: The worker whose key this is, and what it may offer; empty for tenants and nodes.
        seed_file: Where the seed was written.
        seed_here: Whether it is still there; the server does not need it.
    """

    account: str
    user_id: str
    public_key: str
    seed_file: str
    seed_here: bool
    worker: str = ""
    tools: tuple[str, ...] = ()


@app.callback()
def group() -> None:
    """Make accounts for tenants on a NATS server: who may do what."""


@auth.callback()
def auth_group() -> None:
    """Make, change and show the accounts and their keys."""


@command(auth)
async def init(call: Call, new_key: New = False) -> None:
    """Make the account of the nodes, and the file for the server to include; what is there stays."""
    files = _files(call)
    namespace = call.place.own_namespace
    made = files.init(namespace, new_key=new_key)
    _tell(call, files, made, account_of(namespace), "the nodes")


@command(auth, "add-user")
async def add_user(
    call: Call, user: Annotated[str, Argument(help="The user id, as in subjects.")], new_key: New = False
) -> None:
    """Give a tenant an account and a key; one that has them keeps them."""
    files = _files(call)
    made = files.add_user(user, new_key=new_key)
    _tell(call, files, made, account_of(files.read().namespace, user), f"user {user!r}")


@command(auth, "remove-user")
async def remove_user(call: Call, user: Annotated[str, Argument(help="The user id.")]) -> None:
    """Take a tenant's account away; what it did stays in the journal."""
    files = _files(call)
    seed = files.remove_user(user)
    if call.out.json:
        call.out.object({"removed": user, "config": str(files.config_path), "seed_file": str(seed)})
    call.out.say(f"user {user!r} has no account any more")
    _remind(call, files)


@command(auth, "add-worker")
async def add_worker(
    call: Call,
    name: Annotated[str, Argument(help="What you call the worker.")],
    tool: Annotated[list[str], Option(help="A tool that it may offer; once for each.")],
    new_key: New = False,
) -> None:
    """Give a worker a key with which it can offer these tools, and do nothing else."""
    files = _files(call)
    made = files.add_worker(name, tool, new_key=new_key)
    _tell(call, files, made, account_of(files.read().namespace), f"worker {name!r}")


@command(auth, "remove-worker")
async def remove_worker(call: Call, name: Annotated[str, Argument(help="The worker's name.")]) -> None:
    """Let a worker in no more."""
    files = _files(call)
    seed = files.remove_worker(name)
    if call.out.json:
        call.out.object({"removed": name, "config": str(files.config_path), "seed_file": str(seed)})
    call.out.say(f"worker {name!r} is not let in any more")
    _remind(call, files)


@command(auth)
async def show(call: Call) -> None:
    """List the accounts with their public keys and where their seeds are."""
    files = _files(call)
    accounts = files.read()
    rows = [_row(account_of(accounts.namespace), "", accounts.system, files.system_key)]
    for user_id, key in sorted(accounts.tenants.items()):
        rows.append(_row(account_of(accounts.namespace, user_id), user_id, key, files.user_key(user_id)))
    for name, worker in sorted(accounts.workers.items()):
        seed = files.worker_key(name)
        rows.append(
            AccountRow(account_of(accounts.namespace), "", worker.key, str(seed), seed.exists(), name, worker.tools)
        )
    call.out.rows(rows, COLUMNS)


def _files(call: Call) -> AuthFiles:
    return AuthFiles(call.place.directory / "auth")


def _row(account: str, user_id: str, public_key: str, seed: Path) -> AccountRow:
    return AccountRow(account, user_id, public_key, str(seed), seed.exists())


def _tell(call: Call, files: AuthFiles, made: Made, account: str, who: str) -> None:
    """Where the key is; never the key."""
    if call.out.json:
        call.out.object(
            {
                "account": account,
                "public_key": made.public_key,
                "new": made.new,
                "seed_file": str(made.path),
                "config": str(files.config_path),
            }
        )
    if made.new:
        call.out.say(f"a new key for {who} is in {made.path}; hand it to nobody else", "green")
    else:
        call.out.say(f"{who} has a key already, which stays: {made.public_key}")
    _remind(call, files)


def _remind(call: Call, files: AuthFiles) -> None:
    call.out.note(
        f"include {files.config_path} in the server's configuration; `nats-server --signal reload`, twice, reads it"
    )


COLUMNS: Columns[AccountRow] = {
    "account": lambda row: row.account,
    "user": lambda row: row.user_id or (f"worker {row.worker}: {', '.join(row.tools)}" if row.worker else "the nodes"),
    "public key": lambda row: row.public_key,
    "seed": lambda row: row.seed_file if row.seed_here else "not here",
}
