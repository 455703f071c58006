"""Measured figures by name. A missing or a misspelt one is an error when they are read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

MEASURED = Path(__file__).with_name("measured.toml")


class Run(Struct, frozen=True, forbid_unknown_fields=True):
    turns: int
    commits: int
    events: int
    cpu_ms: float
    database_cpu_ms: float


class Commit(Struct, frozen=True, forbid_unknown_fields=True):
    base_ms: float
    event_us: float
    round_trips: int

    def seconds(self, events: int, network_ms: float) -> float:
        """How long one of so many events holds the lock."""
        return (self.base_ms + self.round_trips * network_ms) / 1e3 + events * self.event_us / 1e6


class Leading(Struct, frozen=True, forbid_unknown_fields=True):
    fold_events_s: float
    publish_events_s: float
    cpu_event_us: float


class Size(Struct, frozen=True, forbid_unknown_fields=True):
    event_bytes: float
    view_bytes_run: float
    archived_event_bytes: float
    session_kib: float


class Failover(Struct, frozen=True, forbid_unknown_fields=True):
    lease_s: float
    beats: int
    ack_wait_s: float
    life_s: float
    look_s: float
    drain_s: float


class Figures(Struct, frozen=True, forbid_unknown_fields=True):
    run: Run
    commit: Commit
    leading: Leading
    size: Size
    failover: Failover


def figures(path: Path = MEASURED) -> Figures:
    """What was measured."""
    return msgspec.convert(tomllib.loads(path.read_text()), Figures)
