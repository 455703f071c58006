"""How many servers of a cluster keep a stream: three, so that any one of them may be gone.

A stream gets what was asked for, else three, or as many as there are; one server alone has one. Replicas are added to a
stream that has fewer and never taken away: what an operator has raised stays, and so does what another node asked for.
Consumers have the replicas of their stream. A cluster that has too few servers up gives what it can, which is told; the
auditor, which lays the streams again and again, adds the rest when they are there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from ...events.errors import ConfigError, Unavailable
from ...events.logs import get_logger
from .jetstream import JetStream, JetStreamError

PLENTY: Final = 3
"""More would let two servers be gone, and every message wait for three disks."""

_NO_PEERS: Final = 10005
_ALONE: Final = 10074
_SETTLED_WITHIN_S: Final = 30.0
_LOOK_S: Final = 0.1

_log = get_logger("treadle.nats")


async def with_replicas(js: JetStream, stream: str, has: int, lay: Callable[[int], Awaitable[object]]) -> None:
    """Lay `stream`, which `has` so many replicas, with more of them if it shall have more.

    Args:
        has: 0 for a stream that is not there yet.
        lay: Called with a number of replicas; with a smaller one if the servers do not suffice and none was asked for.
    Raises:
        ConfigError: There are fewer servers than replicas were asked for.
        Unavailable: A stream that was there gets more replicas, and that takes too long.
    """
    wanted = js.replicas or (PLENTY if js.cluster else 1)
    # Descending: with two servers up, two.
    for replicas in range(wanted, has, -1):
        try:
            await lay(replicas)
        except JetStreamError as error:
            if error.err_code not in (_NO_PEERS, _ALONE):
                raise
            if js.replicas:
                raise ConfigError(_too_many(js, stream, has)) from error
        else:
            if has:
                _log.warning("stream %s had %d replicas and gets %d", stream, has, replicas)
                await _settled(js, stream, replicas)
            if replicas < wanted:
                _log.warning("stream %s has %d replicas and not %d: too few servers are up", stream, replicas, wanted)
            return


async def _settled(js: JetStream, stream: str, replicas: int) -> None:
    """Until `stream` has its new servers and one of them leads: before that, it takes no messages and no consumers."""
    try:
        async with asyncio.timeout(_SETTLED_WITHIN_S):
            while True:
                cluster = (await js.call(f"STREAM.INFO.{stream}")).get("cluster", {})
                if cluster.get("leader") and len(cluster.get("replicas", ())) == replicas - 1:
                    return
                await asyncio.sleep(_LOOK_S)
    except TimeoutError as exc:
        why = f"it is being given {replicas} replicas, and none of them leads after {_SETTLED_WITHIN_S:g} s"
        raise Unavailable(f"stream {stream!r}", why) from exc


def _too_many(js: JetStream, stream: str, has: int) -> str:
    where = (
        f"cluster {js.cluster!r} has too few servers with JetStream that are up" if js.cluster else "one server alone"
    )
    now = f"has {has}" if has else "is not there yet"
    return (
        f"{js.replicas} replicas of stream {stream!r}, which {now}, were asked for, and this is {where}; "
        f"start a cluster of {js.replicas} (nats/cluster.conf), or ask for fewer (--replicas, System(nats_replicas=…))"
    )
