"""Every way to falsify a journal or its audit is tried at every place, and has to be found there."""

import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from recording import write_runs

from treadle.events.envelope import EMPTY, Envelope, Head, Position, Recorded, link, read_stored
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.journals.sqlite import SqliteJournal
from treadle.gateways.seal_file import SealFile, seals_path
from treadle.gateways.signing import Ed25519Signer, check_signature
from treadle.gateways.views import SqliteViews, views_path
from treadle.projections import Audit, AuditReport, MemorySeals, Projections, ProjectionStopped, verify_audit
from treadle.projections.audit import AUDITED

DEADLINE_S = 20.0
RUNS = 5
SIGNER = Ed25519Signer.generate()


@dataclass
class Ledger:
    """A journal as a list that can be falsified, and what was folded and sealed before."""

    events: list[Recorded]
    projections: Projections
    seals: MemorySeals
    views: SqliteViews
    name: str = field(default="ledger")

    async def read_all(self, after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]:
        return [recorded for recorded in self.events if recorded.position > after][:limit]

    async def last_position(self) -> Position:
        return Position(self.events[-1].position if self.events else 0)

    async def wait(self, after: int, timeout_s: float | None = None) -> Position:
        return await self.last_position()

    async def verify(self, public_key: str = SIGNER.public_key) -> AuditReport:
        return await verify_audit(self, self.projections.audit, public_key, check_signature)

    async def change(self, sql: str, *params: str | int) -> None:
        await self.views.transact(lambda tx: tx.execute(sql, params))

    async def refold(self) -> None:
        """Fold the falsified journal into an audit that agrees with it; the seals stay."""
        self.views = SqliteViews()
        self.projections = Projections(self, self.views, [Audit(seals=self.seals)])
        await self.projections.start()
        await self.projections.catch_up(DEADLINE_S)
        await self.projections.close()


@pytest.fixture
async def ledger() -> AsyncIterator[Ledger]:
    journal, seals, views = MemoryJournal(), MemorySeals(), SqliteViews()
    projections = Projections(journal, views, [Audit(SIGNER, seals, seal_every_s=3600)])
    for count, first in ((3, 0), (RUNS - 3, 3)):
        await write_runs(journal, count, first)
        async with projections:
            await projections.catch_up(DEADLINE_S)
    ledger = Ledger(list(await journal.read_all()), projections, seals, views)
    yield ledger
    await views.close()
    await ledger.views.close()
    await journal.close()


def rewritten(events: list[Recorded], index: int) -> list[Recorded]:
    """Event `index` says something else, and its stream is chained anew: hash by hash it is a good journal."""
    changed = list(events)
    head = Head(events[index].version - 1, events[index].prev_hash)
    for at in range(index, len(events)):
        old = events[at]
        if old.stream != events[index].stream:
            continue
        user_id = "mallory" if at == index else old.user_id
        envelope = Envelope(
            old.id, old.stream, old.version, old.type, old.schema, old.at, user_id, old.session_id, old.run_id,
            old.correlation_id, old.causation_id, old.traceparent, old.epoch, old.key_id, head.hash,
            msgspec.Raw(old.data),
        )  # fmt: skip
        stored, digest = link(envelope)
        head = Head(old.version, digest)
        changed[at] = read_stored(stored, old.position)
    return changed


def rechained(events: list[Recorded]) -> list[Recorded]:
    """The same events with versions and hashes that fit together again, whatever was removed or moved."""
    heads: dict[str, Head] = {}
    found: list[Recorded] = []
    for old in events:
        head = heads.get(old.stream, EMPTY)
        envelope = Envelope(
            old.id, old.stream, head.version + 1, old.type, old.schema, old.at, old.user_id, old.session_id, old.run_id,
            old.correlation_id, old.causation_id, old.traceparent, old.epoch, old.key_id, head.hash,
            msgspec.Raw(old.data),
        )  # fmt: skip
        stored, digest = link(envelope)
        heads[old.stream] = Head(head.version + 1, digest)
        found.append(read_stored(stored, old.position))
    return found


def text(report: AuditReport) -> str:
    return "\n".join(finding.message for finding in report.findings)


async def test_what_was_not_touched_is_sound(ledger: Ledger) -> None:
    report = await ledger.verify()
    assert report.ok, text(report)
    assert (report.events, report.entries, report.seals, report.sealed_position) == (40, 20, 2, 40)
    assert report.signed


