"""One call of a tool: in its context, within its time, and with an outcome whatever it does.

Runs call their tools with it (`tool_calls.py`), and so do workers that do calls for runs elsewhere.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..events.errors import AppendUncertain, Fenced, ReadOnly, ReplayDivergence, TreadleError, Unavailable
from ..events.redaction import redacted
from ..events.tool_step import Outcome, ToolCompleted, ToolFailed, ToolOutcomeUnknown
from .clock import Clock
from .context import CallContext, enter_call, leave_call
from .deadline import Deadline
from .foreign import called, contained
from .json_form import Unrecordable, recordable
from .raised import note_raised
from .threads import ToolThreads
from .tool import Tool, say


class SettledElsewhere(TreadleError):
    """Somebody else did the call, and this came of it: what a tool raises to have just that recorded."""

    def __init__(self, outcome: ToolFailed | ToolOutcomeUnknown) -> None:
        super().__init__(outcome.error if isinstance(outcome, ToolFailed) else outcome.reason)
        self.outcome = outcome


class OutcomeLost(TreadleError):
    """Somebody else had begun the call and is gone: nobody knows what came of it, as after a crash of our own."""


class NotStarted(Exception):
    """The tool was not called: whoever was about to may have lost the right to, on the way to its thread."""


async def execute(
    tool: Tool,
    bound: Mapping[str, Any],
    call: CallContext,
    threads: ToolThreads,
    clock: Clock,
    *,
    limit_s: float | None,
    stream: str = "",
    check: Callable[[], object] | None = None,
) -> Outcome:
    """Call the tool. Whatever it does, there is an outcome.

    Args:
        limit_s: Seconds until the outcome is given up as unknown.
        stream: The calling run's: an error that concerns this stream ends the run here and is no outcome of a tool.
        check: The last thing before the tool, in its thread if it has one; `NotStarted` keeps it from being called.
    Raises:
        NotStarted: `check` said so.
        OutcomeLost: The tool is done elsewhere, and nobody there can tell.
        Fenced, Unavailable, AppendUncertain, ReadOnly: About `stream`.
        ReplayDivergence: Of the calling run, or of one below it.
        CancelledError: Whoever waits for it was cancelled; the outcome is unknown.
    """

    def start() -> Any:
        if check is not None:
            check()
        return tool.run(**bound)

    token = enter_call(call)
    deadline = Deadline(limit_s)
    begun = clock.monotonic()
    try:
        if tool.is_async:
            output = await contained(called(start), deadline)
        else:
            with deadline:
                output = await threads.run(start)
                if inspect.isawaitable(output):
                    output = await contained(called(lambda: output))
        return ToolCompleted(
            call_id=call.call_id, output=redacted(recordable(output)), duration_ms=_ms(clock.monotonic() - begun)
        )
    except TimeoutError as exc:
        if deadline.expired:
            ends = "it was cancelled" if tool.is_async else "its thread cannot be stopped and may still do it"
            reason = f"no result within {limit_s:g} s (timeout_s of tool {tool.name!r}); {ends}"
            return ToolOutcomeUnknown(call_id=call.call_id, reason=reason)
        return _failed(call, exc, clock.monotonic() - begun)
    except Unrecordable as exc:
        error = f"the tool ran, and {exc}; return JSON types, a dataclass, a struct or a pydantic model"
        return ToolFailed(call_id=call.call_id, error=error, kind="unrecordable")
    except SettledElsewhere as exc:
        return exc.outcome
    except (NotStarted, OutcomeLost):
        raise
    except (Fenced, Unavailable, AppendUncertain, ReadOnly) as exc:
        if stream and getattr(exc, "stream", None) == stream:
            raise
        return _failed(call, exc, clock.monotonic() - begun)
    except ReplayDivergence as exc:
        if stream and f"{exc.run_id}_".startswith(f"{call.run_id}_"):
            raise  # the run, or one that it asked: an outcome would be made of a question that nobody has asked
        return _failed(call, exc, clock.monotonic() - begun)
    except asyncio.CancelledError:
        raise  # the run is cancelled, suspended or out of time; its end says that the outcome is unknown
    except Exception as exc:
        return _failed(call, exc, clock.monotonic() - begun)
    finally:
        leave_call(token)


def _failed(call: CallContext, exc: BaseException, seconds: float) -> ToolFailed:
    note_raised(call.call_id, exc)
    return ToolFailed(call_id=call.call_id, error=say(exc), duration_ms=_ms(seconds))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
