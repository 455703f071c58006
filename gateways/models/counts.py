"""The counts of tokens that a provider tells, as far as they are any: SDKs hand on whatever stands in the JSON."""

from typing import cast

from ...actors.countable import is_count


def counted(*told: object) -> tuple[int, ...] | None:
    """These counts, 0 for one that is not told; None when one of them is no count, and so nothing is known of them."""
    counts: list[int] = []
    for each in told:
        if each is None:
            counts.append(0)
        elif is_count(each):
            counts.append(cast("int", each))
        else:
            return None
    return tuple(counts)
