"""Whether a node is alive, and whether it is ready.

Alive means that starting it again would not help: its loop turns, and what has to run all the time runs. Ready means
that it can do its work now: the journal takes appends, the broker answers, relay and views keep up, and it is not about
to leave. Nothing here compares clocks: lag is counted in events.
"""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from ...events.envelope import EMPTY, Meta, StreamName
from ...events.errors import TreadleError, Unavailable
from ...events.journal import Append, Journal
from ..broker.streams import stream_name
from ..buses.nats import NatsBus

if TYPE_CHECKING:
    from ..system import System

RELAY_EVENTS: Final = 10_000
"""How many events the relay may be behind: a second's work of a busy node."""

VIEW_EVENTS: Final = 10_000
"""How many events a projection may be behind."""

ANSWER_S: Final = 2.0
"""How long the journal and the broker may take to answer."""

_PROBE: Final = Append(StreamName("health-probe"), EMPTY, (), Meta(), datetime.min.replace(tzinfo=UTC))
"""Asks that a stream that is never written ends where it began: a transaction that stores nothing."""


class Trouble(Struct, frozen=True):
    """What is not well, and why, with numbers."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


class Health(Struct, frozen=True):
    """How well a node is.

    Attributes:
        healthy: Starting it again would not help.
        ready: It can do its work now.
        troubles: Why not.
    """

    healthy: bool
    ready: bool
    troubles: tuple[Trouble, ...] = ()


STARTING: Final = Health(True, False, (Trouble("node", "it is starting"),))


def alive(system: "System") -> tuple[Trouble, ...]:
    """What has ended and ought to run."""
    troubles: list[Trouble] = []
    if system.relay is not None and not system.relay.running:
        troubles.append(Trouble("relay", f"its task has ended at position {system.relay.position}"))
    if system.keeps_projections and not system.projections.following:
        troubles.append(Trouble("views", "they are no longer folded; the log says why"))
    return tuple(troubles)


async def health_of(system: "System") -> Health:
    """How well `system` is; answers within a little more than `ANSWER_S`, whatever has gone."""
    if system.draining:
        return Health(True, False, (Trouble("node", "it is draining, to leave"),))
    if not system.is_open:
        return STARTING
    ended = alive(system)
    checks = [_check("journal", _journal(system.journal))]
    if isinstance(system.bus, NatsBus):
        checks.append(_check("broker", _broker(system.bus)))
    if system.keeps_projections:
        checks.append(_check("views", _views(system)))
    found = [trouble for troubles in await asyncio.gather(*checks) for trouble in troubles]
    if not {"journal", "broker"} & {trouble.what for trouble in found}:
        # Otherwise that is why it waits.
        found += await _check("relay", _relay(system))
    troubles = (*ended, *found)
    return Health(not ended, not troubles, troubles)


async def _check(what: str, work: Awaitable[tuple[Trouble, ...]]) -> tuple[Trouble, ...]:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await work
    except TimeoutError:
        return (Trouble(what, f"no answer within {ANSWER_S:g} s"),)
    except TreadleError as exc:
        return (Trouble(what, str(exc)),)


async def _journal(journal: Journal) -> tuple[Trouble, ...]:
    await journal.head(_PROBE.stream)  # says at once why it cannot be reached, where an append waits for it
    await journal.append(_PROBE)
    return ()


async def _broker(bus: NatsBus) -> tuple[Trouble, ...]:
    if not bus.connected:
        raise Unavailable("NATS", f"the connection is lost and is being sought ({bus.outages} times lost before)")
    await bus.jetstream.call(f"STREAM.INFO.{stream_name('signals', bus.subjects)}")
    return ()


async def _views(system: "System") -> tuple[Trouble, ...]:
    troubles: list[Trouble] = []
    for name, lag in (await system.projections.lag()).items():
        if lag.stopped:
            troubles.append(Trouble(f"view {name}", f"it has stopped at position {lag.position}: {lag.stopped}"))
        elif lag.behind > VIEW_EVENTS:
            troubles.append(Trouble(f"view {name}", f"it is {lag.behind} events behind, the bound is {VIEW_EVENTS}"))
    return tuple(troubles)


async def _relay(system: "System") -> tuple[Trouble, ...]:
    relay = system.relay
    if relay is None:
        return ()
    if relay.trouble:
        return (Trouble("relay", f"it waits at position {relay.position}: {relay.trouble}"),)
    behind = await relay.lag()
    if behind > RELAY_EVENTS:
        return (Trouble("relay", f"it is {behind} events behind, the bound is {RELAY_EVENTS}"),)
    return ()
