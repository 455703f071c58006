"""`treadle show`: a run at a glance."""

import asyncio
from functools import reduce
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from typer import Argument, Option

from ...events.plan import LivingPlanStep
from ...events.run import Run, evolve, run_stream
from ...projections import OpenCall, RunRow, Runs
from ..pictures.files import written
from ..pictures.runs import picture_of_run
from .command import Call, command
from .narration import called, cut, short
from .output import Columns
from .reading import read_journal, read_projections
from .run_steps import StepRow, described, steps_of
from .runs import COLUMNS as RUN_COLUMNS
from .runs import took

app = typer.Typer()


@command(app)
async def show(
    call: Call,
    run: Annotated[str, Argument(help="The run.")],
    graph: Annotated[Path | None, Option(help="Draw it into this file: .mmd, .md, .svg or .png.")] = None,
) -> None:
    """Show a run: its steps, tool calls, plan, open approvals and children."""
    kept = Runs()
    async with read_projections(call.place, kept):
        row = await kept.get(run)
        waiting = await kept.open_calls(run, waiting=True)
        children = await kept.list(parent_run_id=run, limit=1000)
    async with read_journal(call.place) as journal:
        history = await journal.read(run_stream(run))
        steps, state = steps_of(history), reduce(evolve, (recorded.event for recorded in history), Run())
        if graph is not None:
            picture = await picture_of_run(journal, run)
            await asyncio.to_thread(written, picture, graph)
    if call.out.json:
        call.out.object(
            {
                "run": row,
                "steps": [described(step) for step in steps],
                "plan": None if state.plan is None else msgspec.to_builtins(state.plan.plan),
                "waiting": waiting,
                "children": [msgspec.to_builtins(child) for child in children],
            }
        )
        return
    call.out.fields(_summary(row))
    if steps:
        call.out.say("")
        call.out.rows(steps, STEP_COLUMNS)
    if state.plan is not None and state.plan.plan.steps:
        call.out.say("")
        call.out.rows(state.plan.plan.steps, PLAN_COLUMNS)
    if waiting:
        call.out.say("")
        call.out.rows(waiting, WAITING_COLUMNS)
    if children:
        call.out.say("")
        call.out.rows(reversed(children), RUN_COLUMNS)


def _summary(row: RunRow) -> dict[str, object]:
    return {
        "run": row.run_id,
        "state": f"{row.state.value}{f' ({cut(row.error)})' if row.error else ''}",
        "agent": f"{row.agent}, model {row.model}",
        "user": row.user_id,
        "session": "" if row.session_id == row.run_id else row.session_id,
        "parent": row.parent_run_id,
        "prompt": cut(row.prompt),
        "output": cut(row.output),
        "started": row.started_at,
        "took": took(row),
        "turns": row.turns,
        "tokens": f"{row.input_tokens} in, {row.output_tokens} out",
        "cost": f"${row.cost_usd:.4f}" if row.cost_usd else "",
        "owner": f"{row.owner}, epoch {row.epoch}",
        "version": row.version,
    }


def _what(step: StepRow) -> str:
    return cut(called(step.name, step.args), 80) if step.kind == "tool" else f"model {step.name}".rstrip()


def _result(step: StepRow) -> str:
    return "" if step.result is None else cut(step.result if isinstance(step.result, str) else short(step.result), 100)


STEP_COLUMNS: Columns[StepRow] = {
    "step": lambda step: step.step,
    "call": _what,
    "outcome": lambda step: step.outcome + (f", attempt {step.attempts}" if step.attempts > 1 else ""),
    "took": lambda step: "" if step.duration_ms is None else f"{step.duration_ms:.1f} ms",
    "result": _result,
}

PLAN_COLUMNS: Columns[LivingPlanStep] = {
    "plan": lambda step: cut(step.description, 60),
    "status": lambda step: step.status,
    "verified by": lambda step: ", ".join(step.verified_by),
    "finding": lambda step: cut(step.finding, 80),
}

WAITING_COLUMNS: Columns[OpenCall] = {
    "waits for approval": lambda call: call.call_id,
    "tool": lambda call: call.tool,
    "because": lambda call: call.reason,
    "since": lambda call: call.requested_at,
    "to answer": lambda call: f"treadle approve {call.call_id} --allow",
}
