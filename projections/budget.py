"""Tokens and money: what was used, by user, agent, model and day, and how full each budget is.

Usage is counted from the attempts at model calls, each of which is one event: a run that was killed and resumed counts
each once. Budgets are shown as their actors see them; it is they who enforce the caps, not these sums.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal

import msgspec
from msgspec import Struct

from ..events.budget import CATEGORY as BUDGET
from ..events.budget import Limits, Opened, Released, Reserved, Settled, TimeSpent, Warned
from ..events.envelope import Recorded
from ..events.errors import NotFound
from ..events.message import Usage
from ..events.model_step import ModelAttemptFailed, ModelCompleted, ModelFailed, usage_of
from ..events.run import CATEGORY as RUN
from ..events.run import CLOSING_TAGS, RunStarted
from .projection import Projection
from .views import Row, Table, Transaction, Where, stamp

Group = Literal["user_id", "agent", "model", "day"]
GROUPS: tuple[Group, ...] = ("user_id", "agent", "model", "day")

_COUNTED = ("calls", "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "cost_usd")


class UsageRow(Struct, frozen=True):
    """What the model calls of one group used. What was not grouped by is None.

    Attributes:
        day: In UTC.
        calls: Attempts at model calls that were answered, or charged without an answer that was kept.
    """

    user_id: str | None
    agent: str | None
    model: str | None
    day: date | None
    calls: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    cost_usd: float

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens + self.cached_input_tokens + self.cache_write_tokens


class BudgetRow(Struct, frozen=True):
    """One budget: its caps, what was used, what is set aside for calls under way."""

    scope: str
    limits: Limits
    used_tokens: int
    used_cost_usd: float
    reserved_tokens: int
    reserved_cost_usd: float
    wall_clock_s: float
    warned: tuple[str, ...]


_COUNT, _MONEY = "BIGINT NOT NULL DEFAULT 0", "DOUBLE PRECISION NOT NULL DEFAULT 0"

_USAGE = Table(
    "budget_usage",
    {
        **dict.fromkeys(GROUPS, "TEXT NOT NULL"),
        **{name: _MONEY if name == "cost_usd" else _COUNT for name in _COUNTED},
    },
    key=GROUPS,
)
_RUNS = Table(
    "budget_runs",
    {"run_id": "TEXT NOT NULL", "agent": "TEXT NOT NULL", "model": "TEXT NOT NULL"},
    key=("run_id",),
)
_SCOPES = Table(
    "budget_scopes",
    {
        "scope": "TEXT NOT NULL",
        "limits": "TEXT NOT NULL DEFAULT '{}'",
        "used_tokens": _COUNT,
        "used_cost_usd": _MONEY,
    },
    key=("scope",),
)
_RESERVED = Table(
    "budget_reserved",
    {"scope": "TEXT NOT NULL", "call_id": "TEXT NOT NULL", "tokens": _COUNT, "cost_usd": _MONEY},
    key=("scope", "call_id"),
)
_TIMES = Table(
    "budget_times",
    {"scope": "TEXT NOT NULL", "run_id": "TEXT NOT NULL", "seconds": _MONEY},
    key=("scope", "run_id"),
)
_WARNED = Table(
    "budget_warned",
    {"scope": "TEXT NOT NULL", "limit_name": "TEXT NOT NULL", "at": "TEXT NOT NULL"},
    key=("scope", "limit_name"),
)


class BudgetView(Projection):
    """Usage by user, agent, model and day; budgets by scope."""

    name = "budget"
    schema = 2
    tables = (_USAGE, _RUNS, _SCOPES, _RESERVED, _TIMES, _WARNED)
    handles = frozenset(
        {event.event_tag for event in (RunStarted, ModelCompleted, ModelAttemptFailed, ModelFailed)}
        | CLOSING_TAGS
        | {event.event_tag for event in (Opened, Reserved, Settled, Released, Warned, TimeSpent)}
    )

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, tuple[str, str]] = {}

    # --- queries -----------------------------------------------------------------------------------------------------

    async def usage(
        self,
        by: Sequence[Group] = GROUPS,
        *,
        user_id: str | None = None,
        agent: str | None = None,
        model: str | None = None,
        since: date | None = None,
        until: date | None = None,
    ) -> list[UsageRow]:
        """Sums over what fits all that is given, one row for each group; `by=()` gives one row, or none.

        Args:
            since, until: The first day, and the day after the last, in UTC.
        """
        where = Where().equal(user_id=user_id, agent=agent, model=model)
        where.add("day >= ?", None if since is None else since.isoformat())
        where.add("day < ?", None if until is None else until.isoformat())
        groups = [name for name in GROUPS if name in by]
        shown = ", ".join([*groups, *(_sum(name) for name in _COUNTED)])
        sql = f"SELECT {shown} FROM budget_usage{where.sql}"
        if groups:
            sql += f" GROUP BY {', '.join(groups)} ORDER BY {', '.join(groups)}"
        rows = await self.read(lambda tx: tx.query(sql, where.params))
        return [_usage_row(groups, row) for row in rows if row[len(groups)]]

    async def scopes(self) -> list[BudgetRow]:
        """All budgets, by scope."""
        return await self.read(lambda tx: _budgets(tx))

    async def scope(self, scope: str) -> BudgetRow:
        """Raises NotFound when no such budget was folded so far."""
        for found in await self.read(lambda tx: _budgets(tx, scope)):
            return found
        raise NotFound("budget", scope)

    # --- fold --------------------------------------------------------------------------------------------------------

    def begin(self, tx: Transaction) -> None:
        self._known.clear()

    def apply(self, tx: Transaction, recorded: Recorded) -> None:
        if recorded.category == RUN:
            self._run(tx, recorded)
        elif recorded.category == BUDGET:
            self._budget(tx, recorded)

    def _run(self, tx: Transaction, recorded: Recorded) -> None:
        event, run_id = recorded.event, recorded.stream.partition("-")[2]
        match event:
            case RunStarted():
                tx.execute(f"{_RUNS.insert} ON CONFLICT (run_id) DO NOTHING", (run_id, event.agent, event.model))
                if recorded.version == 1:
                    self._known[run_id] = event.agent, event.model  # what was just written need not be asked
            case ModelCompleted() | ModelAttemptFailed() | ModelFailed():
                usage = usage_of(event)
                if usage == Usage() and not isinstance(event, ModelCompleted):
                    return  # it cost nothing, and answered nothing
                agent, model = self._agent_and_model(tx, run_id)
                more = ", ".join(f"{name} = budget_usage.{name} + excluded.{name}" for name in _COUNTED)
                tx.execute(
                    f"{_USAGE.insert} ON CONFLICT ({', '.join(GROUPS)}) DO UPDATE SET {more}",
                    (
                        recorded.user_id,
                        agent,
                        event.model or model,
                        _day(recorded.at),
                        1,
                        usage.input_tokens,
                        usage.output_tokens,
                        usage.cached_input_tokens,
                        usage.cache_write_tokens,
                        usage.cost_usd,
                    ),
                )
            case _:  # the run has ended: no model answers in it any more
                self._known.pop(run_id, None)
                tx.execute("DELETE FROM budget_runs WHERE run_id = ?", (run_id,))

    def _agent_and_model(self, tx: Transaction, run_id: str) -> tuple[str, str]:
        """Of a run, asked for once in a batch."""
        if run_id not in self._known:
            for agent, model in tx.query("SELECT agent, model FROM budget_runs WHERE run_id = ?", (run_id,)):
                self._known[run_id] = agent, model
        return self._known.get(run_id, ("", ""))

    def _budget(self, tx: Transaction, recorded: Recorded) -> None:
        event, scope = recorded.event, recorded.stream.partition("-")[2]
        tx.execute("INSERT INTO budget_scopes (scope) VALUES (?) ON CONFLICT (scope) DO NOTHING", (scope,))
        match event:
            case Opened(limits):
                text = msgspec.json.encode(limits).decode()
                tx.execute("UPDATE budget_scopes SET limits = ? WHERE scope = ?", (text, scope))
            case Reserved():
                tx.execute(
                    f"{_RESERVED.insert} ON CONFLICT (scope, call_id) "
                    "DO UPDATE SET tokens = excluded.tokens, cost_usd = excluded.cost_usd",
                    (scope, event.call_id, event.input_tokens + event.output_tokens, event.cost_usd),
                )
            case Settled(call_id, usage):
                _let_go(tx, scope, call_id)
                tx.execute(
                    "UPDATE budget_scopes SET used_tokens = used_tokens + ?, used_cost_usd = used_cost_usd + ? "
                    "WHERE scope = ?",
                    (usage.total_tokens, usage.cost_usd, scope),
                )
            case Released(call_id):
                _let_go(tx, scope, call_id)
            case Warned(limit):
                tx.execute(
                    f"{_WARNED.insert} ON CONFLICT (scope, limit_name) DO NOTHING", (scope, limit, stamp(recorded.at))
                )
            case TimeSpent(run_id, seconds):
                tx.execute(
                    f"{_TIMES.insert} ON CONFLICT (scope, run_id) DO UPDATE SET seconds = excluded.seconds",
                    (scope, run_id, seconds),
                )
            case _:
                pass  # of a newer schema


def _let_go(tx: Transaction, scope: str, call_id: str) -> None:
    tx.execute("DELETE FROM budget_reserved WHERE scope = ? AND call_id = ?", (scope, call_id))


def _budgets(tx: Transaction, scope: str | None = None) -> list[BudgetRow]:
    where = Where().add("s.scope = ?", scope)
    rows = tx.query(
        "SELECT s.scope, s.limits, s.used_tokens, s.used_cost_usd, "
        "(SELECT CAST(coalesce(sum(tokens), 0) AS BIGINT) FROM budget_reserved r WHERE r.scope = s.scope), "
        "(SELECT coalesce(sum(cost_usd), 0) FROM budget_reserved r WHERE r.scope = s.scope), "
        "(SELECT coalesce(sum(seconds), 0) FROM budget_times t WHERE t.scope = s.scope) "
        f"FROM budget_scopes s{where.sql} ORDER BY s.scope",
        where.params,
    )
    warned: dict[str, list[str]] = {}
    warnings = f"SELECT scope, limit_name FROM budget_warned s{where.sql} ORDER BY scope, limit_name"
    for name, limit in tx.query(warnings, where.params):
        warned.setdefault(name, []).append(limit)
    return [
        BudgetRow(
            name,
            msgspec.json.decode(limits, type=Limits),
            used_tokens,
            used_cost_usd,
            reserved_tokens,
            reserved_cost_usd,
            wall_clock_s,
            tuple(warned.get(name, ())),
        )
        for name, limits, used_tokens, used_cost_usd, reserved_tokens, reserved_cost_usd, wall_clock_s in rows
    ]


def _usage_row(groups: Sequence[str], row: Row) -> UsageRow:
    found = dict(zip(groups, row, strict=False))
    day = found.get("day")
    return UsageRow(
        found.get("user_id"),
        found.get("agent"),
        found.get("model"),
        None if day is None else date.fromisoformat(day),
        *row[len(groups) :],
    )


def _sum(column: str) -> str:
    # PostgreSQL adds BIGINTs up to a NUMERIC.
    return f"sum({column})" if column == "cost_usd" else f"CAST(sum({column}) AS BIGINT)"


def _day(at: datetime) -> str:
    return stamp(at)[:10]
