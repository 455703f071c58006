"""How the visit of a node is called among the steps of its run: `route~billing:2`, the second visit of `route_billing`.

The name is of the graph and not of the moment, so branches that run beside one another have the same names in a replay,
whoever was quicker. What parts the names of steps and calls, `-` and `_`, and the visit, `:`, is written otherwise.
"""

import re
from functools import lru_cache
from urllib.parse import quote, unquote

_OTHERWISE = str.maketrans({"-": "%2D", "~": "%7E", "_": "~"})
_VISIT = re.compile(r"(?P<node>[^-:_]+):(?P<number>\d+)(?=-)")


@lru_cache(maxsize=4096)
def _written(node: str) -> str:
    return quote(node, safe="-~_ ").translate(_OTHERWISE)


def visit_name(node: str, number: int) -> str:
    """The name of a visit."""
    return f"{_written(node)}:{number}"


def visit_in(step: str) -> tuple[str, int] | None:
    """The node and the number of the visit that a step belongs to; None for a step of no visit."""
    found = _VISIT.match(step)
    return (unquote(found["node"].replace("~", "_")), int(found["number"])) if found is not None else None
