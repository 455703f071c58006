"""How the actors of one kind are made and kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import pykka

from .actor import CoroutineActor
from .supervisor import Supervision

__all__ = ["Actor", "Factory", "Kind"]

Actor: TypeAlias = CoroutineActor | pykka.Actor
"""A coroutine actor or a `pykka.ThreadingActor`; to a checker, the former is not a pykka actor."""

Factory: TypeAlias = Callable[[str], Actor]
"""Makes the actor for an address: not started, and a new one each time."""


@dataclass(slots=True, kw_only=True)
class Kind:
    """Settings that all actors of a kind share.

    Args:
        capacity: Messages that may wait in a mailbox.
        stash_capacity: Messages that may be held back.
        idle_timeout_s: Passivate an actor that had nothing to do for so long; `None` is never.
        wakes: A message to an address without a live actor starts one.
    """

    factory: Factory
    supervision: Supervision
    capacity: int
    stash_capacity: int
    idle_timeout_s: float | None = None
    wakes: bool = False
