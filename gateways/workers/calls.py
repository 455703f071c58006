"""The caller's side of a call: finds a worker, has it begin, waits for the end, or says what is known if there is none.

The run has recorded its intent before (`actors/tool_calls.py`) and records what comes of it. What is lost here is tried
again there, with an intent of its own, if the tool may be repeated.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ...actors.clock import Clock
from ...actors.context import CallContext, RunContext
from ...actors.tool_execution import OutcomeLost, SettledElsewhere
from ...events.bus import Bus, answer
from ...events.call import CallEnded
from ...events.envelope import Meta
from ...events.errors import Fenced, TreadleError, Unavailable, Unserved
from ...events.journal import Journal
from ...events.logs import get_logger
from ...events.message import ToolSpec
from ...events.run import Run, evolve, run_stream
from ...events.subjects import Subjects
from ...events.tool_step import ToolFailed, ToolOutcomeUnknown
from . import wire
from .wire import Asked, Cancel, Go, Look, Standing, Taken

_log = get_logger("treadle.workers")


class RemoteTools:
    """`RemoteToolPort` over a bus.

    Args:
        patience_s: How long a worker is looked for, if not as long as usual.
    """

    def __init__(
        self, bus: Bus, subjects: Subjects, clock: Clock, journal: Journal, patience_s: float | None = None
    ) -> None:
        self._bus = bus
        self._subjects = subjects
        self._clock = clock
        self._journal = journal
        self._missing: set[str] = set()
        self._given_s = patience_s

    @property
    def _patience_s(self) -> float:
        return self._given_s or wire.PATIENCE_S

    async def find(self, name: str) -> ToolSpec:
        data = await self._ask_workers(name, self._subjects.tool_spec(name), b"", self._clock.monotonic())
        return msgspec.json.decode(data, type=ToolSpec)

    async def call(self, tool: ToolSpec, args: Mapping[str, Any], call: CallContext, run: RunContext) -> Any:
        doing = _Doing(tool, call, self._clock.monotonic())
        ended = await self._found(doing)
        if ended is None:
            ended = await self._done(doing, dict(args), run)
        match ended.state:
            case "completed":
                return ended.output
            case "failed":
                kind: Literal["raised", "unrecordable"] = "unrecordable" if ended.kind == "unrecordable" else "raised"
                failed = ToolFailed(call_id=call.call_id, error=ended.error, kind=kind, duration_ms=ended.duration_ms)
                raise SettledElsewhere(failed)
            case "unknown":
                raise SettledElsewhere(ToolOutcomeUnknown(call_id=call.call_id, reason=ended.error))

    # --- an earlier attempt ---

    async def _found(self, doing: "_Doing") -> CallEnded | None:
        """What came of an earlier attempt that some worker still has, or had; None when nobody has one."""
        call = doing.call
        for attempt in range(1, call.attempt):
            subject = self._subjects.tool_at(doing.tool.name, call.call_id, attempt)
            look = Look(call.call_id, attempt)
            try:
                standing = await self._told(subject, look)
            except Unserved:
                continue  # nobody has it
            except Unavailable as exc:
                # Somebody has it and is slow, or it is we who do not hear: as patiently as with a call of our own.
                _log.info("attempt %d at call %s: %s", attempt, call.call_id, exc)
                standing = Standing("running")
            _log.info("attempt %d at call %s is %s at a worker", attempt, call.call_id, standing.state)
            if standing.state == "running":
                try:
                    standing = await self._follow(doing, subject, look)
                except OutcomeLost as exc:
                    _log.warning("%s", exc)
                    continue
                except asyncio.CancelledError:
                    await self._cancel(subject, look)
                    raise
            if standing.ended is not None:
                return standing.ended
        return None

    # --- this attempt ---

    async def _done(self, doing: "_Doing", args: dict[str, Any], run: RunContext) -> CallEnded:
        """Have some worker do it."""
        call, tool = doing.call, doing.tool
        cause = Meta(
            user_id=call.user_id,
            session_id=call.session_id,
            run_id=call.run_id,
            causation_id=call.call_id,
            correlation_id=run.correlation_id,
            traceparent=run.traceparent,
        )
        asked = msgspec.json.encode(Asked(call, args, cause, dict(run.metadata)))
        while True:
            try:
                data = await self._ask_workers(
                    tool.name, self._subjects.tool_call(tool.name, call.user_id), asked, doing.since
                )
            except Unavailable as exc:
                raise _given_up(doing, exc) from exc
            taken = msgspec.json.decode(data, type=Taken)
            if taken.refused:
                failed = ToolFailed(call_id=call.call_id, error=taken.refused, kind="bad_arguments")
                raise SettledElsewhere(failed)
            await self._check_ours(doing)
            subject = self._subjects.tool_on(tool.name, taken.worker)
            try:
                standing = await self._begun(doing, subject)
            except asyncio.CancelledError:
                await self._cancel(subject, Look(call.call_id, call.attempt))
                raise
            if standing.ended is not None:
                return standing.ended
            if standing.state == "gone":
                raise OutcomeLost(f"{doing.what}: the worker knows nothing of it any more; {standing.why}")
            if self._clock.monotonic() - doing.since > self._patience_s:
                raise _given_up(doing, Unavailable(f"tool {tool.name!r}", standing.why))
            _log.info("%s was not begun: %s; another worker is asked", doing.what, standing.why)
            await asyncio.sleep(wire.LOOK_EVERY_S)

    async def _begun(self, doing: "_Doing", subject: str) -> Standing:
        call = doing.call
        try:
            standing = await self._told(subject, Go(call.call_id, call.attempt, self._left_s(doing)))
        except Unserved:
            return Standing("not_begun", why="the worker has gone")  # nobody got the word: certain
        except Unavailable as exc:
            _log.warning("%s may have begun: %s", doing.what, exc)
            standing = Standing("running")
        if standing.state != "running":
            return standing
        return await self._follow(doing, subject, Look(call.call_id, call.attempt))

    async def _follow(self, doing: "_Doing", subject: str, look: Look) -> Standing:
        """Wait for the end at a worker that has begun.

        Raises:
            OutcomeLost: It is not there any more, or silent for too long.
        """
        heard = self._clock.monotonic()
        while True:
            try:
                standing = await self._told(subject, look)
            except Unavailable as exc:
                if not self._bus.connected:
                    heard = self._clock.monotonic()  # it is we who do not hear
                silent = self._clock.monotonic() - heard
                if silent >= (wire.GONE_S if isinstance(exc, Unserved) else wire.SILENCE_S):
                    raise OutcomeLost(f"{doing.what}: the worker that had begun it is gone ({exc.why})") from exc
                await asyncio.sleep(wire.LOOK_EVERY_S)
                continue
            if standing.state != "running":
                return standing
            heard = self._clock.monotonic()

    async def _told(self, subject: str, order: Go | Look) -> Standing:
        reply = await self._bus.request(subject, msgspec.json.encode(order), wire.ANSWER_S)
        return msgspec.json.decode(answer(reply), type=Standing)

    async def _cancel(self, subject: str, call: Look) -> None:
        try:
            await self._bus.publish(subject, msgspec.json.encode(Cancel(call.call_id, call.attempt)))
        except TreadleError as exc:
            _log.warning("call %s is cancelled and its worker was not told: %s", call.call_id, exc)

    def _left_s(self, doing: "_Doing") -> float | None:
        limit_s = doing.tool.timeout_s
        return None if limit_s is None else max(0.0, limit_s - (self._clock.monotonic() - doing.since))

    async def _check_ours(self, doing: "_Doing") -> None:
        """The intent is on disk, but that may be long ago: whoever slept meanwhile may have lost the run.

        Raises:
            Fenced: It has another owner now.
        """
        if self._clock.monotonic() - doing.since < wire.OURS_S:
            return
        state, stream = Run(), run_stream(doing.call.run_id)
        history = await self._journal.read(stream)
        for recorded in history:
            evolve(state, recorded.event)
        if history and state.owner != self._journal.owner:
            epoch = history[-1].epoch
            raise Fenced(stream, epoch - 1, epoch, state.owner)

    # --- any worker ---

    async def _ask_workers(self, tool: str, subject: str, message: bytes, since: float) -> bytes:
        """The answer of one of those who offer the tool; whoever is not there yet is waited for.

        Raises:
            Unavailable: For so long nobody was.
        """
        while True:
            try:
                data = answer(await self._bus.request(subject, message, wire.TAKE_S))
            except Unavailable as exc:
                if self._clock.monotonic() - since > (patience_s := self._patience_s):
                    why = "no worker offers it" if isinstance(exc, Unserved) else f"no worker takes calls ({exc.why})"
                    raise Unavailable(
                        f"tool {tool!r}", f"{why}, for {patience_s:g} s now (patience_s of the system)"
                    ) from exc
                # One that has enough to do is not missing.
                absent = isinstance(exc, Unserved) or self._clock.monotonic() - since > wire.TAKE_S
                if absent and tool not in self._missing:
                    self._missing.add(tool)
                    _log.warning("no worker answers for tool %r, and one is looked for: %s", tool, exc)
                await asyncio.sleep(wire.LOOK_EVERY_S)
                continue
            if tool in self._missing:
                self._missing.discard(tool)
                _log.warning("a worker answers for tool %r again", tool)
            return data


def _given_up(doing: "_Doing", exc: Unavailable) -> TreadleError:
    """No worker has begun this attempt. That is a failure of the call unless an earlier attempt may have done it."""
    if doing.call.attempt == 1:
        return exc
    reason = f"an earlier attempt may have done it, and now {exc.what} is unavailable: {exc.why}"
    return SettledElsewhere(ToolOutcomeUnknown(call_id=doing.call.call_id, reason=reason))


class _Doing(Struct, frozen=True):
    """A call, and since when it is to be done."""

    tool: ToolSpec
    call: CallContext
    since: float

    @property
    def what(self) -> str:
        return f"attempt {self.call.attempt} at call {self.call.call_id} of tool {self.tool.name!r}"
