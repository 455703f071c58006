"""Verifies journal, audit and seals against each other.

Three records of the same history are compared: the events, each chained within its stream; the audit, whose entries are
chained and hold the hash of the whole journal up to them; and the seals, which are signed and kept apart. One of them
cannot be changed without the other two disagreeing, and where they first disagree is where it was changed.

What cannot be seen: events at the end of the journal that were cut off together with the audit's entries and with every
seal that covers them, and events that are newer than the audit.
"""

from collections.abc import AsyncIterator

from msgspec import Struct

from ..events.envelope import EMPTY, GENESIS, Head, Recorded, verify_chain
from ..events.errors import CorruptEvent, Undecodable
from .audit import Audit, AuditHead, accumulate
from .audit_entry import AuditEntry, entry_hash
from .audit_report import AuditReport, Damage, Finding
from .seal import SEAL, CheckSignature, Seal, read_seal
from .source import Source, read_page

_PAGE = 1000
_UNKNOWN = ""
"""The hash of an event that is corrupt: the one after it cannot be held against it."""


async def verify_audit(
    journal: Source, audit: Audit, public_key: str = "", check: CheckSignature | None = None
) -> AuditReport:
    """Find what was edited, deleted, added, reordered or cut off in the journal, the audit or the seals.

    The journal is read once, up to where it ended when this began. Compared is what the audit covered then; behind
    that, events are held against their own streams alone. What is recorded meanwhile does no harm.

    Args:
        audit: Of a `Projections` that was started, and has caught up with what was sealed, or has stopped.
        public_key: The key the seals have to be signed with, hex, from a place you trust. Empty: seals are compared
            and their signatures are not, and the report is not `signed`.
        check: Verifies a signature; needed with `public_key`.
    """
    return await _Verification(journal, audit, public_key, check).run()


class _Pin(Struct, frozen=True):
    """What a seal says, and which one it is; the audit's own head counts as one that nobody signed."""

    name: str
    seal: Seal


