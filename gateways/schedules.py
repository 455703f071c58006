"""When a timer fires, as people say it and as the NATS server reads it (ADR-51): once at a time, or again and again.

What the server would take and misread is refused here: it fires at once for a time in the past and for one after 2262,
and an empty list in a cron field keeps its stream busy for two seconds before it says no. Whether a cron field's
numbers and a time zone exist is the server's to say; `timers.py` passes that on.
"""

import math
import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from ..events.errors import ConfigError

LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""The server counts nanoseconds in 64 bits, which end in 2262; what is later fires at once there."""

_AT = "@at "
_NAMED = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_RANGE = r"(?:[*?]|\w+(?:-\w+)?)(?:/\d+)?"
_FIELD = re.compile(rf"{_RANGE}(?:,{_RANGE})*\Z", re.ASCII)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+)*\Z")
_CRON = "write 'minute hour day month weekday', as '0 9 * * mon-fri', with seconds before that if wanted, or '@daily'"


class Schedule(Struct, frozen=True):
    """When a timer fires.

    Attributes:
        pattern: For the header `Nats-Schedule`.
        zone: The time zone of a cron pattern, by its IANA name; empty is UTC.
    """

    pattern: str
    zone: str = ""

    @property
    def at(self) -> datetime | None:
        """When it fires, of one that does so once."""
        return datetime.fromisoformat(self.pattern.removeprefix(_AT)) if self.pattern.startswith(_AT) else None

    @property
    def repeats(self) -> bool:
        return not self.pattern.startswith(_AT)


def at(when: datetime, now: datetime) -> Schedule:
    """Once, at `when`.

    Raises:
        ConfigError: It is past, has no zone, or is further away than the server can count.
    """
    if not isinstance(when, datetime):  # pyright: ignore[reportUnnecessaryIsInstance] - programs without types
        raise ConfigError(f"a timer's time must be a datetime, not {type(when).__name__}")
    if when.utcoffset() is None:
        raise ConfigError(f"the time {when.isoformat()} has no zone; write datetime(…, tzinfo=UTC)")
    if when < now:
        raise ConfigError(f"the time {when.isoformat()} is past: it is {now.isoformat(timespec='seconds')}")
    if when >= LATEST:
        raise ConfigError(f"the time {when.isoformat()} is too far away; a timer can wait until {LATEST.year}")
    return Schedule(_AT + when.astimezone(UTC).isoformat().replace("+00:00", "Z"))


def after(delay: float | timedelta, now: datetime) -> Schedule:
    """Once, when `delay` (seconds) has passed.

    Raises:
        ConfigError: It is negative, no number, or further away than the server can count.
    """
    seconds = _seconds(delay, "delay")
    if seconds < 0:
        raise ConfigError(f"the delay {seconds:g} s is negative; a timer fires in the future")
    if seconds >= (LATEST - now).total_seconds():
        raise ConfigError(f"the delay {seconds:g} s is too long; a timer can wait until {LATEST.year}")
    return at(now + timedelta(seconds=seconds), now)


def every(how: str | float | timedelta, zone: str = "") -> Schedule:
    """Again and again: by a cron pattern, or so many seconds apart.

    Args:
        how: `"0 9 * * *"` with five fields, six with seconds first, `"@daily"`; or whole seconds.
        zone: In whose time a cron pattern is meant: `"Europe/Berlin"`. Default: UTC.
    Raises:
        ConfigError: It is neither; says what of it.
    """
    if isinstance(how, str):
        return Schedule(_cron(how), _zone(zone))
    seconds = _seconds(how, "interval")
    if zone:
        raise ConfigError(f"an interval of {seconds:g} s has no zone {zone!r}; a cron pattern has")
    if seconds < 1 or seconds != int(seconds):
        raise ConfigError(f"the interval {seconds:g} s is not possible: whole seconds, at least one")
    if seconds > timedelta(days=36_500).total_seconds():
        raise ConfigError(f"the interval {seconds:g} s is too long; a timer can wait for a hundred years")
    return Schedule(f"@every {int(seconds)}s")


def _seconds(given: float | timedelta, name: str) -> float:
    if isinstance(given, timedelta):
        return given.total_seconds()
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"the {name} must be seconds or a timedelta, not {given!r}")
    return given


def _cron(text: str) -> str:
    fields = text.split()
    if len(fields) == 1 and fields[0] in _NAMED:
        return fields[0]
    if len(fields) not in (5, 6):
        raise ConfigError(f"the cron pattern {text!r} has {len(fields)} fields, not 5 or 6; {_CRON}")
    for field in fields:
        if not _FIELD.match(field):
            raise ConfigError(f"the cron pattern {text!r} is wrong at {field!r}; {_CRON}")
    return " ".join(fields if len(fields) == 6 else ["0", *fields])


def _zone(zone: str) -> str:
    # "Local" would be the zone of whichever server leads the stream today.
    if zone and (not _ZONE.match(zone) or zone == "Local"):
        raise ConfigError(f"{zone!r} is no time zone; write its IANA name, as 'Europe/Berlin'")
    return zone
