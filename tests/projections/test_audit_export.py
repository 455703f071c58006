"""Every line of an export is edited, deleted, moved and cut, and two independent verifiers have to find it."""

import io
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from recording import write_runs

from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.signing import Ed25519Signer, check_signature
from treadle.gateways.views import SqliteViews
from treadle.projections import Audit, AuditReport, Projections, verify_export
from treadle.projections.audit_entry import entry_hash, entry_line, read_entry

DEADLINE_S = 20.0
SIGNER = Ed25519Signer.generate()
ENTRIES = 12
VERIFIER = Path(__file__).parents[2] / "examples" / "verify_audit.py"
LINES = range(1, ENTRIES + 1)
"""Where the entries are, counted from 0."""


@pytest.fixture
async def lines() -> list[bytes]:
    journal = MemoryJournal()
    await write_runs(journal, 3)
    out = io.BytesIO()
    async with SqliteViews() as views, Projections(journal, views, [Audit(SIGNER)]) as projections:
        await projections.catch_up(DEADLINE_S)
        await projections.audit.export(out)
    await journal.close()
    return out.getvalue().splitlines()


def verify(lines: list[bytes], public_key: str = SIGNER.public_key) -> AuditReport:
    return verify_export(lines, public_key, check_signature)


def standalone(path: Path, lines: list[bytes], key: str = SIGNER.public_key) -> tuple[int, str]:
    export = path / "audit.jsonl"
    export.write_bytes(b"\n".join(lines) + b"\n")
    done = subprocess.run(
        [sys.executable, str(VERIFIER), str(export), key], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def rechained(lines: list[bytes], index: int) -> list[bytes]:
    """Entry `index` names another actor, and every entry after it is chained anew."""
    changed, chain = list(lines), read_entry(lines[index])[0].prev_hash
    for at in range(index, len(lines) - 1):
        entry, _ = read_entry(lines[at])
        actor = "user:nobody" if at == index else entry.actor
        entry = msgspec.structs.replace(entry, actor=actor, prev_hash=chain)
        chain = entry_hash(entry)
        changed[at] = entry_line(msgspec.structs.replace(entry, hash=chain))
    return changed


def test_an_export_that_was_not_touched_is_sound(lines: list[bytes], tmp_path: Path) -> None:
    report = verify(lines)
    assert (report.ok, report.signed, report.entries, report.sealed_position) == (True, True, ENTRIES, 24)
    assert standalone(tmp_path, lines) == (0, "12 entries, chained and sealed: nothing was changed\n")


@pytest.mark.parametrize("index", LINES)
def test_an_edited_entry_is_found_at_its_line(lines: list[bytes], index: int) -> None:
    entry, _ = read_entry(lines[index])
    lines[index] = lines[index].replace(b'"user_id":"user-', b'"user_id":"uses-')
    (finding,) = verify(lines).findings
    assert (finding.damage, finding.line, finding.sequence) == ("edited", index + 1, index)
    assert (finding.position, finding.stream, finding.version) == (entry.position, entry.stream, entry.version)


@pytest.mark.parametrize("index", LINES)
def test_a_deleted_entry_is_found_where_it_was(lines: list[bytes], index: int) -> None:
    del lines[index]
    (finding,) = verify(lines).findings
    assert finding.damage == ("truncated" if index == ENTRIES else "missing")
    assert finding.sequence == index


@pytest.mark.parametrize("index", LINES[:-1])
def test_two_swapped_entries_are_found(lines: list[bytes], index: int) -> None:
    lines[index], lines[index + 1] = lines[index + 1], lines[index]
    (finding,) = verify(lines).findings
    assert (finding.damage, finding.line, finding.sequence) == ("reordered", index + 2, index)


@pytest.mark.parametrize("index", LINES)
def test_an_entry_that_was_rewritten_with_a_good_hash_is_found(lines: list[bytes], index: int) -> None:
    lines[index] = rechained(lines, index)[index]
    (finding,) = verify(lines).findings
    assert (finding.damage, finding.sequence) == ("edited", index)


@pytest.mark.parametrize("index", LINES)
def test_a_tail_that_was_chained_anew_does_not_match_the_seal(lines: list[bytes], index: int) -> None:
    (finding,) = verify(rechained(lines, index)).findings
    assert (finding.damage, finding.sequence) == ("edited", ENTRIES)


@pytest.mark.parametrize("kept", range(ENTRIES + 1))
def test_a_file_that_was_cut_off_has_no_seal(lines: list[bytes], kept: int) -> None:
    findings = verify(lines[: kept + 1]).findings
    assert [finding.damage for finding in findings] == ["truncated"]
    assert f"ends at line {kept + 1} without a seal" in findings[0].message


@pytest.mark.parametrize("kept", range(ENTRIES))
def test_entries_cut_off_before_the_seal_are_counted(lines: list[bytes], kept: int) -> None:
    (finding,) = verify([*lines[: kept + 1], lines[-1]]).findings
    assert (finding.damage, finding.sequence) == ("truncated", kept + 1)


def test_an_entry_that_is_there_twice_was_added(lines: list[bytes]) -> None:
    (finding,) = verify([*lines[:6], lines[5], *lines[6:]]).findings
    assert (finding.damage, finding.line, finding.sequence) == ("added", 7, 5)


def test_an_entry_after_those_that_were_sealed_was_added(lines: list[bytes]) -> None:
    last, _ = read_entry(lines[-2])
    more = msgspec.structs.replace(last, sequence=ENTRIES + 1, prev_hash=last.hash)
    added = entry_line(msgspec.structs.replace(more, hash=entry_hash(more)))
    (finding,) = verify([*lines[:-1], added, lines[-1]]).findings
    assert (finding.damage, finding.sequence) == ("added", ENTRIES + 1)


async def test_an_export_signed_with_another_key_is_forged(lines: list[bytes], tmp_path: Path) -> None:
    other = Ed25519Signer.generate().public_key
    report = verify(lines, other)
    assert [(finding.damage, finding.line) for finding in report.findings] == [("forged", ENTRIES + 2)]
    assert not report.signed
    assert standalone(tmp_path, lines, other) == (1, "line 14: the seal is not signed with this key\n")


def test_an_export_that_nobody_signed_says_so(lines: list[bytes]) -> None:
    head, _, _ = lines[-1].partition(b',"signature":"')
    unsigned = [*lines[:-1], head + b',"signature":""}']
    assert [finding.damage for finding in verify(unsigned).findings] == ["unsigned"]


def test_an_edited_seal_is_forged(lines: list[bytes]) -> None:
    lines[-1] = lines[-1].replace(b'"events":24', b'"events":23')
    assert [finding.damage for finding in verify(lines).findings] == ["forged"]


def test_lines_that_are_no_entries_are_named(lines: list[bytes]) -> None:
    findings = verify([*lines[:4], b"hello", b"[]", *lines[4:]]).findings
    assert [(finding.damage, finding.line) for finding in findings] == [("malformed", 5), ("malformed", 6)]


def test_an_empty_file_is_cut_off() -> None:
    assert [finding.damage for finding in verify([]).findings] == ["truncated"]


# --- the program that knows nothing of treadle -----------------------------------------------------------------------


def test_the_standalone_verifier_imports_nothing_of_treadle() -> None:
    assert "import treadle" not in VERIFIER.read_text()
    assert "from treadle" not in VERIFIER.read_text()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("edited", "line 6: entry 5 (event 1 of run-r000001) was edited"),
        ("deleted", "line 6: entry 6 (event 4 of run-r000001) is preceded by 1 missing: entry 5 was expected"),
        ("swapped", "line 6: entry 6 (event 4 of run-r000001) is preceded by 1 missing: entry 5 was expected"),
        ("rewritten", "line 7: entry 5 before entry 6 (event 4 of run-r000001) was rewritten"),
        ("rechained", "entry 12 is not the one that was sealed"),
        ("cut", "line 13: the file was cut off, its seal is missing"),
        ("shortened", "the end was cut off: entries 11 to 12 are missing"),
        ("garbled", "line 6: not a line of an audit"),
    ],
)
def test_the_standalone_verifier_finds_it_too(lines: list[bytes], tmp_path: Path, kind: str, said: str) -> None:
    match kind:
        case "edited":
            lines[5] = lines[5].replace(b"agent-1", b"agent-2")
        case "deleted":
            del lines[5]
        case "swapped":
            lines[5], lines[6] = lines[6], lines[5]
        case "rewritten":
            lines[5] = rechained(lines, 5)[5]
        case "rechained":
            lines = rechained(lines, 5)
        case "cut":
            lines = lines[:-1]
        case "shortened":
            lines = [*lines[:11], lines[-1]]
        case _:
            lines[5] = b"hello"
    code, printed = standalone(tmp_path, lines)
    assert code == 1
    assert printed.startswith(said), printed
    assert not verify(lines).ok


def test_the_standalone_verifier_takes_the_key_from_a_file(lines: list[bytes], tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    key.write_text(SIGNER.public_key + "\n")
    assert standalone(tmp_path, lines, str(key))[0] == 0
