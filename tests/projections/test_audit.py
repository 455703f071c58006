import asyncio
import io
import json
from collections.abc import AsyncIterator
from threading import Event

import pytest
from recording import NOON, after_noon, called, started, whole_run, write, write_runs

from treadle.events.budget import Limits, Opened, budget_stream
from treadle.events.memory import FactAsserted, memory_stream
from treadle.events.model_step import ModelFellBack
from treadle.events.run import RunCancelled
from treadle.events.session import SignalParked, session_stream
from treadle.events.tool_step import ApprovalDecided, ApprovalRequested, ToolFailed
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.signing import Ed25519Signer
from treadle.gateways.views import SqliteViews
from treadle.projections import Audit, MemorySeals, Projections, Views
from treadle.projections.seal import read_seal

DEADLINE_S = 20.0


@pytest.fixture
async def journal() -> AsyncIterator[MemoryJournal]:
    journal = MemoryJournal()
    yield journal
    await journal.close()


@pytest.fixture
def signer() -> Ed25519Signer:
    return Ed25519Signer.generate()


async def audited(journal: MemoryJournal, audit: Audit) -> list[tuple[str, str, str]]:
    """Actor, action and entity of all that was done."""
    async with SqliteViews() as views, Projections(journal, views, [audit]) as projections:
        await projections.catch_up(DEADLINE_S)
        return [(entry.actor, entry.action, entry.entity) for entry in await audit.list()]


async def test_an_entry_says_who_did_what(journal: MemoryJournal) -> None:
    await write(journal, "run-r1", started("support"), called("call-1"))
    fell_back = ModelFellBack(
        step="1", call_id="r1_1", alternative=1, from_model="big", to_model="small", reason="no room"
    )
    await write(journal, "run-r1", fell_back)
    await write(journal, "run-r2", started("billing", parent_run_id="r1"))
    await write(
        journal,
        "run-r1",
        ToolFailed(call_id="call-1", error="no such parcel"),
        ApprovalRequested(step="2", call_id="call-2", tool="refund", reason="destructive"),
        ApprovalDecided(call_id="call-2", allowed=False, by="user:bob"),
        RunCancelled(reason="not needed", by="user:alice"),
    )
    fact = FactAsserted(fact_id="f1", subject="alice", predicate="lives_in", object="Bern", valid_from=NOON)
    await write(journal, memory_stream("alice"), fact, run_id="r1")
    await write(journal, memory_stream("alice"), fact)
    await write(journal, session_stream("alice", "support", "conv-1"), SignalParked(signal_id="s1", reason="no JSON"))
    await write(journal, budget_stream("alice"), Opened(limits=Limits(max_tokens=10)))
    assert await audited(journal, Audit()) == [
        ("user:alice", "run.started", "run:r1"),
        ("agent:support", "run.tool_requested", "call:call-1"),
        ("agent:support", "run.model_fell_back", "call:r1_1"),
        ("agent:support", "run.started", "run:r2"),
        ("agent:support", "run.tool_failed", "call:call-1"),
        ("agent:support", "run.approval_requested", "call:call-2"),
        ("user:bob", "run.approval_decided", "call:call-2"),
        ("user:alice", "run.cancelled", "run:r1"),
        ("agent:support", "memory.fact_asserted", "fact:f1"),
        ("user:alice", "memory.fact_asserted", "fact:f1"),
        ("system", "session.signal_parked", "signal:s1"),
        ("system", "budget.opened", "budget:alice"),
    ]


async def test_no_text_that_somebody_wrote_is_in_the_audit(journal: MemoryJournal, views: Views) -> None:
    await write(journal, "run-r1", started(prompt="My secret is sesame"), called())
    await write(journal, "run-r1", ToolFailed(call_id="call-1", error="sesame is wrong"), RunCancelled(reason="sesame"))
    async with Projections(journal, views, [Audit()]) as projections:
        await projections.catch_up(DEADLINE_S)
        out = io.BytesIO()
        await projections.audit.export(out)
    assert b"run:r1" in out.getvalue()
    assert b"sesame" not in out.getvalue()


