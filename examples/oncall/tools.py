"""The tools of the desk: a closer look at whatever a signal is about, and the pager.

All but the pager only read, so that they may be repeated after a crash. The pager has an effect; it is idempotent,
because the ledger knows the call ids that it has paged for.
"""

import time
from typing import Any

from treadle import tool

from . import readings
from .ledger import note_execution, page_once
from .place import here

RECEIPT_S = 0.4
"""How long the pager takes for its receipt. A crash within it leaves a page that was sent, and nobody who knows."""


@tool(read_only=True)
def load_average() -> dict[str, Any]:
    """How busy the processors are."""
    note_execution()
    return readings.load()


@tool(read_only=True)
def disk_usage() -> dict[str, Any]:
    """How full the disk is that the journal lives on."""
    note_execution()
    return readings.disk(here().directory)


@tool(read_only=True)
def memory_left() -> dict[str, Any]:
    """How much memory the machine has left."""
    note_execution()
    return readings.memory()


@tool(read_only=True)
def journal_size() -> dict[str, Any]:
    """How many events the journal holds, and in how many bytes."""
    note_execution()
    return readings.journal(here().journal)


@tool(read_only=True)
def server_log(lines: int = 200) -> dict[str, Any]:
    """The newest lines of the NATS server's log, counted by severity.

    Args:
        lines: How many.
    """
    note_execution()
    return readings.log(here().server_log(), lines)


@tool(read_only=True)
async def server_figures() -> dict[str, Any]:
    """Connections, messages and memory of the NATS server."""
    note_execution()
    return await readings.server(here())


@tool(read_only=True)
async def stream_figures() -> dict[str, Any]:
    """Messages and bytes in the streams of the NATS server."""
    note_execution()
    return await readings.streams(here())


@tool(idempotent=True)
def page_on_call(urgency: str, text: str) -> str:
    """Tell the person on call; returns when the pager has given its receipt.

    Args:
        urgency: 'low' may wait until the morning, 'high' may not.
        text: What they need to know.
    """
    note_execution()
    sent = page_once(urgency, text)
    time.sleep(RECEIPT_S)
    return "paged" if sent else "paged before"


DESK = [
    load_average,
    disk_usage,
    memory_left,
    journal_size,
    server_log,
    server_figures,
    stream_figures,
    page_on_call,
]
