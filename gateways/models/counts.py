"""The counts of tokens that a provider tells, as far as they are any: SDKs hand on whatever stands in the JSON."""

from typing import cast

from ...actors.countable import is_count


def counted(*told: object) -> tuple[int, ...] | None:
    """These counts, 0 for one that is not told; None when one of them is no count, and so nothing is known of them."""
    counts = tuple(0 if each is None else each for each in told)
    return cast("tuple[int, ...]", counts) if all(map(is_count, counts)) else None
