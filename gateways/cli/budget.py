"""`treadle budget`: what was used, and how full the budgets are."""

from typing import Annotated, cast

import typer
from typer import Option

from ...projections import BudgetRow, BudgetView, UsageRow
from ...projections.budget import GROUPS, Group
from .command import Call, command
from .output import Columns
from .reading import read_projections
from .times import day

app = typer.Typer()


@command(app)
async def budget(
    call: Call,
    by: Annotated[str, Option(help=f"What to sum by: {', '.join(GROUPS)}; several with commas.")] = "agent,model",
    user: Annotated[str | None, Option(help="Only this user's.")] = None,
    agent: Annotated[str | None, Option(help="Only this agent's.")] = None,
    model: Annotated[str | None, Option(help="Only this model's.")] = None,
    since: Annotated[str | None, Option(metavar="DAY", help="The first day, in UTC.")] = None,
    until: Annotated[str | None, Option(metavar="DAY", help="The day after the last, in UTC.")] = None,
) -> None:
    """Show tokens and cost that were used, and how full the budgets are."""
    groups = tuple(name.strip() for name in by.split(",") if name.strip())
    for name in groups:
        if name not in GROUPS:
            raise typer.BadParameter(f"--by {name!r}: sum by {', '.join(GROUPS)}")
    kept = BudgetView()
    async with read_projections(call.place, kept):
        usage = await kept.usage(
            cast("tuple[Group, ...]", groups),
            user_id=user,
            agent=agent,
            model=model,
            since=day(since, "--since"),
            until=day(until, "--until"),
        )
        scopes = await kept.scopes()
    if call.out.json:
        call.out.object({"usage": usage, "scopes": scopes})
        return
    shown: Columns[UsageRow] = {**{name: _GROUP_COLUMNS[name] for name in GROUPS if name in groups}, **USAGE_COLUMNS}
    call.out.rows(usage, shown, empty="nothing was used")
    if scopes:
        call.out.say("")
        call.out.rows(scopes, SCOPE_COLUMNS)


def _of(used: object, cap: object) -> str:
    return f"{used}" if cap is None else f"{used} of {cap}"


_GROUP_COLUMNS: Columns[UsageRow] = {
    "user_id": lambda row: row.user_id,
    "agent": lambda row: row.agent,
    "model": lambda row: row.model,
    "day": lambda row: row.day,
}

USAGE_COLUMNS: Columns[UsageRow] = {
    "calls": lambda row: row.calls,
    "input": lambda row: row.input_tokens,
    "output": lambda row: row.output_tokens,
    "cached": lambda row: row.cached_input_tokens,
    "total": lambda row: row.total_tokens,
    "cost": lambda row: f"${row.cost_usd:.4f}",
}

SCOPE_COLUMNS: Columns[BudgetRow] = {
    "budget": lambda row: row.scope,
    "tokens": lambda row: _of(row.used_tokens, row.limits.max_tokens),
    "reserved": lambda row: row.reserved_tokens,
    "cost": lambda row: _of(f"${row.used_cost_usd:.4f}", row.limits.max_cost_usd),
    "time": lambda row: f"{row.wall_clock_s:.1f} s",
    "warned": lambda row: ", ".join(row.warned),
}