async def test_events_newer_than_the_audit_do_no_harm(ledger: Ledger) -> None:
    journal = MemoryJournal()
    await write_runs(journal, 1, first=100)
    ledger.events += [
        msgspec.structs.replace(recorded, position=recorded.position + 40) for recorded in await journal.read_all()
    ]
    report = await ledger.verify()
    assert report.ok, text(report)
    assert report.events == 40


@pytest.mark.parametrize("index", range(RUNS * 8))
async def test_a_rewritten_event_is_found_between_its_neighbours(ledger: Ledger, index: int) -> None:
    original = ledger.events[index]
    ledger.events = rewritten(ledger.events, index)
    report = await ledger.verify()
    assert not report.ok
    first = report.findings[0]
    assert first.damage == "edited"
    if original.type in AUDITED:
        assert (first.stream, first.version, first.position) == (original.stream, original.version, original.position)
    else:
        audited = [event.position for event in ledger.events if event.type in AUDITED]
        before = max(position for position in audited if position < original.position)
        after = min(position for position in audited if position > original.position)
        assert f"between positions {before} and {after}" in first.message or first.position <= after


@pytest.mark.parametrize("index", range(RUNS * 8 - 1))
async def test_a_deleted_event_is_found_where_it_was(ledger: Ledger, index: int) -> None:
    deleted = ledger.events.pop(index)
    report = await ledger.verify()
    assert {"missing"} <= {finding.damage for finding in report.findings}
    assert any((finding.stream, finding.version) == (deleted.stream, deleted.version) for finding in report.findings), (
        text(report)
    )


@pytest.mark.parametrize("index", range(RUNS * 8 - 1))
async def test_a_deleted_event_is_found_though_the_stream_was_chained_anew(ledger: Ledger, index: int) -> None:
    deleted = ledger.events.pop(index)
    ledger.events = rechained(ledger.events)
    report = await ledger.verify()
    audited = [0, *(event.position for event in ledger.events if event.type in AUDITED), 40]
    after = min(position for position in audited if position > deleted.position)
    assert report.findings
    assert report.findings[0].position <= after, text(report)


@pytest.mark.parametrize("index", range(RUNS * 8 - 1))
async def test_two_swapped_events_are_found(ledger: Ledger, index: int) -> None:
    first, second = ledger.events[index], ledger.events[index + 1]
    ledger.events[index] = msgspec.structs.replace(second, position=first.position)
    ledger.events[index + 1] = msgspec.structs.replace(first, position=second.position)
    report = await ledger.verify()
    assert report.findings, "swapped"
    assert report.findings[0].position <= second.position + 2, text(report)


@pytest.mark.parametrize("kept", [0, 1, 20, 38, 39])
async def test_a_cut_tail_is_found_by_the_audit_without_any_seal(ledger: Ledger, kept: int) -> None:
    ledger.projections.audit.seals = MemorySeals()
    del ledger.events[kept:]
    report = await ledger.verify("")
    assert any(finding.damage == "truncated" for finding in report.findings)
    assert f"the journal ends at position {kept}, the audit covers it up to 40" in text(report)
    assert not report.signed


@pytest.mark.parametrize("kept", [1, 20, 39])
async def test_a_tail_cut_off_journal_and_audit_is_found_by_the_seals(ledger: Ledger, kept: int) -> None:
    del ledger.events[kept:]
    await ledger.refold()
    report = await ledger.verify()
    assert {"truncated"} <= {finding.damage for finding in report.findings}
    assert f"the journal ends at position {kept}, seal 2, made" in text(report)
    assert "covers it up to 40: its end was cut off" in text(report)


@pytest.mark.parametrize("index", range(RUNS * 8))
async def test_journal_and_audit_rewritten_together_are_found_by_the_seals(ledger: Ledger, index: int) -> None:
    ledger.events = rewritten(ledger.events, index)
    await ledger.refold()
    report = await ledger.verify()
    assert not report.ok
    # Seals stand at 24 and 40: what was changed behind the first is known to be behind it.
    assert report.findings[0].position == (24 if index < 24 else 40)


# --- the audit's own rows --------------------------------------------------------------------------------------------


async def test_an_edited_entry_is_found(ledger: Ledger) -> None:
    await ledger.change("UPDATE audit_entries SET actor = 'user:nobody' WHERE sequence = 7")
    report = await ledger.verify()
    assert [(finding.damage, finding.sequence) for finding in report.findings] == [("edited", 7)]


async def test_deleted_entries_are_found(ledger: Ledger) -> None:
    await ledger.change("DELETE FROM audit_entries WHERE sequence IN (7, 8)")
    report = await ledger.verify()
    assert ("missing", 7) in [(finding.damage, finding.sequence) for finding in report.findings]
    assert "audit entries 7 to 8 are missing" in text(report)


