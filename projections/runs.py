"""Runs as rows: what is going on, what came of it, what is still open.

The same words as `Run` in `events/run.py`, without the texts: prompt and output are cut, the rest is in the stream.
"""

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct

from ..events.child_step import ChildEnded, ChildWaits
from ..events.envelope import Recorded
from ..events.errors import NotFound
from ..events.model_step import ModelAttemptFailed, ModelCompleted, ModelFailed, ModelRequested, usage_of
from ..events.run import (
    CATEGORY,
    RecordCopied,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunInterrupted,
    RunStarted,
    RunState,
    RunSuspended,
    RunTakenOver,
)
from ..events.tool_step import (
    ApprovalDecided,
    ApprovalRequested,
    ToolCompleted,
    ToolFailed,
    ToolOutcomeUnknown,
    ToolRequested,
)
from .projection import Projection
from .views import Table, Transaction, Where, moment, stamp

SHOWN_CHARS = 500
"""How much of a prompt, an output or an error a row holds."""


class RunRow(Struct, frozen=True):
    """One run.

    Attributes:
        turns: Model calls of its story, for a fork with those that it shares; tokens and cost are what it used itself.
        error: Why it failed, was cancelled, stopped or is suspended; empty otherwise.
        owner, epoch: Who runs it, and the fencing number they write with.
        version: The version of its stream that this row shows.
        open_calls: Tool calls that have no outcome yet.
        position: Where it began in the journal; `list` pages by it.
    """

    run_id: str
    session_id: str
    user_id: str
    agent: str
    model: str
    state: RunState
    prompt: str
    output: str
    error: str
    turns: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    started_at: datetime
    finished_at: datetime | None
    parent_run_id: str
    depth: int
    owner: str
    epoch: int
    version: int
    open_calls: int
    position: int

    @property
    def open(self) -> bool:
        """Whether it may still go on; a suspended run is open."""
        return self.finished_at is None

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class OpenCall(Struct, frozen=True):
    """A tool call without an outcome.

    Attributes:
        attempt: 0 while the call has not been started, because it needs an approval first.
        waiting, reason: It waits for somebody's approval, and why.
    """

    run_id: str
    call_id: str
    tool: str
    attempt: int
    requested_at: datetime
    waiting: bool
    reason: str


_TEXT, _COUNT = "TEXT NOT NULL DEFAULT ''", "BIGINT NOT NULL DEFAULT 0"

_RUNS = Table(
    "runs",
    {
        "run_id": "TEXT NOT NULL",
        "session_id": _TEXT,
        "user_id": _TEXT,
        "agent": _TEXT,
        "model": _TEXT,
        "state": "TEXT NOT NULL",
        "prompt": _TEXT,
        "output": _TEXT,
        "error": _TEXT,
        "turns": _COUNT,
        "input_tokens": _COUNT,
        "output_tokens": _COUNT,
        "cost_usd": "DOUBLE PRECISION NOT NULL DEFAULT 0",
        "started_at": "TEXT NOT NULL",
        "finished_at": "TEXT",
        "parent_run_id": _TEXT,
        "depth": _COUNT,
        "owner": _TEXT,
        "epoch": _COUNT,
        "version": _COUNT,
        "position": _COUNT,
    },
    key=("run_id",),
    indexes=(("position",), ("session_id", "position"), ("user_id", "position"), ("finished_at", "owner")),
)
_CALLS = Table(
    "run_calls",
    {
        "run_id": "TEXT NOT NULL",
        "call_id": "TEXT NOT NULL",
        "tool": _TEXT,
        "attempt": _COUNT,
        "requested_at": "TEXT NOT NULL",
        "waiting": _COUNT,
        "reason": _TEXT,
    },
    key=("run_id", "call_id"),
)
_SHOWN = ", ".join(
    "(SELECT count(*) FROM run_calls WHERE run_calls.run_id = runs.run_id)" if name == "open_calls" else f"runs.{name}"
    for name in RunRow.__struct_fields__
)


