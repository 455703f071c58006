"""Who may do what on a NATS server: an account for the nodes, one for each tenant, as configuration of the server.

In its own account a client may say and hear what it likes; nobody else is there. What crosses the border is listed
here, and nothing else does: a tenant's signals and questions go out, its events, live chunks and parked signals come
in. The server writes the tenant's name into the subject of a question (`treadle.ask.history` leaves the account as
`treadle.ask.alice.history`), so it need not be believed, and answers find their way back by the server's own books,
whatever reply subject the asker names. See docs/decisions/0010-tenants-are-accounts.md.

A worker (`treadle up --worker`) is a user of the nodes' account that hears of its tools and answers, nothing else: it
may publish to reply subjects alone.

Only public keys are written here; the seeds are `auth_files.py`'s.
"""

import json
from collections.abc import Sequence

from msgspec import Struct

from ...events.errors import ConfigError
from ...events.subjects import DEFAULT_NAMESPACE, Subjects, escape
from ..arguments import check_text
from .streams import STREAMS, stream_name

TENANT_KINDS = ("run", "resume", "history", "steer", "approve", "cancel")
"""What a tenant may ask: the services that look at whose run it is (`gateways/tenants.py`)."""


class WorkerKey(Struct, frozen=True):
    """A worker: its public key, and the tools that it may offer."""

    key: str
    tools: tuple[str, ...]


class Accounts(Struct, frozen=True):
    """The accounts of one namespace.

    Attributes:
        system: Public key of the nodes and of those who operate them.
        tenants: Public key by user id.
        workers: By the name that they were given.
    """

    system: str
    tenants: dict[str, str] = {}
    namespace: str = DEFAULT_NAMESPACE
    workers: dict[str, WorkerKey] = {}


def check_tenant(user_id: str) -> str:
    """`user_id`, if it can be a tenant.

    Raises:
        ConfigError: It is empty, or no text that can be stored.
    """
    check_text("user_id", user_id)
    if not user_id:
        raise ConfigError("a tenant needs an id: what is under the empty one belongs to nobody, and to everybody")
    return user_id


def server_config(accounts: Accounts) -> str:
    """The block `accounts { … }`, for a file that the server's configuration includes.

    Raises:
        ConfigError: Somebody who cannot be a tenant is among them.
    """
    tenants = sorted(accounts.tenants.items())
    for user_id, _ in tenants:
        check_tenant(user_id)
    lines = [
        "# Made by `treadle nats auth`, which writes it anew: change nothing here. Public keys only, no secrets.",
        "accounts {",
        *_system(accounts, [user_id for user_id, _ in tenants]),
        *(line for user_id, key in tenants for line in _tenant(accounts.namespace, user_id, key)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def account_of(namespace: str, user_id: str | None = None) -> str:
    """The name of a tenant's account, or of the nodes'. A namespace has no `/`, so no two are the same."""
    return namespace if user_id is None else f"{namespace}/{escape(user_id)}"


def _system(accounts: Accounts, tenants: Sequence[str]) -> list[str]:
    namespace = accounts.namespace
    everything = f"{namespace}.>"
    # Its own subjects; JetStream, whose API reaches the streams of this account alone; key-value buckets; replies,
    # those to other accounts included (`_R_`). What deletes at once what was acknowledged is for whoever runs the
    # server: a node changes its streams and never needs to drop one.
    publish = (everything, "$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>", "$O.>", "$SRV.>", "_INBOX.>", "_R_.>")
    # Of its timers it purges the ones that are cancelled.
    kept = [stream_name(kind, Subjects(namespace)) for kind in STREAMS if kind != "timers"]
    never = (
        "$JS.API.STREAM.DELETE.>",
        "$JS.API.STREAM.MSG.DELETE.>",
        *(f"$JS.API.STREAM.PURGE.{name}" for name in kept),
    )
    subscribe = (everything, "$KV.>", "$O.>", "$SRV.>", "_INBOX.>")
    exports = [
        f"{{{kind}: {_quoted(subject)}, accounts: [{_quoted(account_of(namespace, user_id))}]}}"
        for user_id in tenants
        for kind, subject in (
            *(("service", subject) for subject in _asked(namespace, user_id)),
            *(("stream", subject) for subject in _told(namespace, user_id)),
        )
    ]
    return [
        f"  {_quoted(account_of(namespace))}: {{",
        "    jetstream: enabled",
        "    users: [",
        f"      {{nkey: {accounts.system}, permissions: {{",
        f"        publish: {{allow: {_listed(publish)}, deny: {_listed(never)}}}",
        f"        subscribe: {{allow: {_listed(subscribe)}}}",
        "      }}",
        *(line for _, worker in sorted(accounts.workers.items()) for line in _worker(namespace, worker)),
        "    ]",
        *_block("exports", exports),
        "  }",
    ]


def _worker(namespace: str, worker: WorkerKey) -> list[str]:
    """A user that serves its tools and may be found by `nats micro`; it says nothing unless it is asked."""
    subscribe = (*(Subjects(namespace).tool(tool) for tool in worker.tools), "$SRV.>")
    return [
        f"      {{nkey: {worker.key}, permissions: {{",
        f"        subscribe: {{allow: {_listed(subscribe)}}}",
        f"        publish: {{deny: {_listed(('>',))}}}",
        '        allow_responses: {max: 1, expires: "1m"}',
        "      }}",
    ]


def _tenant(namespace: str, user_id: str, key: str) -> list[str]:
    nodes = _quoted(account_of(namespace))
    subjects = Subjects(namespace)
    imports = [f"{{service: {{account: {nodes}, subject: {_quoted(subjects.signals(user_id=user_id))}}}}}"]
    for kind in TENANT_KINDS:
        own, plain = _quoted(subjects.ask(kind, user_id)), _quoted(subjects.ask(kind))
        imports.append(f"{{service: {{account: {nodes}, subject: {own}}}, to: {plain}}}")
    imports += [f"{{stream: {{account: {nodes}, subject: {_quoted(told)}}}}}" for told in _told(namespace, user_id)]
    # No `jetstream` here: a tenant has no streams, and no API that could look at anybody's.
    return [
        f"  {_quoted(account_of(namespace, user_id))}: {{",
        f"    users: [{{nkey: {key}}}]",
        *_block("imports", imports),
        "  }",
    ]


def _asked(namespace: str, user_id: str) -> tuple[str, ...]:
    subjects = Subjects(namespace)
    return (subjects.signals(user_id=user_id), *(subjects.ask(kind, user_id) for kind in TENANT_KINDS))


def _told(namespace: str, user_id: str) -> tuple[str, ...]:
    subjects = Subjects(namespace)
    signals = subjects.signals(user_id=user_id)
    return subjects.events(user_id), subjects.lives(user_id), subjects.parked(signals)


def _block(name: str, items: Sequence[str]) -> list[str]:
    return [f"    {name}: [", *(f"      {item}" for item in items), "    ]"] if items else []


def _listed(subjects: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, subjects))}]"


def _quoted(text: str) -> str:
    return json.dumps(text)