async def test_entries_cut_off_the_end_are_found(ledger: Ledger) -> None:
    await ledger.change("DELETE FROM audit_entries WHERE sequence > 15")
    report = await ledger.verify()
    assert (report.findings[0].damage, report.findings[0].sequence) == ("truncated", 16)


async def test_an_audit_that_was_set_back_is_found_by_the_seals(ledger: Ledger) -> None:
    await ledger.change("DELETE FROM audit_entries WHERE sequence > 12")
    seal, *_ = (msgspec.json.decode(line) for line in ledger.seals.lines())
    await ledger.change(
        "UPDATE audit_head SET position = ?, events = ?, journal_hash = ?, entries = ?, entry_hash = ?",
        seal["position"], seal["events"], seal["journal_hash"], seal["entries"], seal["entry_hash"],
    )  # fmt: skip
    report = await ledger.verify()
    (finding,) = report.findings
    assert (finding.damage, finding.sequence) == ("truncated", 13)
    assert finding.message.startswith("the audit has 12 entries, seal 2, made")


# --- the seals -------------------------------------------------------------------------------------------------------


async def test_seals_of_another_key_are_forged(ledger: Ledger) -> None:
    report = await ledger.verify(Ed25519Signer.generate().public_key)
    assert [finding.damage for finding in report.findings] == ["forged", "forged", "unsigned"]
    assert not report.signed


async def test_an_edited_seal_is_forged(ledger: Ledger) -> None:
    first, second = ledger.seals.lines()
    ledger.projections.audit.seals = seals = MemorySeals()
    seals.append(first)
    seals.append(second.replace(b'"events":40', b'"events":41'))
    report = await ledger.verify()
    assert [(finding.damage, finding.line) for finding in report.findings] == [("forged", 2)]
    assert report.sealed_position == 24


async def test_a_line_that_is_no_seal_is_named(ledger: Ledger) -> None:
    ledger.seals.append(b"hello")
    assert [(f.damage, f.line) for f in (await ledger.verify()).findings] == [("malformed", 3)]


async def test_removed_seals_are_missed(ledger: Ledger) -> None:
    ledger.projections.audit.seals = MemorySeals()
    report = await ledger.verify()
    assert [finding.damage for finding in report.findings] == ["unsigned"]


# --- a real file -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A journal of 24 events on disk, audited and sealed."""
    path = tmp_path / "runs.db"
    journal = await SqliteJournal.open(path)
    await write_runs(journal, 3)
    audit = Audit(SIGNER, SealFile(seals_path(path)))
    async with SqliteViews(views_path(path)) as views, Projections(journal, views, [audit]) as projections:
        await projections.catch_up(DEADLINE_S)
    await journal.close()
    return path


async def verify_file(path: Path) -> AuditReport:
    journal = await SqliteJournal.open(path)
    async with SqliteViews(views_path(path)) as views:
        audit = Audit(seals=SealFile(seals_path(path)))
        async with Projections(journal, views, [audit]):
            report = await verify_audit(journal, audit, SIGNER.public_key, check_signature)
    await journal.close()
    return report


