"""Verifies an exported audit, with nothing but the file and the public key.

`examples/verify_audit.py` does the same and imports nothing of Treadle; this one is for the command line and for tests.
"""

from collections.abc import Iterable

from ..events.envelope import GENESIS
from ..events.errors import Undecodable
from .audit_entry import AuditEntry, read_entry
from .audit_report import AuditReport, Finding
from .seal import CheckSignature, Seal, read_seal


def verify_export(lines: Iterable[bytes], public_key: str, check: CheckSignature) -> AuditReport:
    """Find what was edited, deleted, added, reordered or cut off in an export since it was written.

    Args:
        lines: The file's lines.
        public_key: The key the seal has to be signed with, hex, from a place you trust: not from the file.
    """
    findings: list[Finding] = []
    entries: dict[int, tuple[int, AuditEntry, bool]] = {}
    sealed: tuple[int, Seal] | None = None
    highest = last_line = 0
    for last_line, raw in enumerate(lines, 1):
        line = raw.rstrip(b"\r\n")
        if last_line == 1 and line.startswith(b'{"treadle":"audit-export"'):
            continue
        try:
            if line.startswith(b'{"treadle":"audit-seal"'):
                seal = _verified_seal(line, last_line, public_key, check, findings)
                sealed = (last_line, seal)
                continue
            entry, intact = read_entry(line)
        except Undecodable as exc:
            findings.append(Finding("malformed", f"line {last_line}: {exc}", last_line))
            continue
        if not intact:
            findings.append(_at("edited", last_line, entry, "was edited: it does not match its hash"))
        if entry.sequence in entries:
            findings.append(_at("added", last_line, entry, f"is there twice, see line {entries[entry.sequence][0]}"))
            continue
        if entry.sequence < highest:
            findings.append(_at("reordered", last_line, entry, f"stands after entry {highest}"))
        highest = max(highest, entry.sequence)
        entries[entry.sequence] = (last_line, entry, intact)
    if last_line == 0 or sealed is None:
        findings.append(Finding("truncated", f"the file ends at line {last_line} without a seal", last_line))
    end = max(highest, sealed[1].entries if sealed is not None else 0)
    findings.extend(_holes(entries, end, highest))
    findings.extend(_broken_links(entries))
    if sealed is not None:
        findings.extend(_against_seal(entries, highest, *sealed))
    forged = any(finding.damage in ("forged", "unsigned") for finding in findings)
    position = sealed[1].position if sealed is not None and not forged else 0
    findings.sort(key=lambda finding: finding.line or last_line)
    return AuditReport(len(entries), 0, int(sealed is not None), position, tuple(findings))


def _verified_seal(line: bytes, number: int, public_key: str, check: CheckSignature, findings: list[Finding]) -> Seal:
    seal, message, signature = read_seal(line)
    if not signature:
        findings.append(Finding("unsigned", f"line {number}: the seal is not signed", number))
    elif seal.public_key != public_key:
        why = f"the seal was signed with key {seal.public_key[:16]}…, not with {public_key[:16]}…"
        findings.append(Finding("forged", f"line {number}: {why}", number))
    elif not check(public_key, message, signature):
        findings.append(Finding("forged", f"line {number}: the seal does not match its signature", number))
    return seal


def _holes(entries: dict[int, tuple[int, AuditEntry, bool]], end: int, highest: int) -> list[Finding]:
    found: list[Finding] = []
    missing = [sequence for sequence in range(1, end + 1) if sequence not in entries]
    while missing:
        first = last = missing.pop(0)
        while missing and missing[0] == last + 1:
            last = missing.pop(0)
        what = f"entry {first} is" if first == last else f"entries {first} to {last} are"
        if first > highest:
            found.append(
                Finding("truncated", f"{what} missing at the end: the seal covers {end} entries", sequence=first)
            )
        else:
            line, after, _ = entries[last + 1]
            found.append(
                Finding("missing", f"{what} missing before line {line} (event position {after.position})", line, first)
            )
    return found


def _broken_links(entries: dict[int, tuple[int, AuditEntry, bool]]) -> list[Finding]:
    found: list[Finding] = []
    for sequence, (line, entry, intact) in entries.items():
        before = entries.get(sequence - 1)
        expected = GENESIS if sequence == 1 else before[1].hash if before is not None else entry.prev_hash
        if entry.prev_hash == expected or not intact:
            continue
        if before is not None and before[2]:
            why = (
                f"was rewritten: entry {sequence} is chained to {entry.prev_hash[:12]}…, it has {before[1].hash[:12]}…"
            )
            found.append(_at("edited", before[0], before[1], why))
        elif before is None:
            found.append(_at("edited", line, entry, "is the first and is chained to an entry before it"))
    return found


def _against_seal(
    entries: dict[int, tuple[int, AuditEntry, bool]], highest: int, line: int, seal: Seal
) -> list[Finding]:
    if highest > seal.entries:
        at, entry, _ = entries[highest]
        return [_at("added", at, entry, f"is not covered: the seal covers {seal.entries} entries")]
    last = entries.get(seal.entries)
    if last is not None and last[1].hash != seal.entry_hash:
        why = f"ends the chain with {last[1].hash[:12]}…, sealed was {seal.entry_hash[:12]}… (line {line})"
        return [_at("edited", last[0], last[1], why)]
    return []


def _at(damage: str, line: int, entry: AuditEntry, why: str) -> Finding:
    where = (
        f"line {line}: entry {entry.sequence} (event {entry.version} of {entry.stream!r} at position {entry.position})"
    )
    return Finding(
        damage,  # type: ignore[arg-type]
        f"{where} {why}",
        line,
        entry.sequence,
        entry.position,
        entry.stream,
        entry.version,
    )
