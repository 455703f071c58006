"""`treadle signal`: sends a signal, and waits for its run if asked to."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Raw, Struct
from typer import Argument, Option

from ...actors.clock import SYSTEM_CLOCK
from ...events.envelope import decode_event
from ...events.errors import Refused, TreadleError, Unavailable, Undecodable
from ...events.event import Event as Fact
from ...events.redaction import redacted
from ...events.session import CATEGORY as SESSION
from ...events.session import RunOpened, SignalParked, SignalReceived, session_stream
from ...events.signal import Urgency, decode_signal
from ...events.subjects import Subjects
from ..buses.nats import NatsBus
from ..run_event import Event
from .asking import ask_over, connect
from .command import Call, command
from .following import RETRY_S, OverNats
from .watch import Teller

app = typer.Typer()


class Sent(Struct, frozen=True):
    """A signal on its way."""

    signal_id: str
    subject: str
    user_id: str
    agent: str
    session_id: str


@command(app)
async def signal(
    call: Call,
    agent: Annotated[str, Argument(help="Whom it is for.")],
    text: Annotated[str, Argument(help="What a person would say of it.")] = "",
    user: Annotated[str, Option(help="Whose session.")] = "",
    session: Annotated[str, Option(help="The conversation. Default: one of its own.")] = "",
    payload: Annotated[str, Option(help="Data for the run, JSON.")] = "",
    urgency: Annotated[Urgency, Option(help="How urgent it is.")] = "normal",
    source: Annotated[str, Option(help="Who noticed it.")] = "cli",
    kind: Annotated[str, Option("--type", help="What kind of thing it is.")] = "event",
    id: Annotated[str, Option(help="Makes it safe to send twice. Default: a new one.")] = "",
    dedupe_key: Annotated[str, Option(help="Signals of a session that share it have one effect.")] = "",
    wait: Annotated[bool, Option("--wait", help="Follow its run to the end.")] = False,
    timeout: Annotated[float | None, Option(help="With --wait: seconds until the wait is given up.")] = None,
) -> None:
    """Send a signal to a session of an agent."""
    signal_id = id or SYSTEM_CLOCK.new_id()
    body: dict[str, Any] = {"summary": text, "id": signal_id, "source": source, "type": kind, "urgency": urgency}
    if payload:
        try:
            body["payload"] = msgspec.json.decode(payload)
        except msgspec.DecodeError as exc:
            raise typer.BadParameter(f"--payload is no JSON: {exc}") from exc
    if dedupe_key:
        body["dedupe_key"] = dedupe_key
    body = redacted(body)
    try:
        decode_signal(msgspec.json.encode(body), signal_id)
    except Undecodable as exc:
        raise typer.BadParameter(f"it would be parked: {exc}; give a TEXT or a --payload") from exc
    session_id, subjects = session or signal_id, call.place.subjects
    subject = subjects.signal(user, agent, session_id)
    async with connect(call.place) as bus:
        send = partial(bus.enqueue, subject, msgspec.json.encode(body), signal_id)
        sent = Sent(signal_id, subject, user, agent, session_id)
        if not wait:
            new = await send()
            if call.out.json:
                call.out.object({**msgspec.to_builtins(sent), "duplicate": not new})
            call.out.say(f"sent {signal_id} to {subject}" + ("" if new else " (the broker had it already)"))
            return
        try:
            async with asyncio.timeout(timeout):
                ended = await _until_ended(call, bus, sent, dedupe_key, send)
        except TimeoutError:
            raise StillOpen(
                f"signal {signal_id!r} is queued, and its run has not ended within {timeout:g} s; it goes on, "
                "see `treadle runs` and `treadle watch`"
            ) from None
    if call.out.json:
        said = {name: ended.payload[name] for name in _SAID if name in ended.payload}
        outcome = {"run_id": ended.run_id, "state": ended.type.partition(".")[2], **said}
        call.out.object({**msgspec.to_builtins(sent), **outcome})
    call.exit(0 if ended.type == "run.completed" else 1)


_SAID = ("output", "error", "reason", "turns")


async def _until_ended(
    call: Call, bus: NatsBus, sent: Sent, dedupe_key: str, send: Callable[[], Awaitable[bool]]
) -> Event:
    """Send it, find its run in its session, and follow that to its end; or to the parking of the signal."""
    stream = session_stream(sent.user_id, sent.agent, sent.session_id)
    session = call.place.subjects.events(None, SESSION, stream.partition("-")[2])
    finding = _Finding(bus, call.place.subjects, sent.signal_id, stream, dedupe_key)
    with call.out.progress() as progress:
        task = progress.add_task(f"waiting for the run of signal {sent.signal_id}")
        sending, run_id = True, ""
        while not run_id:
            try:
                async with bus.subscribe(session) as messages:
                    if sending:
                        await send()
                        sending = False
                    while not (run_id := await finding.look()):
                        await anext(messages)
            except Unavailable as exc:
                if sending:
                    raise
                # It is queued: whoever hosts the agent next will run it.
                progress.update(task, description=f"waiting for a system that hosts {sent.agent!r}: {exc.why}")
                await asyncio.sleep(RETRY_S)
    teller = Teller(call.out)

    def tell(event: Event) -> None:
        if not call.out.json:
            teller.tell(event)

    try:
        return await OverNats(bus, call.place.subjects, call.out.note).run(run_id, 0, tell)
    finally:
        teller.close()


class StillOpen(TreadleError):
    """The wait was given up; nothing else was."""


class Parked(Refused):
    """The signal cannot be run and was set aside."""


class _Stored(Struct):
    version: int
    type: str
    schema: int
    data: Raw


class _History(Struct):
    events: list[_Stored]
    head: int
    more: bool


class _Finding:
    """Looks for the run of a signal in the stream of its session."""

    def __init__(self, bus: NatsBus, subjects: Subjects, signal_id: str, stream: str, dedupe_key: str) -> None:
        self._bus = bus
        self._subjects = subjects
        self._signal_id = signal_id
        self._stream = stream
        self._dedupe_key = dedupe_key
        self._after = 0
        self._runs: dict[str, str] = {}
        """Run by signal."""

    async def look(self) -> str:
        """Its run; empty when there is none so far.

        Raises:
            Parked: There will be none.
            Unavailable: Nobody hosts sessions now.
        """
        more = True
        while more:
            body = {"stream": self._stream, "after": self._after}
            page: _History = await ask_over(self._bus, self._subjects, "history", body, wanted=_History)
            for stored in page.events:
                self._after = stored.version
                self._see(decode_event(stored.type, stored.schema, bytes(stored.data)))
            more = page.more
        return self._runs.get(self._signal_id, "")

    def _see(self, event: Fact) -> None:
        match event:
            case SignalReceived(signal) if self._dedupe_key and signal.dedupe_key == self._dedupe_key:
                # Ours is the same thing again: its run is that of the first.
                self._signal_id = signal.id
            case RunOpened(run_id, _, signal_id):
                self._runs[signal_id] = run_id
            case SignalParked(signal_id, reason) if signal_id == self._signal_id:
                raise Parked(f"signal {signal_id!r} was parked: {reason}")
            case _:
                pass