def damage(path: Path, sql: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(sql)
    connection.close()


def remove(*paths: Path) -> None:
    for path in paths:
        path.unlink()


async def test_a_sound_file_verifies(path: Path) -> None:
    report = await verify_file(path)
    assert (report.ok, report.events, report.sealed_position) == (True, 24, 24)


async def test_a_byte_changed_in_a_row_is_found_at_its_place(path: Path) -> None:
    damage(path, "UPDATE stored_events SET state = replace(state, 'Bern', 'Rome') WHERE rowid = 13")
    (finding,) = (await verify_file(path)).findings
    assert (finding.damage, finding.position, finding.stream, finding.version) == ("edited", 13, "run-r000001", 5)


async def test_a_corrupt_row_of_an_event_that_makes_no_entry_is_reported_once(path: Path) -> None:
    damage(path, "UPDATE stored_events SET state = replace(state, 'near', 'far') WHERE rowid = 3")
    (finding,) = (await verify_file(path)).findings
    assert (finding.damage, finding.position, finding.version) == ("edited", 3, 3)


async def test_a_file_whose_end_was_cut_is_found_after_a_restart(path: Path) -> None:
    damage(path, "DELETE FROM stored_events WHERE rowid > 21")
    report = await verify_file(path)
    assert "the journal ends at position 21" in text(report)
    assert {"truncated"} <= {finding.damage for finding in report.findings}


async def test_a_cut_file_that_grew_again_is_found(path: Path) -> None:
    damage(path, "DELETE FROM stored_events WHERE rowid > 16")
    journal = await SqliteJournal.open(path)
    await write_runs(journal, 4, first=10)
    await journal.close()
    report = await verify_file(path)
    assert report.findings[0].position == 17, text(report)


async def test_a_file_replaced_by_another_is_found_though_its_audit_was_folded_anew(path: Path) -> None:
    remove(path, Path(views_path(path)))
    journal = await SqliteJournal.open(path)
    await write_runs(journal, 4, first=10)
    async with SqliteViews(views_path(path)) as views, Projections(journal, views, [Audit()]) as again:
        await again.catch_up(DEADLINE_S)
    await journal.close()
    assert "the journal and the audit were both rewritten" in text(await verify_file(path))


async def test_a_cut_journal_stops_its_audit_until_somebody_has_looked(path: Path) -> None:
    damage(path, "DELETE FROM stored_events WHERE rowid > 21")
    journal = await SqliteJournal.open(path)
    async with SqliteViews(views_path(path)) as views, Projections(journal, views, [Audit()]) as p:
        with pytest.raises(ProjectionStopped, match="cut or replaced"):
            await p.catch_up(DEADLINE_S)
    await journal.close()


async def test_no_falsification_of_a_random_kind_goes_unnoticed(ledger: Ledger) -> None:
    chance, sound = random.Random(11), ledger.events
    for _ in range(150):
        ledger.events = list(sound)
        for _ in range(chance.randrange(1, 4)):
            index = chance.randrange(len(ledger.events))
            match chance.randrange(4):
                case 0:
                    ledger.events = rewritten(ledger.events, index)
                case 1:
                    del ledger.events[index]
                case 2:
                    ledger.events = rechained(ledger.events[:index] + ledger.events[index + 1 :])
                case _:
                    del ledger.events[max(index, 1) :]
        report = await ledger.verify()
        assert not report.ok


# Behind the audit


async def behind(ledger: Ledger, runs: int = 2) -> int:
    """So many runs more than the audit has seen; returns where they begin."""
    journal = MemoryJournal()
    await write_runs(journal, RUNS + runs)
    first = len(ledger.events)
    assert [event.stream for event in await journal.read_all(limit=first)] == [event.stream for event in ledger.events]
    tail = (await journal.read_all(limit=10_000))[first:]
    ledger.events = [*ledger.events, *tail]
    await journal.close()
    return first


async def test_the_journal_is_read_once_to_its_end(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    await behind(ledger)
    read: list[int] = []
    read_all = ledger.read_all

    async def counting(after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]:
        page = (await read_all(after, limit))[:10]
        read.extend(recorded.position for recorded in page)
        return page

    monkeypatch.setattr(ledger, "read_all", counting)
    assert (await ledger.verify()).ok
    assert read[: len(ledger.events)] == [event.position for event in ledger.events]
    # A page may reach over the end of what is wanted, and no row is read twice.
    assert len(read) == len(set(read))


async def test_an_event_that_is_missing_or_rewritten_behind_the_audit_is_located(ledger: Ledger) -> None:
    first = await behind(ledger)
    whole = ledger.events
    for index in range(first, len(whole) - 1):
        if whole[index].stream != whole[index + 1].stream:
            continue  # the newest event of a stream: nothing behind it remembers it
        for damaged in (
            [*whole[:index], *whole[index + 1 :]],
            [*whole[:index], _renamed(whole[index]), *whole[index + 1 :]],
        ):
            ledger.events = damaged
            findings = (await ledger.verify()).findings
            assert [(finding.stream, finding.version) for finding in findings] == [
                (whole[index].stream, whole[index].version)
            ]
            assert findings[0].position > ledger.events[first - 1].position


async def test_what_is_recorded_while_it_is_verified_is_not_waited_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await behind(ledger, 40)
    late = ledger.events[len(ledger.events) // 2 :]
    ledger.events = ledger.events[: len(ledger.events) // 2]
    read_all = ledger.read_all

    async def growing(after: int = 0, limit: int = 1000, *, category: str = "") -> Sequence[Recorded]:
        page = (await read_all(after, limit))[:10]
        ledger.events = [*ledger.events, *late[:5]]
        del late[:5]
        return page

    monkeypatch.setattr(ledger, "read_all", growing)
    assert (await ledger.verify()).ok
    assert late, "the verification followed the writer to the end"


def _renamed(recorded: Recorded) -> Recorded:
    """The same place in the stream, with a hash that what follows was not chained to."""
    return msgspec.structs.replace(recorded, hash="f" * 64)
