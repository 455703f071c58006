"""Plans in a workspace: each is a note of kind `plan`, a version for each time that it was written anew, so that later
runs find how others went about it.

A plan is known by the run whose it is. The notes that belong to one of its steps carry the same id: `list(plan=…)`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import structs

from ..actors.context import get_run_context
from ..actors.living_plan import LivingPlanPolicy, PlanNote, get_active_plan
from ..events.logs import get_logger
from ..events.workspace import Note
from ..events.workspace_rules import TEXT_LIMIT_BYTES, TITLE_LIMIT_CHARS, NoteRefused

if TYPE_CHECKING:
    from .workspace import Workspace

PLAN_TAG = "living-plan"
"""Tells the plans of runs from what else somebody calls a plan."""

_log = get_logger("treadle.workspaces")

_MORE = "\n…"
_RECALLED_CHARS = 2000


def with_plans(workspace: "Workspace", policy: LivingPlanPolicy | None) -> LivingPlanPolicy | None:
    """The policy of an agent in this workspace: each plan that it writes is kept there, unless it is kept elsewhere.

    What the workspace refuses is warned of, and the plan is written all the same.
    """
    if policy is None or policy.mirror is not None or not policy.in_workspace:
        return policy

    async def keep(note: PlanNote) -> None:
        goal = note.plan.goal or next((step.description for step in note.plan.steps), "")
        text = note.plan.render()
        try:
            await keep_plan(workspace, goal=goal, text=text, run_id=note.run_id, call_id=note.call_id)
        except NoteRefused as exc:
            # It may be full. The note is a copy: the plan is in its run's own events, and the run is held to that.
            _log.warning("the plan of run %s is not in the workspace as it is now: %s", note.run_id, exc)

    return structs.replace(policy, mirror=keep)


def place_in_plan(step: str) -> tuple[str, str] | None:
    """The plan of the run that this code runs in and the step there: `step`, or else the one that is doing.

    None when the run has no plan and `step` names none.
    """
    plan = get_active_plan()
    if not step and (plan is None or not plan.steps):
        return None
    return get_run_context().run_id, step or (plan.under_way if plan is not None else "")


async def keep_plan(workspace: "Workspace", *, goal: str, text: str, run_id: str, call_id: str) -> Note:
    """Keep a run's plan as it is written now; a call that is repeated keeps it once.

    Args:
        goal: What it is for, the title; `text`: all of it, as it is read.
    """
    title = " ".join(goal.split())[:TITLE_LIMIT_CHARS] or "Plan"
    body = _fitting(text)
    known = await workspace.list(kind="plan", tag=PLAN_TAG, plan=run_id, limit=1)
    if known:
        return await workspace.update(known[0].slug, title=title, body=body, plan=run_id, call_id=call_id)
    return await workspace.note(title, body, kind="plan", tags=[PLAN_TAG], plan=run_id, call_id=call_id)


async def past_plans(workspace: "Workspace", query: str, limit: int) -> Sequence[Note]:
    """The plans of other runs than this one that have words of `query`, the best first."""
    found = await workspace.search(query, limit + 1, kind="plan")
    mine = get_run_context().run_id
    return [note for note in found if note.versions[-1].origin.plan != mine][:limit]


def recalled(note: Note) -> dict[str, Any]:
    """A plan of another run, as a model is told of it."""
    plan = note.body if len(note.body) <= _RECALLED_CHARS else note.body[:_RECALLED_CHARS].rstrip() + _MORE
    return {
        "slug": note.slug,
        "goal": note.title,
        "plan": plan,
        "author": note.author,
        "run": note.versions[-1].origin.plan,
        "updated_at": note.updated_at.isoformat(timespec="seconds"),
    }


def _fitting(text: str) -> str:
    """What of a plan fits into a note; all of it is in its run's own events."""
    if len(text.encode()) <= TEXT_LIMIT_BYTES:
        return text
    return text.encode()[: TEXT_LIMIT_BYTES - len(_MORE.encode())].decode(errors="ignore") + _MORE
