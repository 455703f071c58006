"""Damages a memory journal behind its back."""

from collections.abc import Callable

from treadle.events.journal import Journal
from treadle.gateways.journals.memory import MemoryJournal


def damage_memory(journal: Journal, stream: str, version: int, change: Callable[[bytes], bytes] | None) -> None:
    """Change a row, or remove it when `change` is None."""
    assert isinstance(journal, MemoryJournal)
    recorder = journal._recorder  # pyright: ignore[reportPrivateUsage]
    entries = recorder._streams[stream]  # pyright: ignore[reportPrivateUsage]
    index = next(i for i, entry in enumerate(entries) if entry[2] == version)
    log = recorder._log  # pyright: ignore[reportPrivateUsage]
    position, name, version, type, stored = entry = entries[index]
    if change is None:
        log[log.index(entry)] = None
        recorder._holes += 1  # pyright: ignore[reportPrivateUsage]
        del entries[index]
    else:
        entries[index] = log[log.index(entry)] = (position, name, version, type, change(stored))
