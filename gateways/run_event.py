"""One event of a run as users see it: canonical type, derived kind, payload, and a version to go on from."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from ..actors.feed import Batch
from ..actors.model import ModelChunk
from ..events.envelope import Recorded, encode_event
from ..events.event import Event as Fact
from ..events.model_step import ModelCompleted
from ..events.run import RecordCopied, RunCompleted, RunFailed
from ..events.tool_step import ToolCompleted, ToolFailed, ToolOutcomeUnknown, ToolRequested

_KINDS = {
    "run.started": "started",
    "model.chunk": "model_chunk",
    "tool.requested": "tool_call",
    "tool.completed": "tool_result",
    "tool.failed": "tool_result",
    "tool.outcome_unknown": "tool_result",
    "run.completed": "completed",
    "run.failed": "error",
    "run.cancelled": "error",
    "run.interrupted": "completed",
}


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened in a run.

    Attributes:
        type: Dotted: `run.started`, `model.chunk`, `tool.requested` …
        kind: Short: `started`, `model_chunk`, `tool_call`, `tool_result`, `completed`, `error`; else the type with `_`.
        version: Its place in the run, from 1 on; to see what follows it, watch from here. 0 for chunks, which are
            live and not kept.
        depth: 0 for the run that is read; 1 for one that it has asked for, 2 for one that this one has, and so on. Then
            `run_id` is that one's, `parent_run_id` who asked for it, and `role` what it is called there.
    """

    type: str
    run_id: str
    session_id: str = ""
    version: int = 0
    at: datetime | None = None
    payload: dict[str, Any] = {}
    depth: int = 0
    parent_run_id: str = ""
    role: str = ""

    @property
    def kind(self) -> str:
        return _KINDS.get(self.type) or self.type.replace(".", "_")

    def __str__(self) -> str:
        return f"{self.version or '·':>4} {self.type}"


def public_type(tag: str) -> str:
    """`run.tool_requested` as users read it: `tool.requested`."""
    name = tag.partition(".")[2]
    for subject in ("tool", "model", "approval", "memory", "value", "child", "plan"):
        if name.startswith(f"{subject}_"):
            return f"{subject}.{name.removeprefix(f'{subject}_')}"
    return tag


def of_recorded(recorded: Recorded) -> Event:
    """A stored event, as users see it."""
    run_id = recorded.run_id or recorded.stream.partition("-")[2]
    return _event(recorded.event, recorded.type, run_id, recorded.session_id, recorded.version, recorded.at)


def of_batch(batch: Batch, run_id: str, session_id: str) -> list[Event]:
    """Events that were just recorded, as users see them."""
    return [
        _event(fact, fact.event_tag, run_id, session_id, batch.version + index, batch.at)
        for index, fact in enumerate(batch.events)
    ]


def of_chunk(chunk: ModelChunk, run_id: str, session_id: str) -> Event:
    """A live chunk, as users see it."""
    payload = {"chunk": msgspec.to_builtins(chunk), "text": chunk.text}
    return Event(type="model.chunk", run_id=run_id, session_id=session_id, payload=payload)


def _event(fact: Fact, tag: str, run_id: str, session_id: str, version: int, at: datetime) -> Event:
    payload: dict[str, Any] = msgspec.json.decode(encode_event(fact))
    match fact:
        case ToolRequested():
            payload["call"] = {"id": fact.call_id, "tool": fact.tool, "args": fact.args}
            payload["tool_name"] = fact.tool
        case ToolCompleted():
            payload["result"] = {"call_id": fact.call_id, "ok": True, "output": fact.output}
        case ToolFailed():
            payload["result"] = {"call_id": fact.call_id, "ok": False, "error": fact.error, "kind": fact.kind}
        case ToolOutcomeUnknown():
            payload["result"] = {"call_id": fact.call_id, "ok": False, "error": fact.reason, "unknown": True}
        case ModelCompleted():
            payload["text"] = fact.reply.text
        case RecordCopied():
            shared = _event(fact.record, fact.type, run_id, session_id, version, fact.at)
            payload = {"type": shared.type, "at": shared.at, "payload": shared.payload}
        case RunCompleted():
            payload["result"] = {"output": fact.output, "turns": fact.turns}
        case RunFailed():
            payload["type"], payload["message"] = fact.kind, fact.error
        case _:
            pass
    return Event(type=public_type(tag), run_id=run_id, session_id=session_id, version=version, at=at, payload=payload)
