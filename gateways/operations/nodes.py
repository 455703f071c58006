"""Asks all nodes of a namespace how they stand, and the broker what waits there for them.

Nodes are found by the services protocol of NATS: whoever answers is there. One that is paused, cut off or dead does not
answer and is not listed, so what counts is how many did.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from nats.aio.msg import Msg

from ...actors.clock import Clock
from ...events.bus import answer
from ...events.errors import TreadleError, Unavailable
from ...events.subjects import Subjects
from ..broker.jetstream import JetStreamError
from ..broker.streams import stream_name
from ..buses.nats import NatsBus
from ..journals.figures import JournalFigures
from .node_status import NodeStatus
from .presence import ENDPOINT, SERVICE, AskNode, NodeAnswer

QUIET_S = 0.4
"""Nobody has answered for so long: nobody else will."""

ANSWER_S = 5.0
SKEW_S = 1.0
"""Clocks that differ by more are worth a warning."""

AGENTS_UP_TO = 10_000
"""Sessions with signals that wait, up to which they are counted by agent."""

_SERVICE_ERROR = "Nats-Service-Error"


class SeenNode(Struct, frozen=True):
    """A node that answered.

    Attributes:
        clock_offset_s: How far its clock is ahead of the broker's.
        clock_error_s: How far that may be wrong: half the time that the answers took.
        status: None when it is there and did not say how it stands; `trouble` is why.
    """

    node_id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    clock_offset_s: float = 0.0
    clock_error_s: float = 0.0
    status: NodeStatus | None = None
    trouble: str = ""


class Waiting(Struct, frozen=True):
    """What the broker keeps for all nodes.

    Attributes:
        signals: Those that wait and those whose runs go on.
        by_agent: The same by agent; empty when they are for more than `AGENTS_UP_TO` sessions.
        events: Messages in EVENTS.
    """

    signals: int
    by_agent: dict[str, int]
    parked: int
    timers: int
    events: int


class Nodes(Struct, frozen=True):
    """All nodes of a namespace.

    Attributes:
        at: When this was asked, by the clock of whoever asked, which is `clock_offset_s` ahead of the broker's.
    """

    namespace: str
    at: datetime
    clock_offset_s: float
    answered: int
    nodes: list[SeenNode]
    waiting: Waiting
    journals: dict[str, JournalFigures]
    warnings: list[str]


async def ask_nodes(bus: NatsBus, subjects: Subjects, clock: Clock, *, journals: bool = True) -> Nodes:
    """Ask everybody.

    Args:
        journals: Ask for the sizes of their journals too, one node of each journal.
    Raises:
        Unavailable: The broker does not answer, or has no streams for this namespace.
    """
    at = clock.now()
    ours = await _broker_offset(bus, subjects, clock)
    found = await _discover(bus, subjects)
    seen = await asyncio.gather(*(_ask(bus, each, ours, clock) for each in found))
    nodes = sorted(seen, key=lambda node: (node.started_at, node.node_id))
    figures, missing = await _journals(bus, subjects, nodes) if journals else ({}, [])
    waiting = await _waiting(bus, subjects)
    return Nodes(
        namespace=subjects.namespace,
        at=at,
        clock_offset_s=ours.ahead_s,
        answered=len(nodes),
        nodes=nodes,
        waiting=waiting,
        journals=figures,
        warnings=[*warnings_of(nodes, waiting, ours.ahead_s), *missing],
    )


def warnings_of(nodes: Sequence[SeenNode], waiting: Waiting, own_offset_s: float) -> list[str]:
    """What somebody should look at; docs/operations.md says what to do."""
    warnings: list[str] = []
    if abs(own_offset_s) > SKEW_S:
        warnings.append(f"the clock of this machine is {_apart(own_offset_s)} the broker's; see chronyc tracking")
    for node in nodes:
        name = f"node {node.node_id}"
        if abs(node.clock_offset_s) > SKEW_S + node.clock_error_s:
            warnings.append(f"{name}: its clock is {_apart(node.clock_offset_s)} the broker's")
        if node.status is None:
            warnings.append(f"{name} is there and does not say how it stands: {node.trouble}")
            continue
        for view, standing in node.status.views.items():
            if standing.stopped:
                warnings.append(f"{name}: projection {view} has stopped: {standing.stopped}")
            elif standing.problems:
                warnings.append(f"{name}: projection {view} has left out {standing.problems} events")
    placed = [node.status.partitions for node in nodes if node.status is not None and node.status.partitions]
    if placed and (free := placed[0].count - len({each for partitions in placed for each in partitions.owned})):
        warnings.append(f"no node that answered has {free} of the {placed[0].count} partitions of the signals")
    hosting = {agent for node in nodes if node.status and "host" in node.status.roles for agent in node.status.agents}
    for agent in sorted(waiting.by_agent.keys() - hosting):
        warnings.append(
            f"{waiting.by_agent[agent]} signals wait for agent {agent!r}, which no node that answered hosts"
        )
    versions = sorted({node.version for node in nodes})
    if len(versions) > 1:
        warnings.append(f"nodes of several versions are there: {', '.join(versions)}")
    return warnings


def _apart(offset_s: float) -> str:
    return f"{abs(offset_s):.1f} s {'ahead of' if offset_s > 0 else 'behind'}"


class _Offset(Struct, frozen=True):
    """How far our clock is ahead of the broker's, and how far that may be wrong."""

    ahead_s: float
    error_s: float


