"""The examination afterwards: everything that must hold when every part is back and the nodes have been stopped."""

import asyncio
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from treadle.events.journal import Journal
from treadle.events.subjects import Subjects
from treadle.events.verify import verify
from treadle.gateways.broker.streams import stream_name
from treadle.gateways.buses.nats import NatsBus
from treadle.gateways.journals import open_journal
from treadle.gateways.read_models import open_read_models
from treadle.gateways.relay import POSITION
from treadle.projections import Projections

from . import history as checks
from .history import History
from .site import NAMESPACE, Site

_SUBJECTS = Subjects(NAMESPACE)
_PAGE = 1000
_LOOK_S = 0.25


async def read(journal: Journal) -> History:
    """All of it."""
    events = list(await journal.read_all(0, _PAGE))
    while page := await journal.read_all(events[-1].position if events else 0, _PAGE):
        events += page
    return History(events)


async def until_settled(site: Site, signals: Collection[str], within_s: float) -> list[str]:
    """Until every signal has led to a run, every run has ended, and the broker knows all of it; or what is left."""
    journal = await open_journal(site.journal)
    bus = await NatsBus.connect(site.nats.url, namespace=NAMESPACE)
    left: list[str] = []
    try:
        async with asyncio.timeout(within_s):
            while left := await _left(journal, bus, signals):  # noqa: ASYNC110 - of several systems
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        return [f"after {within_s:g} s of calm: {what}" for what in left]
    finally:
        await bus.close()
        await journal.close()
    return []


async def _left(journal: Journal, bus: NatsBus, signals: Collection[str]) -> list[str]:
    history = await read(journal)
    left = sorted(set(signals) - history.ended_at().keys())
    left += checks.runs_that_did_not_end(history)
    if (untold := len(history.events) - len(set(await _told(bus)))) > 0:
        left.append(f"{untold} of {len(history.events)} events are not in EVENTS")
    return left + await _waiting(bus)


async def examine(site: Site, signals: Collection[str]) -> tuple[History, list[str]]:
    """What is there, and what of it should not be."""
    journal = await open_journal(site.journal)
    bus = await NatsBus.connect(site.nats.url, namespace=NAMESPACE)
    try:
        history = await read(journal)
        effects = site.ledger.effects()
        broken = [
            *map(str, await verify(journal)),
            *checks.runs_that_did_not_end(history),
            *checks.signals_that_did_not_lead_to_one_run(history, signals),
            *checks.effects_that_should_not_be(history, effects),
            *checks.Charges(history).wrong,
            *await _told_wrongly(bus, history),
            *await _views_that_differ(site, journal),
        ]
        broken += [*await _waiting(bus), *await _parked(bus)]
        for node in site.nodes.values():
            broken += [f"{node.name} ended with {code} when it was asked to stop" for code in node.leftovers]
    finally:
        await bus.close()
        await journal.close()
    return history, broken


async def _told_wrongly(bus: NatsBus, history: History) -> list[str]:
    told, known = Counter(await _told(bus)), {recorded.position: recorded for recorded in history.events}
    return [
        f"EVENTS has event {known[position].version if position in known else '?'} at {position} {told[position]} times"
        for position in {*told, *known}
        if told[position] != 1 or position not in known
    ]


async def _told(bus: NatsBus) -> list[int]:
    """The positions that EVENTS has."""
    found: list[int] = []
    sequence = 1
    stream = stream_name("events", _SUBJECTS)
    while page := await bus.jetstream.headers_page(stream, _SUBJECTS.events(), sequence, _PAGE):
        found += [int(headers[POSITION]) for headers in page]
        sequence = int(page[-1]["Nats-Sequence"]) + 1
    return found


async def _waiting(bus: NatsBus) -> list[str]:
    """Consumers of signals that have some to give, or that somebody holds.

    The stream itself may keep a message for a minute after it was acknowledged: the server that leads the consumer
    tells the one that leads the stream once, and what was lost on that way is swept up later.
    """
    listed = await bus.jetstream.call(f"CONSUMER.LIST.{stream_name('signals', _SUBJECTS)}")
    return [
        f"{consumer['name']}: {consumer['num_pending']} signals wait, {consumer['num_ack_pending']} are held"
        for consumer in listed["consumers"]
        if consumer["num_pending"] or consumer["num_ack_pending"]
    ]


async def _parked(bus: NatsBus) -> list[str]:
    page = await bus.jetstream.headers_page(stream_name("parked", _SUBJECTS), ">", 1, _PAGE)
    return [f"{headers['Nats-Subject']} is parked: {headers.get('Treadle-Reason')}" for headers in page]


async def _views_that_differ(site: Site, journal: Journal) -> list[str]:
    """Projections whose rows, folded by three nodes in turn, are not those that one fold from the start makes."""
    views, kept = open_read_models(site.journal, Path(site.directory) / "examiner")
    broken: list[str] = []
    try:
        async with Projections(journal, views, kept) as projections:
            await projections.catch_up()
            broken += [f"a projection left an event out: {problem}" for problem in await projections.problems()]
            for name in projections.names:
                folded = await projections.state_hash(name)
                if await projections.rebuild(name) != folded:
                    broken.append(f"projection {name!r} differs from its rebuild")
    finally:
        await views.close()
    return broken
