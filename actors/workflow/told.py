"""What the journal tells of a walk: which nodes came up, and what they came to."""

from collections.abc import Iterable
from typing import Any, cast

import msgspec
from msgspec import Struct, field

from ...events.child_step import ChildEnded, ChildRequested
from ...events.event import Event
from ...events.run import RecordCopied, RunCompleted, ValueRecorded
from ...events.tool_step import ApprovalRequested, ToolCompleted, ToolRequested
from .names import visit_in, visit_name
from .walk import RESULT


class Told(Struct):
    """What came of a walk, or has come of it so far.

    Attributes:
        visited: The nodes in the order of their depth; of a walk that has not ended, in the order of their beginning.
        per_step: What each node came to, the last time.
    """

    output: Any = None
    visited: list[str] = field(default_factory=list[str])
    per_step: dict[str, Any] = field(default_factory=dict[str, Any])


def told_by(events: Iterable[Event]) -> Told:
    """The story of a run of a workflow."""
    told = Told()
    seen: dict[tuple[str, int], None] = {}
    node_of: dict[str, str] = {}
    result: dict[str, Any] = {}
    for each in events:
        event = each.record if isinstance(each, RecordCopied) else each
        match event:
            case ToolRequested(step=step) | ApprovalRequested(step=step) | ChildRequested(step=step):
                visit = visit_in(step)
                if visit is not None:
                    seen.setdefault(visit)
                    if step == f"{visit_name(*visit)}-1":
                        node_of[event.call_id] = visit[0]
            case ToolCompleted(call_id=call_id, output=output) if call_id in node_of:
                told.per_step[node_of[call_id]] = output
            case ChildEnded(call_id=call_id, output=text) if call_id in node_of and event.answered:
                told.per_step[node_of[call_id]] = text
            case ValueRecorded(step=step, value=value) if step == f"{RESULT}-1":
                result = value
            case RunCompleted(output=text):
                told.output = text if result.get("text", True) else msgspec.json.decode(text)
            case _:
                pass
    told.visited = cast("list[str]", result.get("visited")) or [node for node, _ in seen]
    told.per_step |= result.get("composed", {})
    return told
