"""What a verification found, and where."""

from typing import Literal, TypeAlias

from msgspec import Struct

Damage: TypeAlias = Literal["edited", "missing", "added", "reordered", "truncated", "malformed", "forged", "unsigned"]


class Finding(Struct, frozen=True, omit_defaults=True):
    """One thing that is not as it was recorded.

    Attributes:
        damage: What was done, as far as it can be told.
        message: A sentence that says where and what.
        line: Of the export file, from 1; 0 when there is no file.
        sequence: Of the audit entry; 0 when no entry is named.
        position, stream, version: Of the event; 0 and empty when no event is named.
    """

    damage: Damage
    message: str
    line: int = 0
    sequence: int = 0
    position: int = 0
    stream: str = ""
    version: int = 0


class AuditReport(Struct, frozen=True):
    """The outcome of a verification.

    Attributes:
        entries, events: How many were compared; `events` is 0 for a file.
        seals: How many seals were compared.
        sealed_position: Up to where the journal is covered by a good signature.
        findings: In the order of the places they name.
    """

    entries: int
    events: int
    seals: int
    sealed_position: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Nothing was found."""
        return not self.findings

    @property
    def signed(self) -> bool:
        """There was a seal with a good signature. Without one, a cut that took audit and journal alike is not seen."""
        return self.sealed_position > 0