class _Info(Struct, frozen=True):
    """What a service answers to `$SRV.INFO`, as far as we read it."""

    id: str
    metadata: dict[str, str] = {}
    endpoints: tuple["_Endpoint", ...] = ()

    @property
    def subject(self) -> str:
        return next((each.subject for each in self.endpoints if each.name == ENDPOINT), "")


class _Endpoint(Struct, frozen=True):
    name: str
    subject: str


async def _broker_offset(bus: NatsBus, subjects: Subjects, clock: Clock) -> _Offset:
    before, began = clock.now(), clock.monotonic()
    told = (await _info(bus, subjects, "signals", {}))["ts"]
    took_s = clock.monotonic() - began
    ahead_s = (before - datetime.fromisoformat(told)).total_seconds() + took_s / 2
    return _Offset(round(ahead_s, 3), round(took_s / 2, 3))


async def _discover(bus: NatsBus, subjects: Subjects) -> list[_Info]:
    found: list[_Info] = []
    heard = asyncio.Event()

    async def receive(msg: Msg) -> None:
        info = msgspec.json.decode(msg.data, type=_Info)
        if info.metadata.get("namespace") == subjects.namespace and info.subject:
            found.append(info)
        heard.set()

    inbox = bus.client.new_inbox()
    listening = await bus.client.listen(inbox, receive)
    try:
        await bus.client.publish(f"$SRV.INFO.{SERVICE}", b"", inbox)
        while True:
            heard.clear()
            try:
                async with asyncio.timeout(QUIET_S):
                    await heard.wait()
            except TimeoutError:
                return found
    finally:
        await listening.unsubscribe()


async def _ask(bus: NatsBus, info: _Info, ours: _Offset, clock: Clock) -> SeenNode:
    told = info.metadata
    seen = SeenNode(
        node_id=told["owner"],
        host=told["host"],
        pid=int(told["pid"]),
        version=told["treadle"],
        started_at=datetime.fromisoformat(told["started_at"]),
    )
    before, began = clock.now(), clock.monotonic()
    try:
        status = (await _status(bus, info.subject, AskNode())).status
    except TreadleError as exc:
        return msgspec.structs.replace(seen, trouble=str(exc))
    half_s = (clock.monotonic() - began) / 2
    ahead_s = (status.at - before).total_seconds() - half_s + ours.ahead_s
    return msgspec.structs.replace(
        seen, clock_offset_s=round(ahead_s, 3), clock_error_s=round(half_s + ours.error_s, 3), status=status
    )


async def _status(bus: NatsBus, subject: str, asked: AskNode) -> NodeAnswer:
    reply = await bus.request(subject, msgspec.json.encode(asked), ANSWER_S)
    if _SERVICE_ERROR in reply.headers:
        raise Unavailable("the node", reply.headers[_SERVICE_ERROR])
    told: NodeAnswer = msgspec.json.decode(answer(reply), type=NodeAnswer)
    return told


async def _journals(
    bus: NatsBus, subjects: Subjects, nodes: Sequence[SeenNode]
) -> tuple[dict[str, JournalFigures], list[str]]:
    """The figures of each journal by its name, and why some are not here."""
    by_name = {node.status.journal: node.node_id for node in nodes if node.status is not None}
    figures: dict[str, JournalFigures] = {}
    missing: list[str] = []
    for name, node_id in sorted(by_name.items()):
        try:
            told = await _status(bus, subjects.status(node_id), AskNode(journal=True))
        except TreadleError as exc:
            missing.append(f"node {node_id} does not say how large journal {name} is: {exc}")
        else:
            if told.journal is not None:
                figures[name] = told.journal
    return figures, missing


async def _waiting(bus: NatsBus, subjects: Subjects) -> Waiting:
    signals = await _info(bus, subjects, "signals", {})
    by_agent: Counter[str] = Counter()
    if 0 < signals["state"].get("num_subjects", 0) <= AGENTS_UP_TO:
        counted = await _info(bus, subjects, "signals", {"subjects_filter": ">"})
        sessions: dict[str, int] = counted["state"].get("subjects") or {}
        for subject, count in sessions.items():
            by_agent[_agent_of(subjects, subject)] += count
    timers = await _info(bus, subjects, "timers", {"subjects_filter": subjects.timers()})
    return Waiting(
        signals=signals["state"]["messages"],
        by_agent=dict(sorted(by_agent.items())),
        parked=(await _info(bus, subjects, "parked", {}))["state"]["messages"],
        timers=timers.get("total", 0),
        events=(await _info(bus, subjects, "events", {}))["state"]["messages"],
    )


def _agent_of(subjects: Subjects, subject: str) -> str:
    try:
        return subjects.parse_signal(subjects.as_sent(subject)).agent
    except ValueError:
        return "?"  # it will be parked


async def _info(bus: NatsBus, subjects: Subjects, kind: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return await bus.jetstream.call(f"STREAM.INFO.{stream_name(kind, subjects)}", asked)
    except JetStreamError as exc:
        if exc.code == 404:
            raise Unavailable(f"namespace {subjects.namespace!r}", "no node has ever been there: no stream") from exc
        raise
