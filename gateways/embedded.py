"""The small systems behind agents that no system hosts: one for each journal and event loop."""

import asyncio

from ..events.journal import Journal
from .journals import open_journal
from .node import Node

_nodes: dict[tuple[asyncio.AbstractEventLoop, str], "asyncio.Task[Node]"] = {}
_memory: Journal | None = None


async def embedded_node(spec: str) -> Node:
    """This loop's node over the journal `spec`: made once, shared by all agents that name it.

    The journal in memory is one for the process, so that it outlives a loop: `asyncio.run` may be called again.
    """
    loop = asyncio.get_running_loop()
    making = _nodes.get((loop, spec))
    if making is None:
        making = _nodes[loop, spec] = loop.create_task(_make(spec))
    try:
        return await asyncio.shield(making)
    except BaseException:
        if making.done():
            _nodes.pop((loop, spec), None)
        raise


async def close_embedded(spec: str) -> None:
    """Close this loop's node over `spec`, if there is one."""
    making = _nodes.pop((asyncio.get_running_loop(), spec), None)
    if making is not None:
        await (await making).close()


async def _make(spec: str) -> Node:
    global _memory
    await _let_go_of_left()
    if spec != "memory":
        node = Node(await open_journal(spec))
    else:
        if _memory is None:
            _memory = await open_journal(spec)
        node = Node(_memory, owns_journal=False)
    await node.start()
    return node


async def _let_go_of_left() -> None:
    """Let go of what loops that have ended left behind: a journal that is open there still counts as alive."""
    for (loop, spec), making in tuple(_nodes.items()):
        if not loop.is_closed():
            continue
        if making.done() and not making.cancelled() and making.exception() is None:
            await making.result().let_go()
        # Only now: whoever opens the same journal meanwhile has to wait for this, too.
        _nodes.pop((loop, spec), None)
