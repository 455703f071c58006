"""The files of `treadle nats auth`: one directory, from which the server takes its accounts and clients their keys.

    accounts.json         what was decided: the namespace, and public keys
    accounts.conf         made of it, for the server's configuration to include
    keys/system.nk        the seed of the nodes, mode 0600
    keys/users/<user>.nk  the seed of a tenant, to be handed to it; the server does not need it here
    keys/workers/<name>.nk  the seed of a worker, likewise

A key is written before it is named anywhere, so who is interrupted repeats the command: a key that is there is taken,
and never overwritten unless a new one is asked for.
"""

import fcntl
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import msgspec
from msgspec import structs

from ...events.errors import ConfigError, NotFound
from ...events.subjects import escape
from ..arguments import check_text
from .auth import Accounts, WorkerKey, check_tenant, server_config
from .credentials import Credentials
from .nkey import UserKey


class Made(NamedTuple):
    """What became of one key: whether it is new, and where its seed is."""

    public_key: str
    path: Path
    new: bool


class AuthFiles:
    """The directory of one namespace's accounts. One process changes it at a time; `OSError` is not translated."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __repr__(self) -> str:
        return f"<AuthFiles {self.directory}>"

    @property
    def config_path(self) -> Path:
        return self.directory / "accounts.conf"

    @property
    def system_key(self) -> Path:
        return self.directory / "keys" / "system.nk"

    def user_key(self, user_id: str) -> Path:
        return self.directory / "keys" / "users" / f"{escape(user_id)}.nk"

    def worker_key(self, name: str) -> Path:
        return self.directory / "keys" / "workers" / f"{escape(name)}.nk"

    def init(self, namespace: str, *, new_key: bool = False) -> Made:
        """Make the accounts of `namespace`, with no tenants; those that are there stay.

        Raises:
            ConfigError: They are another namespace's, or a file is damaged.
        """
        with self._changing():
            found = self._read()
            if found is not None and found.namespace != namespace:
                raise ConfigError(
                    f"{str(self.directory)!r} holds the accounts of namespace {found.namespace!r}, not {namespace!r}; "
                    "give each namespace a directory of its own"
                )
            made = _key(self.system_key, found.system if found is not None else "", new_key)
            known = found or Accounts(system="", namespace=namespace)
            self._write(structs.replace(known, system=made.public_key))
        return made

    def add_user(self, user_id: str, *, new_key: bool = False) -> Made:
        """Give a tenant an account; one that has it keeps its key, unless `new_key`: then the old one is void.

        Raises:
            ConfigError: There are no accounts yet, or `user_id` cannot be a tenant.
        """
        check_tenant(user_id)
        with self._changing():
            accounts = self.read()
            made = _key(self.user_key(user_id), accounts.tenants.get(user_id, ""), new_key)
            self._write(structs.replace(accounts, tenants={**accounts.tenants, user_id: made.public_key}))
        return made

    def remove_user(self, user_id: str) -> Path:
        """Take a tenant's account away, and its seed if it is here.

        Raises:
            NotFound: There is no such tenant.
        """
        with self._changing():
            accounts = self.read()
            if user_id not in accounts.tenants:
                raise NotFound("tenant", user_id, f"there are {', '.join(sorted(accounts.tenants)) or 'none'}")
            rest = {known: key for known, key in accounts.tenants.items() if known != user_id}
            self._write(structs.replace(accounts, tenants=rest))
            self.user_key(user_id).unlink(missing_ok=True)
        return self.user_key(user_id)

    def add_worker(self, name: str, tools: Sequence[str], *, new_key: bool = False) -> Made:
        """Let a worker offer these tools and no others; one that is known keeps its key, unless `new_key`.

        Raises:
            ConfigError: There are no accounts yet, or it has no name or no tools.
        """
        check_text("name", name)
        if not name or not tools:
            raise ConfigError("a worker needs a name and a tool that it may offer")
        with self._changing():
            accounts = self.read()
            known = accounts.workers.get(name)
            made = _key(self.worker_key(name), known.key if known is not None else "", new_key)
            worker = WorkerKey(made.public_key, tuple(dict.fromkeys(tools)))
            self._write(structs.replace(accounts, workers={**accounts.workers, name: worker}))
        return made

    def remove_worker(self, name: str) -> Path:
        """Let a worker in no more; its seed goes if it is here.

        Raises:
            NotFound: There is no such worker.
        """
        with self._changing():
            accounts = self.read()
            if name not in accounts.workers:
                raise NotFound("worker", name, f"there are {', '.join(sorted(accounts.workers)) or 'none'}")
            rest = {known: worker for known, worker in accounts.workers.items() if known != name}
            self._write(structs.replace(accounts, workers=rest))
            self.worker_key(name).unlink(missing_ok=True)
        return self.worker_key(name)

    def read(self) -> Accounts:
        """What was decided.

        Raises:
            ConfigError: Nothing, so far; or the file is damaged.
        """
        found = self._read()
        if found is None:
            raise ConfigError(f"there are no accounts in {str(self.directory)!r}; `treadle nats auth init` makes them")
        return found

    def _read(self) -> Accounts | None:
        path = self.directory / "accounts.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Accounts)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as exc:
            raise ConfigError(f"{path} is damaged ({exc}); restore it: it says which keys the server knows") from exc

    def _write(self, accounts: Accounts) -> None:
        text = msgspec.json.format(msgspec.json.encode(accounts), indent=2) + b"\n"
        _replace(self.directory / "accounts.json", text, 0o644)
        _replace(self.config_path, server_config(accounts).encode(), 0o644)

    @contextmanager
    def _changing(self) -> Generator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _key(path: Path, known: str, new_key: bool) -> Made:
    """The key in `path`, or a new one: where there is none, or it is wanted."""
    if known and not new_key:
        return Made(known, path, False)  # its seed may have been handed out and removed here
    if path.exists() and not new_key:
        return Made(Credentials.read(path).key.public, path, False)
    key = UserKey.generate()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _replace(path, f"{key.seed}\n".encode(), 0o600)
    return Made(key.public, path, True)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write in one step: who reads it finds the old file or the new one, and no seed is ever readable by others."""
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
