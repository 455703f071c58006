"""Timers: signals that are sent later, once or again and again, kept by the NATS server.

A timer is one message of the stream TIMERS, under a subject of its own, with a schedule in its headers (ADR-51). When
it is due the server puts a firing into the same stream, whoever is there; `firings.py` makes a signal of it. So timers
outlive nodes and the server, and setting one under the id of another replaces it.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..actors.clock import SYSTEM_CLOCK, Clock
from ..events.errors import ConfigError, Unavailable, Undecodable
from ..events.redaction import redacted
from ..events.signal import RuntimeSignal, decode_signal
from ..events.subjects import Subjects
from .arguments import check_id, check_text, signal_of
from .broker.jetstream import JetStreamError, Outgoing, StoredMessage
from .broker.streams import stream_name
from .buses.nats import NatsBus
from .schedules import Schedule

REVISION: Final = "Treadle-Revision"
"""Header of a timer: a digest of when and what. Firings of one revision that have one time are one firing."""

ID_LIMIT: Final = 200
"""How long a timer's id may be, in characters: it is a token of a subject."""

_BAD_PATTERN: Final = 10189
_BAD_ZONE: Final = 10223
_AGENT_WITHIN_S: Final = 5.0


class TimerBody(Struct, frozen=True, forbid_unknown_fields=True):
    """What the message of a timer holds, JSON: whom it is for, and the signal as `docs/nats.md` describes it."""

    agent: str
    session_id: str
    signal: dict[str, Any]
    user_id: str = ""


class Timer(Struct, frozen=True):
    """A timer that waits.

    Attributes:
        id: Another timer that is set under it replaces this one.
        schedule: `@at TIME`, `@every 60s`, or a cron pattern whose first field is seconds.
        zone: Of a cron pattern; empty is UTC.
        at: When it fires, if it does so once.
        signal: What it sends to the session.
        set_at: Since when it stands; None for one that was set this moment.
    """

    id: str
    schedule: str
    zone: str
    at: datetime | None
    agent: str
    user_id: str
    session_id: str
    signal: RuntimeSignal
    set_at: datetime | None = None


