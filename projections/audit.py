"""Who did what: an entry for each thing a person or an agent did, chained, and sealed by a signature.

An entry names and does not quote: actor, action, entity, and the hash of the event that has the contents. So the audit
can be handed out, and it stays whole when contents are erased.

Each entry holds three hashes: `event_hash`, the event's own; `journal_hash`, over all events of the journal up to this
one, audited or not; and `hash`, over the entry itself with the hash of the entry before it. The newest of them are
signed from time to time (`seal.py`). `audit_verify.py` compares all this with the journal, `audit_export.py` verifies
what `Audit.export` wrote.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from math import inf
from typing import Any, BinaryIO, ClassVar

import msgspec
from msgspec import Struct

from ..events.budget import Opened, Warned
from ..events.envelope import GENESIS, Recorded
from ..events.errors import Undecodable
from ..events.event import Event
from ..events.memory import BlockUpdated, FactAsserted, FactRetracted
from ..events.model_step import ModelFellBack
from ..events.run import RunCancelled, RunCompleted, RunFailed, RunInterrupted, RunStarted, RunSuspended, RunTakenOver
from ..events.session import SignalParked
from ..events.tool_step import (
    ApprovalDecided,
    ApprovalRequested,
    ToolCompleted,
    ToolFailed,
    ToolOutcomeUnknown,
    ToolRequested,
)
from .audit_entry import AuditEntry, entry_hash, entry_line
from .projection import Projection
from .seal import SEAL, MemorySeals, Seal, SealLog, Signer, read_seal, sign
from .views import Row, Table, Transaction, Where, moment, stamp

SEAL_EVERY_S = 60.0
"""How long new entries may stay without a seal while the process lives; closing seals at once."""

_ENTRIES = Table(
    "audit_entries",
    {
        "sequence": "BIGINT NOT NULL",
        "position": "BIGINT NOT NULL",
        "at": "TEXT NOT NULL",
        "stream": "TEXT NOT NULL",
        "version": "BIGINT NOT NULL",
        "event_id": "TEXT NOT NULL",
        "action": "TEXT NOT NULL",
        "actor": "TEXT NOT NULL",
        "entity": "TEXT NOT NULL",
        "user_id": "TEXT NOT NULL",
        "session_id": "TEXT NOT NULL",
        "run_id": "TEXT NOT NULL",
        "detail": "TEXT NOT NULL",
        "event_hash": "TEXT NOT NULL",
        "journal_hash": "TEXT NOT NULL",
        "prev_hash": "TEXT NOT NULL",
        "hash": "TEXT NOT NULL",
    },
    key=("sequence",),
    indexes=(("user_id", "sequence"), ("run_id", "sequence")),
)
_HEAD = Table(
    "audit_head",
    {
        "one": "BIGINT NOT NULL",
        "position": "BIGINT NOT NULL",
        "events": "BIGINT NOT NULL",
        "journal_hash": "TEXT NOT NULL",
        "entries": "BIGINT NOT NULL",
        "entry_hash": "TEXT NOT NULL",
    },
    key=("one",),
)
_AGENTS = Table("audit_agents", {"run_id": "TEXT NOT NULL", "agent": "TEXT NOT NULL"}, key=("run_id",))


class AuditHead(Struct, frozen=True):
    """How far the audit is: what a seal says, before it is signed."""

    position: int = 0
    events: int = 0
    journal_hash: str = GENESIS
    entries: int = 0
    entry_hash: str = GENESIS


def accumulate(journal_hash: str, event_hash: str) -> str:
    """The journal's hash with one event more: SHA-256 over both hashes as text (hex)."""
    return hashlib.sha256((journal_hash + event_hash).encode()).hexdigest()


