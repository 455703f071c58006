"""How long a provider asks to wait, from the headers of its answer."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_s(headers: Mapping[str, str] | None) -> float | None:
    """The seconds to wait; None when the headers do not say.

    Source: RFC 9110, 10.2.3: seconds or a date; `retry-after-ms` is what OpenAI and others send beside it.
    """
    if headers is None:
        return None
    if (wait_ms := _number(headers.get("retry-after-ms"))) is not None:
        return wait_ms / 1000
    said = headers.get("retry-after")
    if said is None:
        return None
    if (wait_s := _number(said)) is not None:
        return wait_s
    try:
        until = parsedate_to_datetime(said)
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        return max((until - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None  # neither a number nor a date that there is: the policy's own waiting time has to do


def _number(said: str | None) -> float | None:
    try:
        number = float(said) if said is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < float("inf") else None