class Runs(Projection):
    """One row for each run, and one for each tool call that is under way."""

    name = "runs"
    schema = 1
    tables = (_RUNS, _CALLS)

    # --- queries -----------------------------------------------------------------------------------------------------

    async def get(self, run_id: str) -> RunRow:
        """Raises NotFound when no such run was folded so far."""
        rows = await self.read(lambda tx: tx.query(f"SELECT {_SHOWN} FROM runs WHERE run_id = ?", (run_id,)))
        if not rows:
            raise NotFound("run", run_id)
        return _run(rows[0])

    async def open_runs(self, agent: str | None = None, *, owners: Collection[str] | None = None) -> list[RunRow]:
        """All runs that have not ended (of an agent, of these owners), the oldest first: what somebody looks after."""
        where = Where().equal(agent=agent).add("finished_at IS NULL")
        if owners is not None:
            where.add(f"owner IN ({', '.join('?' * len(owners)) or 'NULL'})")
            where.params.extend(owners)
        sql = f"SELECT {_SHOWN} FROM runs{where.sql} ORDER BY position"
        return await self.read(lambda tx: [_run(row) for row in tx.query(sql, where.params)])

    async def open_owners(self) -> set[str]:
        """Who began, or took over, a run that has not ended."""
        sql = "SELECT DISTINCT owner FROM runs WHERE finished_at IS NULL"
        return await self.read(lambda tx: {owner for (owner,) in tx.query(sql)})

    async def open_calls(self, run_id: str | None = None, *, waiting: bool | None = None) -> list[OpenCall]:
        """Tool calls that have no outcome yet (of a run), the oldest first; with `waiting` those that need approval."""
        where = Where().equal(run_id=run_id, waiting=None if waiting is None else int(waiting))
        sql = f"SELECT {_CALLS.selected} FROM run_calls{where.sql} ORDER BY requested_at, run_id, call_id"
        return await self.read(
            lambda tx: [
                OpenCall(run, call, tool, attempt, moment(at), bool(waits), reason)
                for run, call, tool, attempt, at, waits, reason in tx.query(sql, where.params)
            ]
        )

    # --- fold --------------------------------------------------------------------------------------------------------

    def apply(self, tx: Transaction, recorded: Recorded) -> None:
        if recorded.category != CATEGORY:
            return
        event, run_id = recorded.event, recorded.stream.removeprefix("run-")
        match event:
            case RunStarted():
                tx.execute(
                    "INSERT INTO runs (run_id, session_id, user_id, agent, model, state, prompt, started_at, "
                    "parent_run_id, depth, owner, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT (run_id) DO NOTHING",
                    (
                        run_id,
                        recorded.session_id,
                        recorded.user_id,
                        event.agent,
                        event.model,
                        RunState.RUNNING.value,
                        _cut(event.prompt),
                        stamp(recorded.at),
                        event.parent_run_id,
                        event.depth,
                        event.owner,
                        recorded.position,
                    ),
                )
                _see(tx, recorded, run_id)
            case RunTakenOver():
                _see(tx, recorded, run_id, ", owner = ?, error = ''", event.owner)
                _set_open_state(tx, run_id)
            case RunSuspended():
                _see(tx, recorded, run_id, ", state = ?, error = ?", RunState.INTERRUPTED.value, _cut(event.reason))
            case RecordCopied():
                shared = event.record
                turns = int(isinstance(shared, ModelRequested) and shared.attempt == 1)
                _see(tx, recorded, run_id, ", turns = turns + ?", turns)
            case ModelRequested():
                _see(tx, recorded, run_id, ", turns = turns + ?", int(event.attempt == 1))
            case ModelCompleted() | ModelAttemptFailed() | ModelFailed():
                usage = usage_of(event)
                _see(
                    tx, recorded, run_id,
                    ", input_tokens = input_tokens + ?, output_tokens = output_tokens + ?, cost_usd = cost_usd + ?",
                    usage.total_tokens - usage.output_tokens, usage.output_tokens, usage.cost_usd,
                )  # fmt: skip
            case ToolRequested():
                tx.execute(
                    "INSERT INTO run_calls (run_id, call_id, tool, attempt, requested_at) VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT (run_id, call_id) DO UPDATE SET attempt = excluded.attempt",
                    (run_id, event.call_id, event.tool, event.attempt, stamp(recorded.at)),
                )
                _see(tx, recorded, run_id)
            case ApprovalRequested():
                tx.execute(
                    "INSERT INTO run_calls (run_id, call_id, tool, requested_at, waiting, reason) "
                    "VALUES (?, ?, ?, ?, 1, ?) "
                    "ON CONFLICT (run_id, call_id) DO UPDATE SET waiting = 1, reason = excluded.reason",
                    (run_id, event.call_id, event.tool, stamp(recorded.at), event.reason),
                )
                _see(tx, recorded, run_id)
                _set_open_state(tx, run_id)
            case ApprovalDecided():
                tx.execute(
                    "UPDATE run_calls SET waiting = 0, reason = '' WHERE run_id = ? AND call_id = ?",
                    (run_id, event.call_id),
                )
                _see(tx, recorded, run_id)
                _set_open_state(tx, run_id)
            case ChildWaits() | ChildEnded():
                _forget_below(tx, run_id, event.call_id)
                for waits in event.waiting if isinstance(event, ChildWaits) else ():
                    tx.execute(
                        "INSERT INTO run_calls (run_id, call_id, tool, requested_at, waiting, reason) "
                        "VALUES (?, ?, ?, ?, 1, ?)",
                        (run_id, waits.call_id, waits.tool, stamp(recorded.at), waits.reason),
                    )
                _see(tx, recorded, run_id)
                _set_open_state(tx, run_id)
            case ToolCompleted() | ToolFailed() | ToolOutcomeUnknown():
                tx.execute("DELETE FROM run_calls WHERE run_id = ? AND call_id = ?", (run_id, event.call_id))
                _see(tx, recorded, run_id)
                _set_open_state(tx, run_id)
            case RunCompleted():
                _close(tx, recorded, run_id, event.state, event.output, event.degraded)
            case RunFailed():
                _close(tx, recorded, run_id, RunState.FAILED, "", event.error)
            case RunCancelled():
                _close(tx, recorded, run_id, RunState.CANCELLED, "", event.reason)
            case RunInterrupted():
                _close(tx, recorded, run_id, RunState.INTERRUPTED, event.output, event.reason)
            case _:
                _see(tx, recorded, run_id)  # nothing to show of it but that it is there

    # Last in the class: after it `list` is not the type any more.
    async def list(
        self,
        *,
        state: RunState | str | None = None,
        user_id: str | None = None,
        agent: str | None = None,
        session_id: str | None = None,
        parent_run_id: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[RunRow]:
        """The newest runs first, of those that fit all that is given.

        Args:
            before: Only runs that began before this position: the last one's of the page before.
        """
        where = Where().equal(
            state=state, user_id=user_id, agent=agent, session_id=session_id, parent_run_id=parent_run_id
        )
        where.add("position < ?", before)
        sql = f"SELECT {_SHOWN} FROM runs{where.sql} ORDER BY position DESC LIMIT ?"
        return await self.read(lambda tx: [_run(row) for row in tx.query(sql, (*where.params, limit))])


def _see(tx: Transaction, recorded: Recorded, run_id: str, more: str = "", *values: str | int | float) -> None:
    tx.execute(
        f"UPDATE runs SET version = ?, epoch = ?{more} WHERE run_id = ?",
        (recorded.version, recorded.epoch, *values, run_id),
    )


def _set_open_state(tx: Transaction, run_id: str) -> None:
    """An open run waits as long as one of its calls does. A suspended one stays so until it is taken over."""
    tx.execute(
        "UPDATE runs SET state = CASE WHEN EXISTS (SELECT 1 FROM run_calls WHERE run_id = ? AND waiting = 1) "
        "THEN ? ELSE ? END WHERE run_id = ? AND finished_at IS NULL AND error = ''",
        (run_id, RunState.WAITING.value, RunState.RUNNING.value, run_id),
    )


def _forget_below(tx: Transaction, run_id: str, call_id: str) -> None:
    """The calls of the child that a call asks for, and of those below it: their ids begin with that call's."""
    below = f"{call_id}_"
    tx.execute(
        "DELETE FROM run_calls WHERE run_id = ? AND substr(call_id, 1, CAST(? AS INTEGER)) = ?",
        (run_id, len(below), below),
    )


def _close(tx: Transaction, recorded: Recorded, run_id: str, state: RunState, output: str, error: str) -> None:
    tx.execute("DELETE FROM run_calls WHERE run_id = ?", (run_id,))
    _see(
        tx, recorded, run_id, ", state = ?, output = ?, error = ?, finished_at = ?",
        state.value, _cut(output), _cut(error), stamp(recorded.at),
    )  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"


_STATE, _STARTED, _FINISHED = (RunRow.__struct_fields__.index(name) for name in ("state", "started_at", "finished_at"))


def _run(row: tuple[object, ...]) -> RunRow:
    values = list(row)
    values[_STATE] = RunState(str(values[_STATE]))
    values[_STARTED] = moment(str(values[_STARTED]))
    if values[_FINISHED] is not None:
        values[_FINISHED] = moment(str(values[_FINISHED]))
    return RunRow(*values)  # type: ignore[arg-type]
