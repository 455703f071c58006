"""One event of a run as a line for people."""

from typing import Any

import msgspec

from ...events.message import ModelReply
from ...events.plan import LivingPlan, counted
from ..run_event import Event

_STYLES = {
    "run.started": "bold",
    "run.completed": "bold green",
    "run.failed": "bold red",
    "run.cancelled": "bold yellow",
    "run.interrupted": "bold yellow",
    "run.suspended": "yellow",
    "run.taken_over": "yellow",
    "run.steered": "bold cyan",
    "tool.failed": "red",
    "tool.outcome_unknown": "red",
    "approval.requested": "bold magenta",
    "model.failed": "red",
    "model.attempt_failed": "yellow",
    "model.fell_back": "yellow",
    "memory.unreadable": "red",
}

LONGEST = 300
"""Characters of a text that a line shows."""


def style_of(event: Event) -> str:
    return _STYLES.get(event.type, "")


def line_of(event: Event, *, with_run: bool = False) -> str:
    """Time, version, type and what there is to say; with the run's id where several are watched."""
    at = event.at.astimezone().strftime("%H:%M:%S.%f")[:-3] if event.at is not None else " " * 12
    run = f"{'  ' * event.depth}{event.run_id}  " if with_run else ""
    return f"{at}  {run}{event.version or '':>4}  {event.type:<20}  {told(event)}".rstrip()


def told(event: Event) -> str:
    """What there is to say of an event, in one line; first the step that it belongs to, by its name."""
    step, what = _step_of(event), _told(event)
    return f"step {step}  {what}".rstrip() if step else what


def _step_of(event: Event) -> str:
    """The step as `fork --at step:NAME` takes it; outcomes and answers name it in the id of their call.

    What a tool asks of an agent has the id of the tool's call for a step; it belongs to that of the tool.
    """
    named = str(event.payload.get("step", ""))
    if event.type == "child.requested" and named.startswith(f"{event.run_id}_"):
        return named.rsplit("_", 2)[1]
    if named or not event.type.startswith(("tool.", "approval.")):
        return named
    of_call = str(event.payload.get("call_id", "")).rsplit("_", 2)
    return of_call[1] if len(of_call) == 3 else ""


def _told(event: Event) -> str:
    payload = event.payload
    match event.type:
        case "run.started":
            return cut(f"{payload.get('agent', '')}: {payload.get('prompt', '')}")
        case "run.copied":
            shared = Event(type=payload["type"], run_id=event.run_id, payload=payload["payload"])
            return f"{shared.type}  {told(shared)}"
        case "run.steered":
            by = f"{payload['by']}: " if payload.get("by") else ""
            return cut(by + str(payload.get("text", "")))
        case "tool.requested" | "approval.requested":
            why = f" ({payload['reason']}), call {payload['call_id']}" if "reason" in payload else ""
            again = f", attempt {payload['attempt']}" if payload.get("attempt", 1) > 1 else ""
            return cut(called(str(payload.get("tool", "")), payload.get("args") or {}), LONGEST) + why + again
        case "child.waits":
            waiting = [
                f"{called(each['tool'], each.get('args') or {})} ({each['reason']}), call {each['call_id']}"
                for each in payload.get("waiting", ())
            ]
            return f"for an approval of {'; '.join(waiting)}" if waiting else "for nothing more"
        case "approval.decided":
            by = f" by {payload['by']}" if payload.get("by") else ""
            return f"{'allowed' if payload.get('allowed') else 'denied'}{by}, call {payload.get('call_id', '')}"
        case "tool.completed":
            return cut(f"{short(payload.get('output'))}  ({payload.get('duration_ms', 0.0):.1f} ms)")
        case "model.completed":
            reply = msgspec.convert(payload.get("reply") or {}, ModelReply)
            calls = [called(call.tool, call.args) for call in reply.tool_calls]
            return cut("; ".join([*([reply.text] if reply.text else []), *calls]))
        case "plan.opened" | "plan.written":
            plan = msgspec.convert(payload.get("plan") or {}, LivingPlan)
            return counted(plan.steps)
        case "model.attempt_failed" | "model.failed":
            again = f", again from {payload['retry_at']}" if payload.get("retry_at") else ""
            return f"{payload.get('kind', '')}: {cut(str(payload.get('error', '')))}{again}"
        case "run.completed" | "run.interrupted":
            reason = f"{payload['reason']} " if payload.get("reason") else ""
            return cut(reason + str(payload.get("output", "")))
        case _:
            return cut(str(payload.get("error") or payload.get("reason") or payload.get("owner") or ""))


def called(tool: str, args: dict[str, Any]) -> str:
    """A call as Python writes it."""
    return f"{tool}({', '.join(f'{name}={short(value)}' for name, value in args.items())})"


def short(value: Any) -> str:
    """A value as JSON, cut."""
    return cut(msgspec.json.encode(value).decode(), 120)


def cut(text: str, limit: int = LONGEST) -> str:
    """`text` in one line of `limit` characters at most."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
