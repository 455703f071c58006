"""Verifies an exported audit of Treadle without Treadle: the standard library and `cryptography`.

    python verify_audit.py audit.jsonl PUBLIC_KEY

PUBLIC_KEY is the key in hex, or a file that holds it (`events.audit.key.pub`). Take it from a place you trust, not from
the export: whoever forges an export can sign it with a key of their own.

An export is lines of JSON: a header, the entries, a seal. An entry's last member, `hash`, is the SHA-256 of the line
without that member, and `prev_hash` is the hash of the entry before it. The seal's last member, `signature`, signs the
line without that member, with Ed25519; it names the number of entries and the last one's hash. The exit code is 0 when
all of that holds; otherwise what does not is printed with its line.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

GENESIS = "0" * 64


def without_last_member(line: bytes, name: str) -> bytes:
    """The JSON object in `line` without its last member, byte for byte."""
    return line[: line.rindex(b',"' + name.encode() + b'":')] + b"}"


def signed(line: bytes, seal: dict[str, Any], public_key: str) -> bool:
    if seal["public_key"] != public_key:
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(seal["signature"]), without_last_member(line, "signature"))
    except (InvalidSignature, ValueError):
        return False
    return True


def verify(lines: list[bytes], public_key: str) -> list[str]:
    """What is wrong with an export, in the order of its lines."""
    problems: list[str] = []
    seal: dict[str, Any] | None = None
    before, chain = 0, GENESIS
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
            kind = found.get("treadle", "entry")
            if kind == "audit-seal":
                seal = found
                if not signed(line, found, public_key):
                    problems.append(f"line {number}: the seal is not signed with this key")
                continue
            if kind != "entry":
                continue
            sequence, place = found["sequence"], f"event {found['version']} of {found['stream']}"
            intact = hashlib.sha256(without_last_member(line, "hash")).hexdigest() == found["hash"]
            linked = found["prev_hash"] == chain
        except (ValueError, KeyError, AttributeError) as exc:
            problems.append(f"line {number}: not a line of an audit ({exc})")
            continue
        if not intact:
            problems.append(f"line {number}: entry {sequence} ({place}) was edited")
        if sequence != before + 1:
            what = "moved or added" if sequence <= before else f"preceded by {sequence - before - 1} missing"
            problems.append(f"line {number}: entry {sequence} ({place}) is {what}: entry {before + 1} was expected")
        elif not linked:
            problems.append(f"line {number}: entry {before} before entry {sequence} ({place}) was rewritten")
        before, chain = sequence, found["hash"]
    if seal is None:
        problems.append(f"line {len(lines)}: the file was cut off, its seal is missing")
    elif seal["entries"] > before:
        problems.append(f"the end was cut off: entries {before + 1} to {seal['entries']} are missing")
    elif seal["entries"] < before:
        problems.append(f"entries {seal['entries'] + 1} to {before} were added after the seal was made")
    elif seal["entry_hash"] != chain:
        problems.append(f"entry {before} is not the one that was sealed")
    return problems


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    path, key = arguments
    public_key = Path(key).read_text().strip() if Path(key).is_file() else key
    lines = Path(path).read_bytes().splitlines()
    problems = verify(lines, public_key)
    print("\n".join(problems) or f"{len(lines) - 2} entries, chained and sealed: nothing was changed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
