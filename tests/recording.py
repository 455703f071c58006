"""Writes histories of runs, calls and budgets for tests: events into a journal, at times that the test says."""

from datetime import UTC, datetime, timedelta

from treadle.events.envelope import Meta, Position, StreamName
from treadle.events.event import Event
from treadle.events.journal import Append, Journal
from treadle.events.message import ModelReply, Usage
from treadle.events.model_step import ModelCompleted, ModelRequested
from treadle.events.run import RunCompleted, RunStarted, run_stream
from treadle.events.tool_step import ToolCompleted, ToolRequested

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def after_noon(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


async def write(
    journal: Journal,
    stream: str,
    *events: Event,
    user_id: str = "alice",
    session_id: str = "conv-1",
    run_id: str = "",
    epoch: int = 1,
    at: datetime = NOON,
) -> Position:
    """Append `events` at the end of `stream`, whatever it is."""
    if not run_id and stream.startswith("run-"):
        run_id = stream.removeprefix("run-")
    meta = Meta(user_id=user_id, session_id=session_id, run_id=run_id, epoch=epoch)
    return await journal.append(Append(StreamName(stream), await journal.head(stream), events, meta, at))


def started(
    agent: str = "support", prompt: str = "Where is my parcel?", model: str = "echo", **more: str
) -> RunStarted:
    return RunStarted(agent=agent, prompt=prompt, owner="host:1", model=model, **more)  # type: ignore[arg-type]


def answered(step: str = "1", tokens: int = 10, cost_usd: float = 0.25) -> ModelCompleted:
    usage = Usage(input_tokens=tokens, output_tokens=tokens * 2, cost_usd=cost_usd)
    return ModelCompleted(step=step, call_id=f"model-{step}", reply=ModelReply(text="It is near.", usage=usage))


def asked(step: str = "1") -> ModelRequested:
    return ModelRequested(step=step, call_id=f"model-{step}", digest="d" * 16)


def called(call_id: str = "call-1", tool: str = "track", attempt: int = 1) -> ToolRequested:
    return ToolRequested(step=f"tool:{call_id}", call_id=call_id, tool=tool, args={"parcel": 7}, attempt=attempt)


def whole_run(call_id: str = "call-1", agent: str = "support") -> list[Event]:
    """A run of two turns with one tool call, from its start to its end: 8 events."""
    return [
        started(agent),
        asked("1"),
        answered("1"),
        called(call_id),
        ToolCompleted(call_id=call_id, output="in Bern"),
        asked("2"),
        answered("2"),
        RunCompleted(output="It is in Bern.", turns=2),
    ]


async def write_runs(journal: Journal, count: int, first: int = 0) -> Position:
    """`count` whole runs of some users and agents, 8 events each."""
    position = Position(0)
    for number in range(first, first + count):
        run_id = f"r{number:06d}"
        position = await write(
            journal,
            run_stream(run_id),
            *whole_run(f"call-{number}", f"agent-{number % 3}"),
            user_id=f"user-{number % 7}",
            at=after_noon(number),
        )
    return position
