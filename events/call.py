"""A tool call that a worker does for a run elsewhere, as the worker's own journal has it. Stream `call-<call_id>`.

The run records intent and outcome in its stream, whatever a worker keeps. This is for what the run cannot know: that
the call was done although the answer never came. Workers that share a journal then do it once; and one that was
given up while it slept finds that another attempt has begun, and does not begin.
"""

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from .envelope import StreamName
from .errors import Refused
from .event import Event

CATEGORY = "call"


def call_stream(call_id: str) -> StreamName:
    return StreamName(f"call-{call_id}")


# --- events ----------------------------------------------------------------------------------------------------------


class CallBegun(Event, tag="call.begun"):
    """A worker is about to start the tool. Durable before it does.

    Attributes:
        attempt: The run's count, which goes on from worker to worker.
        owner: The worker's process.
    """

    tool: str
    attempt: int
    owner: str
    args: dict[str, Any] = {}


class CallEnded(Event, tag="call.ended"):
    """What came of it. `error` is the class and the text of what was raised, or why nobody knows."""

    attempt: int
    state: Literal["completed", "failed", "unknown"]
    output: Any = None
    error: str = ""
    kind: str = ""
    duration_ms: float = 0.0


CallEvent: TypeAlias = CallBegun | CallEnded


# --- state -----------------------------------------------------------------------------------------------------------


class Call(Struct):
    """The fold of a call. `evolve` changes it in place."""

    attempt: int = 0
    owner: str = ""
    ended: CallEnded | None = None


def evolve(state: Call, event: Event) -> Call:
    match event:
        case CallBegun():
            state.attempt, state.owner = event.attempt, event.owner
        case CallEnded():
            state.ended = event
        case _:
            pass
    return state


# --- decisions -------------------------------------------------------------------------------------------------------


class Superseded(Refused):
    """A later attempt at the call has begun, here or elsewhere; this one must not."""

    def __init__(self, call: str, attempt: int, found: int) -> None:
        super().__init__(f"attempt {attempt} at call {call!r} comes too late: attempt {found} has begun")
        self.attempt = attempt
        self.found = found


def begin(call_id: str, begun: CallBegun, state: Call) -> list[CallBegun]:
    """The beginning of an attempt; nothing when the call has ended, or this very attempt began before.

    Raises:
        Superseded: A later attempt has begun, or this one at another worker.
    """
    if state.ended is not None:
        return []
    if state.attempt > begun.attempt or (state.attempt == begun.attempt and state.owner != begun.owner):
        raise Superseded(call_id, begun.attempt, state.attempt)
    return [] if state.attempt == begun.attempt else [begun]


def end(ended: CallEnded, state: Call) -> list[CallEnded]:
    """The end of a call, once. An attempt that was given up has no say any more, and neither has one that does not
    know what came of it: the next attempt may.
    """
    return [ended] if state.ended is None and state.attempt == ended.attempt and ended.state != "unknown" else []
