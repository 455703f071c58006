"""The tools of a living plan: `plan_write` and `plan_read`. They keep nothing: the plan is in the run's events."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ..events.message import ToolSpec
from ..events.plan import STATUSES, LivingPlan, unused_calls
from .living_plan import plan_of_run
from .plan_drafts import plan_in
from .tool import BadArguments, Tool

_PARAMETERS = msgspec.Raw(
    msgspec.json.encode(
        {
            "type": "object",
            "properties": {
                "goal": {"type": "string", "description": "What the plan is for; may be left out once it is said."},
                "steps": {
                    "type": "array",
                    "description": "Every step of the plan, in order.",
                    "items": {
                        "type": "object",
                        "properties": {
                            "description": {"type": "string", "description": "What is to be done; one of a kind."},
                            "status": {"type": "string", "enum": list(STATUSES)},
                            "finding": {
                                "type": "string",
                                "description": "What came of it, or why it is blocked or skipped.",
                            },
                            "verified_by": {
                                "type": "array",
                                "items": {"type": "string"},
                                "description": "Calls that show that it is done, as tool#number or the tool's name.",
                            },
                        },
                        "required": ["description", "status"],
                        "additionalProperties": False,
                    },
                },
            },
            "required": ["steps"],
            "additionalProperties": False,
        }
    )
)


def make_plan_tools() -> list[Tool]:
    """`plan_write` and `plan_read`, over the plan of the run that calls them."""
    write = ToolSpec(
        name="plan_write",
        description=(
            "Write your plan, all of it: this replaces the one that there is. Returns the plan as it is kept, and the "
            "tool calls that can still show that a step is done."
        ),
        parameters=_PARAMETERS,
        idempotent=True,
        concurrency_safe=False,  # after the other calls of its turn, which may show a step
    )
    read = ToolSpec(
        name="plan_read",
        description="Read your plan as it is kept.",
        parameters=msgspec.Raw(b'{"type":"object","properties":{},"additionalProperties":false}'),
        read_only=True,
        concurrency_safe=False,
    )
    return [Tool(write, _write, True, _bind_plan), Tool(read, _read, True, _bind_nothing)]


async def _write(wanted: LivingPlan) -> str:
    plan = await plan_of_run().write(wanted)
    return _told(plan)


async def _read() -> str:
    plan = plan_of_run().plan
    return "There is no plan; plan_write writes one." if plan is None else _told(plan)


def _told(plan: LivingPlan) -> str:
    unused = unused_calls(plan_of_run().state)
    return f"{plan.render()}\n\nCalls that can show a step: {', '.join(unused) or 'none so far'}."


def _bind_plan(args: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"wanted": plan_in(args)}


def _bind_nothing(args: Mapping[str, Any]) -> Mapping[str, Any]:
    if args:
        raise BadArguments(f"plan_read takes no arguments, and was given {', '.join(args)}")
    return {}
