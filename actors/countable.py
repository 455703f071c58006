"""A usage that can be recorded: counts of tokens and a cost as there are, and not what a broken server says.

A count that is none, half a token say, would be read back by nobody: the run's stream and its budget's would be lost.
One that is negative would give a budget room that nobody has paid for. So what is no count makes a usage unknown.
"""

from typing import Final

from msgspec import structs

from ..events.message import Usage

_MOST: Final = 10**12


def is_count(told: object) -> bool:
    """Whether that is a number of tokens: whole, not negative, and no more than there are."""
    return type(told) is int and 0 <= told <= _MOST


def is_countable(usage: object) -> bool:
    """Whether that is a usage that can be recorded, added to others and read again."""
    if not isinstance(usage, Usage):
        return False
    *counts, cost_usd = structs.astuple(usage)
    return all(map(is_count, counts)) and _is_cost(cost_usd)


def _is_cost(told: object) -> bool:
    return isinstance(told, int | float) and not isinstance(told, bool) and 0 <= told <= _MOST