class Audit(Projection):
    """The audit trail of a journal.

    Args:
        signer: Signs the seals; None leaves the audit unsigned, and then whoever can write journal and views can cut
            both without a trace.
        seals: Where seals are kept; in memory by default, which is right for a journal in memory only.
        seal_every_s: How long new entries may stay without a seal.
        now: The wall clock, for the seals' own time.
    """

    name = "audit"
    schema = 1
    tables = (_ENTRIES, _HEAD, _AGENTS)
    evidence: ClassVar[bool] = True

    def __init__(
        self,
        signer: Signer | None = None,
        seals: SealLog | None = None,
        *,
        seal_every_s: float = SEAL_EVERY_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__()
        self.signer = signer
        self.seals: SealLog = seals if seals is not None else MemorySeals()
        self._seal_every_s = seal_every_s
        self._now = now
        self._sealing = asyncio.Lock()
        self._sealed: AuditHead | None = None
        self._sealed_at = -inf
        self._agents: dict[str, str] = {}
        self._position = self._events = self._entries = 0
        self._journal_hash = self._entry_hash = GENESIS

    # --- queries -----------------------------------------------------------------------------------------------------

    async def head(self) -> AuditHead:
        """How far the audit is."""
        return await self.read(_read_head)

    async def seal(self) -> Seal:
        """Sign how far the audit is now, and keep that; what was sealed before is not kept twice.

        Without a signer nothing is kept, and the seal says nothing that could be trusted.
        """
        async with self._sealing:
            head = await self.head()
            seal = self._seal_of(head)
            if self.signer is not None and head != await self._newest_sealed():
                await asyncio.to_thread(self.seals.append, sign(seal, self.signer))
                self._sealed = head
                self._sealed_at = asyncio.get_running_loop().time()
            return seal

    async def export(self, out: BinaryIO) -> Seal:
        """Write the audit as lines of JSON: a header, the entries, and a seal over them. See docs/projections.md.

        Folding waits until it is written. The seal is part of the file and not kept elsewhere.
        """

        def work(tx: Transaction) -> Seal:
            head = _read_head(tx)
            seal = self._seal_of(head)
            header = {"treadle": "audit-export", "format": 1, "entries": head.entries, "public_key": seal.public_key}
            out.write(msgspec.json.encode(header) + b"\n")
            for row in tx.scan(f"SELECT {_ENTRIES.selected} FROM audit_entries ORDER BY sequence"):
                out.write(entry_line(_entry(row)) + b"\n")
            out.write(sign(seal, self.signer) + b"\n")
            return seal

        return await self.read(work)

    def _seal_of(self, head: AuditHead) -> Seal:
        key = self.signer.public_key if self.signer is not None else ""
        return Seal(
            SEAL, head.position, head.events, head.journal_hash, head.entries, head.entry_hash, stamp(self._now()), key
        )

    # --- life --------------------------------------------------------------------------------------------------------

    async def caught_up(self) -> float | None:
        """Seals what is new, though no more often than every `seal_every_s`."""
        if self.signer is None or await self.head() == await self._newest_sealed():
            return None
        due_s = self._sealed_at + self._seal_every_s - asyncio.get_running_loop().time()
        if due_s > 0:
            return due_s
        await self.seal()
        return None

    async def close(self) -> None:
        await self.seal()

    async def _newest_sealed(self) -> AuditHead:
        if self._sealed is None:
            self._sealed = await asyncio.to_thread(lambda: _sealed_head(self.seals.lines()))
        return self._sealed

    # --- fold --------------------------------------------------------------------------------------------------------

    def begin(self, tx: Transaction) -> None:
        head = _read_head(tx)
        self._position, self._events, self._journal_hash = head.position, head.events, head.journal_hash
        self._entries, self._entry_hash = head.entries, head.entry_hash
        self._agents.clear()

    def finish(self, tx: Transaction) -> None:
        tx.execute(
            f"{_HEAD.insert} ON CONFLICT (one) DO UPDATE SET position = excluded.position, events = excluded.events, "
            "journal_hash = excluded.journal_hash, entries = excluded.entries, entry_hash = excluded.entry_hash",
            (1, self._position, self._events, self._journal_hash, self._entries, self._entry_hash),
        )

    def apply(self, tx: Transaction, recorded: Recorded) -> None:
        self._position = recorded.position
        self._events += 1
        self._journal_hash = accumulate(self._journal_hash, recorded.hash)
        if recorded.type not in AUDITED:
            return
        event = recorded.event
        if isinstance(event, RunStarted):
            tx.execute(f"{_AGENTS.insert} ON CONFLICT (run_id) DO NOTHING", (_entity_id(recorded), event.agent))
            if recorded.version == 1:
                self._agents[_entity_id(recorded)] = f"agent:{event.agent}"  # what was just written need not be asked
        actor, entity, detail = _described(event, recorded, partial(self._agent, tx))
        entry = AuditEntry(
            sequence=self._entries + 1,
            position=recorded.position,
            at=recorded.at,
            stream=recorded.stream,
            version=recorded.version,
            event_id=recorded.id,
            action=recorded.type,
            actor=actor,
            entity=entity,
            user_id=recorded.user_id,
            session_id=recorded.session_id,
            run_id=recorded.run_id,
            detail=detail,
            event_hash=recorded.hash,
            journal_hash=self._journal_hash,
            prev_hash=self._entry_hash,
            hash="",
        )
        digest = entry_hash(entry)
        tx.execute(
            _ENTRIES.insert,
            (
                entry.sequence, entry.position, stamp(entry.at), entry.stream, entry.version, entry.event_id,
                entry.action, entry.actor, entry.entity, entry.user_id, entry.session_id, entry.run_id,
                msgspec.json.encode(detail).decode(), entry.event_hash, entry.journal_hash, entry.prev_hash, digest,
            ),
        )  # fmt: skip
        self._entries, self._entry_hash = entry.sequence, digest

    def _agent(self, tx: Transaction, run_id: str, otherwise: str) -> str:
        """The agent of a run, asked for once in a batch: what is there does not change."""
        if run_id and run_id not in self._agents:
            for (agent,) in tx.query("SELECT agent FROM audit_agents WHERE run_id = ?", (run_id,)):
                self._agents[run_id] = f"agent:{agent}"
        return self._agents.get(run_id, otherwise)

    # Last in the class: after it `list` is not the type any more.
    async def list(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        run_id: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Entries with a sequence above `after` that fit all that is given, in order."""
        where = Where().equal(user_id=user_id, session_id=session_id, run_id=run_id, actor=actor, action=action)
        where.add("sequence > ?", after)
        sql = f"SELECT {_ENTRIES.selected} FROM audit_entries{where.sql} ORDER BY sequence LIMIT ?"
        return await self.read(lambda tx: [_entry(row) for row in tx.query(sql, (*where.params, limit))])


# --- what an entry says ----------------------------------------------------------------------------------------------

AUDITED: frozenset[str] = frozenset(
    event.event_tag
    for event in (
        RunStarted,
        RunTakenOver,
        RunSuspended,
        ModelFellBack,
        ToolRequested,
        ToolCompleted,
        ToolFailed,
        ToolOutcomeUnknown,
        ApprovalRequested,
        ApprovalDecided,
        RunCompleted,
        RunFailed,
        RunCancelled,
        RunInterrupted,
        BlockUpdated,
        FactAsserted,
        FactRetracted,
        SignalParked,
        Opened,
        Warned,
    )
)
"""Tags of the events that make an entry."""


def _described(event: Event, recorded: Recorded, agent: Callable[[str, str], str]) -> tuple[str, str, dict[str, Any]]:
    """Actor, entity and detail. A detail is a name, a kind or a number: never a text that somebody wrote.

    Args:
        agent: Names the agent of a run, and otherwise whom it is given.
    """
    user = f"user:{recorded.user_id}" if recorded.user_id else "anonymous"
    run = f"run:{_entity_id(recorded)}"
    match event:
        case RunStarted():
            detail: dict[str, Any] = {"agent": event.agent, "model": event.model}
            if event.forked_from:
                detail |= {"forked_from": event.forked_from, "forked_at": event.forked_at}
            if event.parent_run_id:
                return agent(event.parent_run_id, user), run, {**detail, "parent_run_id": event.parent_run_id}
            return user, run, detail
        case RunTakenOver():
            return f"process:{event.owner}", run, {"epoch": recorded.epoch}
        case RunSuspended():
            return "system", run, {}
        case ModelFellBack():
            # Calls to the agent's own model are no entries; that its data went to another one is.
            detail = {"from_model": event.from_model, "to_model": event.to_model}
            return agent(recorded.run_id, user), f"call:{event.call_id}", detail
        case ToolRequested():
            return (
                agent(recorded.run_id, user),
                f"call:{event.call_id}",
                {"tool": event.tool, "attempt": event.attempt},
            )
        case ToolFailed():
            return agent(recorded.run_id, user), f"call:{event.call_id}", {"kind": event.kind}
        case ToolCompleted() | ToolOutcomeUnknown():
            return agent(recorded.run_id, user), f"call:{event.call_id}", {}
        case ApprovalRequested():
            detail = {"tool": event.tool, "reason": event.reason}
            return agent(recorded.run_id, user), f"call:{event.call_id}", detail
        case ApprovalDecided():
            return event.by or "unnamed", f"call:{event.call_id}", {"allowed": event.allowed}
        case RunCancelled():
            return event.by or "unnamed", run, {}
        case RunFailed():
            return agent(recorded.run_id, user), run, {"kind": event.kind}
        case RunCompleted() | RunInterrupted():
            return agent(recorded.run_id, user), run, {"turns": event.turns}
        case BlockUpdated():
            return agent(recorded.run_id, user), f"block:{event.name}", {"removed": not event.content}
        case FactAsserted() | FactRetracted():
            return agent(recorded.run_id, user), f"fact:{event.fact_id}", {}
        case SignalParked():
            return "system", f"signal:{event.signal_id}", {"size_bytes": event.size_bytes}
        case Opened():
            return "system", f"budget:{_entity_id(recorded)}", {"limits": msgspec.to_builtins(event.limits)}
        case Warned():
            detail = {"limit": event.limit, "used": event.used, "cap": event.cap}
            return "system", f"budget:{_entity_id(recorded)}", detail
        case _:  # a schema that this Treadle does not know: it happened, and the event's hash says what
            return "unknown", recorded.stream.replace("-", ":", 1), {"schema": recorded.schema}


def _entity_id(recorded: Recorded) -> str:
    return recorded.stream.partition("-")[2]


def _read_head(tx: Transaction) -> AuditHead:
    rows = tx.query("SELECT position, events, journal_hash, entries, entry_hash FROM audit_head")
    return AuditHead(*rows[0]) if rows else AuditHead()


def _sealed_head(lines: Iterable[bytes]) -> AuditHead:
    """What the newest seal covers. A line that is no seal covers nothing; `verify_audit` names it."""
    newest = b""
    for line in lines:
        newest = line
    try:
        seal, _, _ = read_seal(newest)
    except Undecodable:
        return AuditHead()
    return AuditHead(seal.position, seal.events, seal.journal_hash, seal.entries, seal.entry_hash)


def _entry(row: Row) -> AuditEntry:
    values = dict(zip(_ENTRIES.columns, row, strict=True))
    values["at"] = moment(values["at"])
    values["detail"] = msgspec.json.decode(values["detail"])
    return AuditEntry(**values)
