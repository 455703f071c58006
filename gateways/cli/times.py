"""Times as people type them."""

from datetime import UTC, date, datetime

import typer


def moment(text: str | None, option: str) -> datetime | None:
    """`2026-01-01` is that day's beginning in UTC; a time without an offset is in UTC."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"{option} {text!r} is no time; write 2026-01-31 or 2026-01-31T12:00:00Z") from exc
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def day(text: str | None, option: str) -> date | None:
    """A day in UTC."""
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"{option} {text!r} is no day; write 2026-01-31") from exc
