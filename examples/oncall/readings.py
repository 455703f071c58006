"""Real figures of this machine, of the NATS server and of the journal. Nothing here is made up, nothing is cached.

Each reading is a mapping of JSON types: what it is called says its unit. Standard library alone, so that the producer,
which knows nothing of Treadle, reads with the same eyes as the agents' tools.
"""

import asyncio
import json
import os
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from .place import HOST, Place

Reading = dict[str, Any]

_MB = 1024 * 1024


def load() -> Reading:
    """How busy the processors are."""
    one, five, _ = os.getloadavg()
    return {"load_1m": round(one, 2), "load_5m": round(five, 2), "cpus": os.cpu_count() or 1}


def disk(directory: Path) -> Reading:
    """How full the disk under `directory` is."""
    usage = shutil.disk_usage(directory)
    return {"used_percent": round(100 * usage.used / usage.total, 1), "free_mb": usage.free // _MB}


def memory() -> Reading:
    """How much memory is left.

    Raises:
        FileNotFoundError: This system has no /proc.
    """
    found: dict[str, int] = {}
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) // 1024
    available, total = found["MemAvailable"], found["MemTotal"]
    return {"available_mb": available, "total_mb": total, "available_percent": round(100 * available / total, 1)}


def journal(path: Path) -> Reading:
    """How much the journal holds.

    Raises:
        sqlite3.Error: It cannot be read now.
    """
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)) as connection:
        (position,) = connection.execute("SELECT coalesce(max(rowid), 0) FROM stored_events").fetchone()
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*") if file.is_file())
    return {"position": position, "size_kb": size // 1024}


def log(path: Path, lines: int = 200) -> Reading:
    """The end of a log file of nats-server, counted by severity."""
    newest = path.read_text("utf-8", "replace").splitlines()[-lines:]
    severities = Counter(tag for line in newest for tag in ("INF", "WRN", "ERR", "FTL") if f"[{tag}]" in line)
    troubles = [line for line in newest if any(f"[{tag}]" in line for tag in ("WRN", "ERR", "FTL"))]
    return {
        "lines": len(newest),
        "warnings": severities["WRN"],
        "errors": severities["ERR"] + severities["FTL"],
        "last_trouble": troubles[-1] if troubles else "",
        "last_line": newest[-1] if newest else "",
    }


async def server(place: Place) -> Reading:
    """How the NATS server is.

    Raises:
        OSError: It does not answer.
    """
    general, connections = await asyncio.gather(_monitor(place, "/varz"), _monitor(place, "/connz"))
    return {
        "version": general["version"],
        "uptime": general["uptime"],
        "memory_mb": general["mem"] // _MB,
        "connections": connections["num_connections"],
        "messages_in": general["in_msgs"],
        "messages_out": general["out_msgs"],
        "slow_consumers": general["slow_consumers"],
    }


async def streams(place: Place) -> Reading:
    """What JetStream holds.

    Raises:
        OSError: The server does not answer.
    """
    found = await _monitor(place, "/jsz?streams=true")
    details = [stream for account in found.get("account_details", []) for stream in account.get("stream_detail", [])]
    return {
        "stored_kb": found["storage"] // 1024,
        "api_errors": found["api"]["errors"],
        "messages": {stream["name"]: stream["state"]["messages"] for stream in details},
    }


async def _monitor(place: Place, path: str) -> Any:
    """The JSON that the server's monitoring port answers with."""
    async with asyncio.timeout(2.0):
        reader, writer = await asyncio.open_connection(HOST, place.monitor_port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
            await writer.drain()
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
    if b" 200 " not in head.splitlines()[0]:
        raise ConnectionError(f"the monitoring port answers {path} with {head.splitlines()[0].decode()!r}")
    return json.loads(body)
