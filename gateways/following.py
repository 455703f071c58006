"""The events of one stream, those that there are and those to come."""

from collections.abc import AsyncIterator

from ..events.envelope import StreamName
from ..events.event import Event
from ..events.journal import Journal

_PAGE = 500


async def follow(journal: Journal, stream: StreamName, after: int = 0) -> AsyncIterator[Event]:
    """All events above version `after` of the stream, then new ones as they come, for ever."""
    while True:
        position = await journal.last_position()
        page = await journal.read(stream, after, _PAGE)
        for recorded in page:
            after = recorded.version
            yield recorded.event
        if not page:
            await journal.wait(position)
