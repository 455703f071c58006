"""Placement: nodes that agree who takes which signals.

    leases.py      what each node says of itself, in the stream NODES; it expires when it is not said again
    partitions.py  takes the signals of the partitions that a node owns, and drains them
    placement.py   a node's place among the others: renews, takes partitions, drains them, gives them up

The decisions are in `events/placement.py`, their reasons in docs/decisions/0012-placement.md.
"""

from .leases import Leases, LostLease, Nodes
from .partitions import DRAIN_S, SignalPartitions
from .placement import Placement

__all__ = ["DRAIN_S", "Leases", "LostLease", "Nodes", "Placement", "SignalPartitions"]
