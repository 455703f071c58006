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
    for other, name in tuple(_nodes):
        if other.is_closed():
            del _nodes[other, name]
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
    if spec != "memory":
        node = Node(await open_journal(spec))
    else:
        if _memory is None:
            _memory = await open_journal(spec)
        node = Node(_memory, owns_journal=False)
    await node.start()
    return node
