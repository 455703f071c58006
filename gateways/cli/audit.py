"""`treadle audit`: who did what, whether anybody changed it since, and a copy to hand out."""

import contextlib
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from typer import Argument, Option

from ...events.errors import ConfigError
from ...projections import Audit, AuditEntry, AuditReport, Finding, ProjectionStopped, verify_audit, verify_export
from ...projections.seal import CheckSignature
from ..signing import check_signature
from .command import Call, command
from .output import Columns
from .place import Place
from .reading import audit_home, read_journal, read_projections
from .writing import open_output

app = typer.Typer(help="Verify, list and export the audit.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Verify, list and export the audit."""


@command(app)
async def verify(
    call: Call,
    export: Annotated[Path | None, Option(help="Verify this exported file, instead of journal and audit.")] = None,
    public_key: Annotated[
        str,
        Option(help="Key of the seals, hex, from where nobody could change it. Default: the file beside the seals."),
    ] = "",
    seals: Annotated[
        Path | None,
        Option(help="Seals that were copied elsewhere, or another node's. Default: those that are kept here."),
    ] = None,
) -> None:
    """Find what was edited, deleted, added, reordered or cut off in journal and audit; exit code 1 if something was."""
    home = audit_home(call.place)
    key = public_key or ("" if seals is not None else home.public_key())
    if export is not None:
        if not key:
            raise ConfigError("an export is verified with its public key; give --public-key")
        report = verify_export(_lines(export), key, check_signature)
    else:
        report = await _verify(call.place, home.looking(seals), key)
    if not report.signed and not report.findings:
        call.out.note("there is no seal to check: a cut that took journal and audit alike would not be seen")
    if call.out.json:
        call.out.object({"ok": report.ok, "signed": report.signed, **msgspec.to_builtins(report)})
    else:
        _tell(call, report)
    unchecked = export is None and not key and report.seals > 0
    if unchecked:
        # Whoever can delete one file must not be able to turn the signatures off.
        missing = f"there are {report.seals} seals, and no key to check their signatures with; give --public-key"
        call.out.error("Unchecked", missing)
    call.exit(0 if report.ok and not unchecked else 1)


@command(app)
async def export(
    call: Call, file: Annotated[Path, Argument(help="A new file; `-` is standard output.", allow_dash=True)]
) -> None:
    """Write the audit with a signed seal, to be verified anywhere."""
    kept = audit_home(call.place).exporting()
    async with read_projections(call.place, kept):
        with open_output(file) as out:
            seal = await kept.export(out)
    if kept.signer is None:
        call.out.note("the export is not signed: this journal has no key here")
    if str(file) != "-":
        if call.out.json:
            call.out.object({"entries": seal.entries, "output": str(file), "public_key": seal.public_key})
        signed = f", signed with {seal.public_key}" if seal.public_key else ""
        call.out.say(f"{seal.entries} entries written to {file}{signed}")


@command(app, "list")
async def list_(
    call: Call,
    user: Annotated[str | None, Option(help="Only what concerns this user.")] = None,
    session: Annotated[str | None, Option(help="Only in this session.")] = None,
    run: Annotated[str | None, Option(help="Only in this run.")] = None,
    actor: Annotated[str | None, Option(help="Only what they did: user:…, agent:…, process:…")] = None,
    action: Annotated[str | None, Option(help="Only this: run.started, run.tool_requested …")] = None,
    after: Annotated[int, Option(min=0, help="Only entries above this number.")] = 0,
    limit: Annotated[int, Option(min=1, help="How many.")] = 100,
) -> None:
    """List who did what, the oldest first."""
    kept = audit_home(call.place).looking()
    async with read_projections(call.place, kept):
        entries = await kept.list(
            user_id=user, session_id=session, run_id=run, actor=actor, action=action, after=after, limit=limit
        )
    call.out.rows(entries, COLUMNS, empty="no entries")


async def _verify(place: Place, kept: Audit, key: str) -> AuditReport:
    check: CheckSignature | None = check_signature if key else None
    async with read_journal(place) as journal, read_projections(place, kept, catch_up=False) as projections:
        with contextlib.suppress(ProjectionStopped):  # the verification finds out why
            await projections.catch_up()
        return await verify_audit(journal, kept, key, check)


def _lines(file: Path) -> list[bytes]:
    try:
        return file.read_bytes().splitlines()
    except OSError as exc:
        raise ConfigError(f"{str(file)!r} cannot be read: {exc.strerror}") from exc


def _tell(call: Call, report: AuditReport) -> None:
    compared = f"{report.entries} entries, {report.events} events, {report.seals} seals"
    if report.ok:
        signed = f", signed up to position {report.sealed_position}" if report.signed else ", not signed"
        call.out.say(f"nothing was changed: {compared}{signed}", "green")
        return
    call.out.rows(report.findings, FINDING_COLUMNS)
    call.out.error("Tampered", f"{len(report.findings)} findings in {compared}")


def _place(finding: Finding) -> str:
    named = (
        (finding.line, f"line {finding.line}"),
        (finding.sequence, f"entry {finding.sequence}"),
        (finding.position, f"position {finding.position}"),
        (finding.stream, f"{finding.stream} event {finding.version}"),
    )
    return ", ".join(text for there, text in named if there)


FINDING_COLUMNS: Columns[Finding] = {
    "damage": lambda finding: finding.damage,
    "where": _place,
    "what": lambda finding: finding.message,
}

COLUMNS: Columns[AuditEntry] = {
    "entry": lambda entry: entry.sequence,
    "at": lambda entry: entry.at,
    "actor": lambda entry: entry.actor,
    "action": lambda entry: entry.action,
    "entity": lambda entry: entry.entity,
    "detail": lambda entry: msgspec.json.encode(entry.detail).decode() if entry.detail else "",
}
