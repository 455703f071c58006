"""What a process takes of memory, as the machine counts it."""

import gc
import os
import resource
from pathlib import Path

MB = 1024 * 1024


def resident_mb() -> float:
    """Resident set size of this process, in MiB, after a collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MB


def peak_mb() -> float:
    """The most that it has had so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
