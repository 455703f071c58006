"""A feed: in order, on disk first, slow readers slow the model down, gone readers nobody."""

import asyncio
from collections.abc import Sequence

import pytest
from recording import NOON, called
from waiting import until

from treadle.actors.feed import CHUNKS_AHEAD, Batch, Feed, Item
from treadle.actors.model import ModelChunk
from treadle.events.envelope import EMPTY, Meta
from treadle.events.errors import VersionConflict
from treadle.events.journal import Append, Journal
from treadle.events.run import run_stream
from treadle.gateways.journals import open_journal


async def batch(journal: Journal, version: int = 1, call_id: str = "call-1") -> Batch:
    stream = run_stream("r1")
    head = await journal.head(stream) if version > 1 else EMPTY
    events = [called(call_id)]
    return Batch(stream, journal.submit(Append(stream, head, events, Meta(run_id="r1"), NOON)), events, version, NOON)


async def taken(feed: Feed) -> Sequence[Item]:
    return [item async for item in feed]


def text(word: str) -> ModelChunk:
    return ModelChunk("text", word)


async def test_events_and_chunks_come_in_the_order_in_which_they_were_told() -> None:
    journal, feed = await open_journal("memory"), Feed()
    first = await batch(journal)
    feed.recorded(first)
    await feed.chunk(text("a"))
    second = await batch(journal, 2, "call-2")
    feed.recorded(second)
    feed.end()
    assert await taken(feed) == [first, text("a"), second]
    await journal.close()


async def test_an_event_that_was_not_stored_is_not_shown() -> None:
    journal, feed = await open_journal("memory"), Feed()
    await (await batch(journal)).pending
    feed.recorded(await batch(journal, 1, "call-2"))  # the stream has a first event already
    feed.end()
    with pytest.raises(VersionConflict):
        await taken(feed)
    await journal.close()


async def test_a_model_is_ahead_of_a_slow_reader_by_so_many_chunks_and_no_more() -> None:
    feed, told = Feed(), 0

    async def tell() -> None:
        nonlocal told
        for _ in range(3 * CHUNKS_AHEAD):
            await feed.chunk(text("word"))
            told += 1
        feed.end()

    telling = asyncio.create_task(tell())
    await until(lambda: told == CHUNKS_AHEAD - 1)
    reader = aiter(feed)
    for _ in range(10):
        await anext(reader)
    await until(lambda: told >= CHUNKS_AHEAD)
    assert told <= CHUNKS_AHEAD + 10
    assert len([item async for item in reader]) == 3 * CHUNKS_AHEAD - 10
    await telling


async def test_a_reader_that_left_stops_nobody_and_costs_nothing() -> None:
    journal, feed = await open_journal("memory"), Feed()

    async def tell() -> None:
        for _ in range(3 * CHUNKS_AHEAD):
            await feed.chunk(text("word"))

    telling = asyncio.create_task(tell())
    await asyncio.sleep(0)
    assert not telling.done()
    feed.abandon()
    async with asyncio.timeout(20):
        await telling
    feed.recorded(await batch(journal))
    assert await taken(feed) == []
    await journal.close()


async def test_a_reader_waits_for_what_comes_and_for_the_end() -> None:
    feed = Feed()
    reading = asyncio.create_task(taken(feed))
    await asyncio.sleep(0)
    await feed.chunk(text("a"))
    await asyncio.sleep(0)
    assert not reading.done()
    feed.end()
    assert await reading == [text("a")]
