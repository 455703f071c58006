"""What the numbers were measured on: they mean little without it, and the price of an fsync decides half of them."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    system: str
    cores: int
    python: str
    sqlite: str
    fsync_s: float

    def __str__(self) -> str:
        return (
            f"{self.system}, {self.cores} cores, Python {self.python}, SQLite {self.sqlite}, "
            f"fsync of 4 KiB {self.fsync_s * 1e6:,.0f} µs"
        )


def this_machine(scratch: Path) -> Machine:
    """Describe this machine and measure an fsync on the disk of `scratch`."""
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        fsync_s=_fsync_s(scratch),
    )


def _fsync_s(scratch: Path) -> float:
    samples: list[float] = []
    with tempfile.TemporaryFile(dir=scratch) as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            samples.append(time.perf_counter() - started)
    return statistics.median(samples)
