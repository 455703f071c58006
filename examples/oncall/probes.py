"""The tools of the prober: measurements that take their time."""

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from treadle import tool

from .ledger import note_execution
from .place import HOST, here


@tool(read_only=True)
def cpu_time(over_s: float = 1.0) -> dict[str, Any]:
    """How much of the processors' time was used, measured over a while.

    Args:
        over_s: Seconds to measure.
    """
    note_execution()
    before = _cpu_ticks()
    time.sleep(over_s)
    idle, total = (after - earlier for earlier, after in zip(before, _cpu_ticks(), strict=True))
    return {"busy_percent": round(100 * (1 - idle / total), 1) if total else 0.0, "measured_s": over_s}


@tool(read_only=True)
def fsync_time(writes: int = 20) -> dict[str, Any]:
    """How long the disk takes to make a small write durable.

    Args:
        writes: How many are measured.
    """
    note_execution()
    took: list[float] = []
    with tempfile.TemporaryFile(dir=here().directory) as file:
        for _ in range(writes):
            file.write(b"x" * 512)
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - start)
    return _summary("fsync", took)


@tool(read_only=True)
async def nats_round_trip(pings: int = 50) -> dict[str, Any]:
    """How long the NATS server takes to answer a PING, over a connection of its own.

    Args:
        pings: How many are measured.
    """
    note_execution()
    took: list[float] = []
    async with asyncio.timeout(10.0):
        reader, writer = await asyncio.open_connection(HOST, here().nats_port)
        try:
            await reader.readline()  # INFO
            writer.write(b'CONNECT {"verbose":false}\r\n')
            for _ in range(pings):
                start = time.perf_counter()
                writer.write(b"PING\r\n")
                while (line := await reader.readline()) != b"PONG\r\n":
                    if not line:
                        raise ConnectionError("the NATS server closed the connection")
                took.append(time.perf_counter() - start)
        finally:
            writer.close()
    return _summary("ping", took)


def _summary(what: str, took: list[float]) -> dict[str, Any]:
    ordered = sorted(took)
    return {
        f"{what}_median_ms": round(1000 * ordered[len(ordered) // 2], 3),
        f"{what}_worst_ms": round(1000 * ordered[-1], 3),
        f"{what}s": len(ordered),
    }


def _cpu_ticks() -> tuple[int, int]:
    """Idle and all time of all processors since the machine started."""
    ticks = [int(field) for field in Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


PROBER = [cpu_time, fsync_time, nats_round_trip]