class Timers:
    """Sets, lists and cancels the timers of a namespace.

    Args:
        hosted: The names of the agents that this process hosts; others are asked for over the bus.
    """

    def __init__(
        self,
        bus: NatsBus,
        subjects: Subjects,
        *,
        hosted: Callable[[], Sequence[str]] = tuple,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._bus = bus
        self._subjects = subjects
        self._hosted = hosted
        self._clock = clock
        self._stream = stream_name("timers", subjects)

    async def set(
        self,
        schedule: Schedule,
        signal: RuntimeSignal | str,
        *,
        agent: str,
        user_id: str = "",
        session_id: str = "",
        id: str = "",
    ) -> Timer:
        """Set a timer; it is on the server's disk when this returns. One of the same id is replaced.

        A repeated timer that stands already, with the same words, is left as it is: a program may set it at each of its
        starts, and the interval goes on.

        Args:
            session_id: Default: `scheduled:<id>`.
            id: Default: for one that fires once, a new one; for a repeated one, one that follows from all the rest.
        Raises:
            ConfigError: The schedule, the signal or a name does not fit, or nobody hosts the agent; nothing was set.
            Unavailable: The server did not confirm; set it again with the same id.
        """
        for name, given in (("agent", agent), ("user_id", user_id), ("session_id", session_id), ("id", id)):
            check_id(name, given)
        if len(id) > ID_LIMIT:
            raise ConfigError(f"the timer's id has {len(id)} characters, the limit is {ID_LIMIT}")
        made = _signal(signal, schedule)
        await self._check_hosted(agent)
        body = TimerBody(agent, session_id, msgspec.to_builtins(made), user_id)
        if not id:
            id = f"every-{_digest(schedule, body)}" if schedule.repeats else self._clock.new_id()
        body = msgspec.structs.replace(body, session_id=session_id or f"scheduled:{id}")
        timer = _timer(id, schedule, body, made, None)
        if schedule.repeats:
            standing = await self._read(id)
            if standing is not None and msgspec.structs.replace(standing, set_at=None) == timer:
                return standing
        await self._store(timer, schedule, body)
        return timer

    async def list(self) -> list[Timer]:
        """The timers that wait, in the order in which they were set."""
        found: list[Timer] = []
        sequence = 1
        while message := await self._bus.jetstream.next_message(self._stream, self._subjects.timers(), sequence):
            sequence = message.sequence + 1
            found.append(self._decoded(message))
        return found

    async def cancel(self, id: str) -> bool:
        """Forget a timer, and a firing of it that no node has taken; False when there is none of this id."""
        check_text("id", id)
        gone = 0
        if id:
            # In this order: what fires in between is caught by the second.
            for subject in (self._subjects.timer(id), self._subjects.timer_due(id)):
                gone += (await self._bus.jetstream.call(f"STREAM.PURGE.{self._stream}", {"filter": subject}))["purged"]
        return gone > 0

    async def _check_hosted(self, agent: str) -> None:
        """Refuse an agent that nobody hosts now: the timer would fire for nobody, long after its program was gone."""
        here = self._hosted()
        if not agent:
            raise ConfigError("a timer is for an agent, and its name is empty")
        if agent in here:
            return
        try:
            # Whoever hosts it takes tasks for it. This is none, and is refused: that anybody answers is the answer.
            await self._bus.request(self._subjects.work("", agent), b"", _AGENT_WITHIN_S)
        except Unavailable as exc:
            if not self._bus.connected:
                raise
            known = f"hosted here: {', '.join(here)}; " if here else ""
            raise ConfigError(f"no agent {agent!r} to set a timer for; {known}elsewhere {exc.why}") from exc

    async def _read(self, id: str) -> Timer | None:
        message = await self._bus.jetstream.next_message(self._stream, self._subjects.timer(id), 1)
        return self._decoded(message) if message is not None else None

    async def _store(self, timer: Timer, schedule: Schedule, body: TimerBody) -> None:
        headers = {
            "Nats-Schedule": schedule.pattern,
            "Nats-Schedule-Target": self._subjects.timer_due(timer.id),
            REVISION: _digest(schedule, body),
        }
        if schedule.repeats:
            # While nobody takes them, the newest firing stands for all: an outage leaves one, not hundreds.
            headers["Nats-Schedule-Rollup"] = "sub"
        if schedule.zone:
            headers["Nats-Schedule-Time-Zone"] = schedule.zone
        try:
            await self._bus.publish_stored(
                [Outgoing(self._subjects.timer(timer.id), msgspec.json.encode(body), headers=headers)]
            )
        except JetStreamError as exc:
            if exc.err_code == _BAD_ZONE:
                raise ConfigError(f"the server knows no time zone {schedule.zone!r}") from exc
            if exc.err_code == _BAD_PATTERN:
                raise ConfigError(
                    f"the server refuses the schedule {schedule.pattern!r}: a number is out of range (Sunday is 0), or "
                    "no day is ever like that"
                ) from exc
            raise

    def _decoded(self, message: StoredMessage) -> Timer:
        """A timer as it stands. What another program wrote and cannot be read is shown as that."""
        headers = message.headers
        schedule = Schedule(headers.get("Nats-Schedule", ""), headers.get("Nats-Schedule-Time-Zone", ""))
        try:
            id = self._subjects.parse_timer(message.subject)
            body = msgspec.json.decode(message.data, type=TimerBody)
            signal = decode_signal(msgspec.json.encode(body.signal), "")
        except (msgspec.MsgspecError, ValueError, Undecodable, RecursionError) as exc:
            id = message.subject.rpartition(".")[2]
            body, signal = TimerBody("", "", {}), RuntimeSignal(f"cannot be read, and will be parked: {exc}")
        return _timer(id, schedule, body, signal, datetime.fromisoformat(headers["Nats-Time-Stamp"]))


def _signal(signal: RuntimeSignal | str, schedule: Schedule) -> RuntimeSignal:
    made = RuntimeSignal(signal, source="cron", type="scheduled_job") if isinstance(signal, str) else signal
    made = signal_of(made)
    if made.id:
        raise ConfigError(f"the signal has the id {made.id!r}; each firing gets one of its own, the timer's is id=")
    if made.dedupe_key and schedule.repeats:
        raise ConfigError(f"the signal has the dedupe_key {made.dedupe_key!r}: only its first firing would count")
    made = msgspec.structs.replace(made, session_id="", run_id="")
    try:
        # As it will be read when it fires: what would be parked then is refused now.
        return decode_signal(msgspec.json.encode(redacted(made)), "")
    except Undecodable as exc:
        raise ConfigError(str(exc)) from exc


def _digest(schedule: Schedule, body: TimerBody) -> str:
    return hashlib.sha256(msgspec.json.encode((schedule, body))).hexdigest()[:12]


def _timer(id: str, schedule: Schedule, body: TimerBody, signal: RuntimeSignal, set_at: datetime | None) -> Timer:
    return Timer(
        id,
        schedule.pattern,
        schedule.zone,
        schedule.at,
        body.agent,
        body.user_id,
        body.session_id,
        signal,
        set_at,
    )