async def test_entries_are_listed_by_what_was_asked_for(journal: MemoryJournal, views: Views) -> None:
    await write(journal, "run-r1", *whole_run(), user_id="alice")
    await write(journal, "run-r2", *whole_run("call-2"), user_id="bob", session_id="conv-2")
    audit = Audit()
    async with Projections(journal, views, [audit]) as projections:
        await projections.catch_up(DEADLINE_S)
        assert [entry.sequence for entry in await audit.list()] == list(range(1, 9))
        assert [entry.sequence for entry in await audit.list(user_id="bob")] == [5, 6, 7, 8]
        assert [entry.sequence for entry in await audit.list(run_id="r2", action="run.started")] == [5]
        assert [entry.sequence for entry in await audit.list(session_id="conv-2", actor="agent:support")] == [6, 7, 8]
        assert [entry.sequence for entry in await audit.list(after=3, limit=2)] == [4, 5]


async def test_closing_seals_what_was_folded(journal: MemoryJournal, signer: Ed25519Signer) -> None:
    seals = MemorySeals()
    await write_runs(journal, 3)
    async with SqliteViews() as views:
        async with Projections(journal, views, [Audit(signer, seals, seal_every_s=3600)]) as projections:
            await projections.catch_up(DEADLINE_S)
            head = await projections.audit.head()
        seal, _, _ = read_seal(list(seals.lines())[-1])
        assert (seal.position, seal.events, seal.entries) == (24, 24, 12)
        assert (seal.journal_hash, seal.entry_hash) == (head.journal_hash, head.entry_hash)
        kept = len(list(seals.lines()))
        async with Projections(journal, views, [Audit(signer, seals)]) as again:
            await again.catch_up(DEADLINE_S)
        assert len(list(seals.lines())) == kept, "nothing new, nothing sealed"


async def test_new_events_are_sealed_while_the_process_lives(journal: MemoryJournal, signer: Ed25519Signer) -> None:
    class Told(MemorySeals):
        """Tells when a seal was kept."""

        def __init__(self) -> None:
            super().__init__()
            self.kept = Event()

        def append(self, line: bytes) -> None:
            super().append(line)
            self.kept.set()

    seals = Told()
    async with SqliteViews() as views, Projections(journal, views, [Audit(signer, seals, seal_every_s=0.001)]):
        for number in range(3):
            seals.kept.clear()
            await write_runs(journal, 1, first=number)
            assert await asyncio.to_thread(seals.kept.wait, DEADLINE_S)
    assert [read_seal(line)[0].position for line in seals.lines()] == [8, 16, 24]


async def test_without_a_signer_nothing_is_sealed(journal: MemoryJournal) -> None:
    audit = Audit()
    await write(journal, "run-r1", started())
    await audited(journal, audit)
    assert list(audit.seals.lines()) == []


async def test_an_export_is_a_header_the_entries_and_a_seal(
    journal: MemoryJournal, signer: Ed25519Signer, views: Views
) -> None:
    await write(journal, "run-r1", *whole_run())
    audit = Audit(signer, now=lambda: after_noon(60))
    async with Projections(journal, views, [audit]) as projections:
        await projections.catch_up(DEADLINE_S)
        out = io.BytesIO()
        seal = await audit.export(out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines[0] == {"treadle": "audit-export", "format": 1, "entries": 4, "public_key": signer.public_key}
    assert [line["action"] for line in lines[1:-1]] == [
        "run.started", "run.tool_requested", "run.tool_completed", "run.completed",
    ]  # fmt: skip
    assert (lines[-1]["position"], lines[-1]["entries"], lines[-1]["at"]) == (8, 4, "2026-01-15T12:01:00.000000+00:00")
    assert lines[-1]["entry_hash"] == seal.entry_hash == lines[-2]["hash"]