class _Verification:
    def __init__(self, journal: Source, audit: Audit, public_key: str, check: CheckSignature | None) -> None:
        self.journal = journal
        self.audit = audit
        self.public_key = public_key
        self.check = check
        self.findings: list[Finding] = []
        self.streams: dict[str, Head] = {}
        self.running = GENESIS
        self.events = self.entries = 0
        self.sound_position = 0
        self.chain = GENESIS
        self.explained = False
        """Whether a finding since the last agreement explains why the journal's hash disagrees."""
        self.entry_hashes: dict[int, str] = {}

    async def run(self) -> AuditReport:
        head = await self.audit.head()
        seals = self._seals()
        pins = sorted([*seals, _pin_of(head)], key=lambda pin: pin.seal.position)
        covered = pins[-1]
        wanted = {pin.seal.entries for pin in seals}
        entries = self._entries(head)
        entry = await anext(entries, None)
        last = 0
        rows = self._journal(max(covered.seal.position, await self.journal.last_position()))
        found = await anext(rows, None)
        while found is not None and found.position <= covered.seal.position:
            while entry is not None and entry.position < found.position:
                self._lost(entry, "missing")
                entry = await self._next(entries, entry, wanted)
            while pins[0].seal.position < found.position:
                self._pinned(pins.pop(0))
            last = found.position
            if isinstance(found, CorruptEvent):
                self._corrupt(found, entry if entry is not None and entry.position == last else None)
            else:
                self._event(found)
            if entry is not None and entry.position == last:
                if isinstance(found, Recorded):
                    self._compare(found, entry)
                entry = await self._next(entries, entry, wanted)
            found = await anext(rows, None)
        if last < covered.seal.position:
            text = f"the journal ends at position {last}, {covered.name} covers it up to {covered.seal.position}"
            self._find("truncated", f"{text}: its end was cut off", position=last + 1)
        while entry is not None:
            self._lost(entry, "truncated")
            entry = await self._next(entries, entry, wanted)
        for pin in pins:
            if pin.seal.position <= last:
                self._pinned(pin)
        # The audit leaves corrupt events out and may be behind: what it does not cover still has to be whole.
        while found is not None:
            self._behind(found)
            found = await anext(rows, None)
        self._sealed_entries(head, seals)
        good = max((pin.seal.position for pin in seals), default=0) if self.public_key else 0
        order = sorted(self.findings, key=lambda finding: finding.position or covered.seal.position + 1)
        return AuditReport(self.entries, self.events, len(seals), good, tuple(order))

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _journal(self, until: int) -> AsyncIterator[Recorded | CorruptEvent]:
        """The events up to position `until`, with the corrupt ones where they stand."""
        after = 0
        while after < until:
            page, corrupt = await read_page(self.journal, after, _PAGE)
            if corrupt is not None:
                yield corrupt
                after = corrupt.position
            elif not page:
                return
            for recorded in page:
                if recorded.position > until:
                    return
                yield recorded
                after = recorded.position

    async def _entries(self, head: AuditHead) -> AsyncIterator[AuditEntry]:
        """The audit's entries in order; their own chain is checked on the way."""
        after = 0
        while after < head.entries:
            page = [
                entry for entry in await self.audit.list(after=after, limit=_PAGE) if entry.sequence <= head.entries
            ]
            if not page:
                break
            for entry in page:
                self._link(entry, after)
                after = entry.sequence
                yield entry
        if after < head.entries:
            self._find("truncated", f"audit entries {after + 1} to {head.entries} are missing", sequence=after + 1)

    async def _next(self, entries: AsyncIterator[AuditEntry], entry: AuditEntry, wanted: set[int]) -> AuditEntry | None:
        if entry.sequence in wanted:
            self.entry_hashes[entry.sequence] = entry.hash
        return await anext(entries, None)

    # --- comparing ---------------------------------------------------------------------------------------------------

    def _link(self, entry: AuditEntry, before: int) -> None:
        self.entries += 1
        if entry.sequence != before + 1:
            text = f"audit entries {before + 1} to {entry.sequence - 1} are missing"
            self._find("missing", text, sequence=before + 1)
        elif entry.prev_hash != self.chain:
            text = f"audit entry {before} was rewritten: entry {entry.sequence} is chained to {entry.prev_hash[:12]}…"
            self._find("edited", text, sequence=before)
        if entry_hash(entry) != entry.hash:
            self._find("edited", f"audit entry {entry.sequence} does not match its hash", entry)
        self.chain = entry.hash

    def _event(self, recorded: Recorded) -> None:
        self.events += 1
        self.running = accumulate(self.running, recorded.hash)
        self._chained(recorded)

    def _behind(self, found: Recorded | CorruptEvent) -> None:
        """There is nothing to compare it with but its own stream."""
        if isinstance(found, Recorded):
            self._chained(found)
        else:
            self._unreadable(found)

    def _chained(self, recorded: Recorded) -> None:
        before = self.streams.get(recorded.stream, EMPTY)
        if before.hash == _UNKNOWN:
            before = Head(before.version, recorded.prev_hash)
        self.streams[recorded.stream] = recorded.head
        try:
            verify_chain([recorded], before)
        except CorruptEvent as exc:
            if recorded.version > before.version + 1:
                first = before.version + 1
                text = f"events {first} to {recorded.version - 1} of stream {recorded.stream!r} are missing"
                self._find("missing", text, position=recorded.position, stream=recorded.stream, version=first)
            elif recorded.version <= before.version:
                text = f"event {recorded.version} of stream {recorded.stream!r} stands after event {before.version}"
                self._find("reordered", text, exc)
            else:
                text = f"event {before.version} of stream {recorded.stream!r} was rewritten: {exc.why}"
                self._find("edited", text, position=recorded.position, stream=recorded.stream, version=before.version)

    def _corrupt(self, error: CorruptEvent, entry: AuditEntry | None) -> None:
        self.events += 1
        self._unreadable(error)
        if entry is not None:
            self.running, self.explained = entry.journal_hash, False

    def _unreadable(self, error: CorruptEvent) -> None:
        self._find("edited", f"event {error.version} of stream {error.stream!r} was edited: {error.why}", error)
        self.streams[error.stream] = Head(error.version, _UNKNOWN)

    def _compare(self, recorded: Recorded, entry: AuditEntry) -> None:
        if (recorded.stream, recorded.version) != (entry.stream, entry.version):
            text = (
                f"position {entry.position} held event {entry.version} of stream {entry.stream!r}, "
                f"now it holds event {recorded.version} of {recorded.stream!r}"
            )
            self._find("reordered", text, entry)
        elif recorded.hash != entry.event_hash:
            text = f"event {entry.version} of stream {entry.stream!r} is not the one that the audit recorded"
            self._find("edited", text, entry)
        if self.running != entry.journal_hash:
            if not self.explained:
                text = (
                    f"an event between positions {self.sound_position} and {entry.position} was edited, added, "
                    "removed or moved: the journal's hash is not the one that the audit recorded"
                )
                self._find("edited", text, position=entry.position)
            self.running = entry.journal_hash
        self.explained = False
        self.sound_position = entry.position

    def _lost(self, entry: AuditEntry, damage: Damage) -> None:
        where = "at the end" if damage == "truncated" else f"at position {entry.position}"
        self._find(damage, f"event {entry.version} of stream {entry.stream!r} is missing {where}", entry)
        self.running, self.explained = entry.journal_hash, False
        self.sound_position = entry.position

    # --- seals -------------------------------------------------------------------------------------------------------

    def _seals(self) -> list[_Pin]:
        pins: list[_Pin] = []
        for number, line in enumerate(self.audit.seals.lines(), 1):
            try:
                seal, message, signature = read_seal(line)
            except Undecodable as exc:
                self._find("malformed", f"seal {number}: {exc}", line=number)
                continue
            if self.public_key and seal.public_key != self.public_key:
                text = f"seal {number} was signed with key {seal.public_key[:16]}…, not with {self.public_key[:16]}…"
                self._find("forged", text, line=number)
            elif self.public_key and not (self.check is not None and self.check(self.public_key, message, signature)):
                self._find("forged", f"seal {number} does not match its signature", line=number)
            else:
                pins.append(_Pin(f"seal {number}, made {seal.at},", seal))
        if self.public_key and not pins:
            self._find("unsigned", "there is no seal with a good signature: nothing proves where the journal ended")
        return pins

    def _pinned(self, pin: _Pin) -> None:
        """The journal has been read up to where the pin stands."""
        if self.running == pin.seal.journal_hash:
            return
        if not self.explained:
            where = f"up to position {pin.seal.position} the journal is not the one that {pin.name} covers"
            if 0 < self.sound_position < pin.seal.position:
                why = f"an event after position {self.sound_position} was edited, added, removed or moved"
            else:
                why = "the journal and the audit were both rewritten"
            self._find("edited", f"{where}: {why}", position=pin.seal.position)

    def _sealed_entries(self, head: AuditHead, pins: list[_Pin]) -> None:
        for pin in pins:
            seal = pin.seal
            if seal.entries > head.entries:
                text = f"the audit has {head.entries} entries, {pin.name} covers {seal.entries}"
                self._find("truncated", f"{text}: its end was cut off", sequence=head.entries + 1)
                return
            if seal.entries and self.entry_hashes.get(seal.entries) != seal.entry_hash:
                text = f"audit entry {seal.entries} is not the one that {pin.name} covers: entries were rewritten"
                self._find("edited", text, sequence=seal.entries)
                return

    def _find(
        self,
        damage: Damage,
        message: str,
        at: AuditEntry | CorruptEvent | None = None,
        *,
        line: int = 0,
        sequence: int = 0,
        position: int = 0,
        stream: str = "",
        version: int = 0,
    ) -> None:
        if at is not None:
            position, stream, version = at.position, at.stream, at.version
            sequence = at.sequence if isinstance(at, AuditEntry) else sequence
        self.explained = True
        self.findings.append(Finding(damage, message, line, sequence, position, stream, version))


def _pin_of(head: AuditHead) -> _Pin:
    seal = Seal(SEAL, head.position, head.events, head.journal_hash, head.entries, head.entry_hash, "", "")
    return _Pin("the audit", seal)
