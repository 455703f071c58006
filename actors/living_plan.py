"""The living plan of a run, as its agent has it: how it begins, the tools that write and read it, the gate that holds
the run to it.

It is a fold of the run's events (`events/plan.py`), so whoever goes on with the run has it, and so has a fork.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import Struct

from ..events.errors import NotFound
from ..events.message import ToolSpec
from ..events.plan import STATUSES, LivingPlan, LivingPlanStep, PlanWritten, open_plan, unused_calls, write_plan
from ..events.run import Run
from .context import current_call
from .foreign import called
from .gate import NotPassed, Pass
from .plan_drafts import plan_in
from .plan_words import reminder
from .run_history import history_of
from .stop_hooks import MOST_ITERATIONS
from .tool import BadArguments, Tool

if TYPE_CHECKING:
    from .run import RunActivation
    from .steps import Steps

MOST_REMINDERS = 3
"""How often in a row a model is reminded of open steps while it leaves its plan as it is."""


class PlanNote(Struct, frozen=True, kw_only=True):
    """A plan that is about to be written, for whoever keeps a copy of it elsewhere.

    Attributes:
        call_id: The same when the call is repeated after a crash: writing a copy twice is to write it once.
    """

    plan: LivingPlan
    call_id: str
    run_id: str
    session_id: str
    user_id: str
    agent: str


PlanMirror: TypeAlias = Callable[[PlanNote], Awaitable[None] | None]


class LivingPlanPolicy(Struct, frozen=True, kw_only=True):
    """How an agent plans.

    Attributes:
        seed: What the plan of a run begins with.
        auto_stop_hook: Whether a run is held to its plan: it is sent on while a step is todo or doing.
        carry_on: Whether a run goes on with the plan that the run before it in its session left unfinished.
        mirror: Is given each plan before it is recorded. When it raises, the plan is not written.
    """

    seed: LivingPlan = LivingPlan()
    auto_stop_hook: bool = True
    carry_on: bool = True
    mirror: PlanMirror | None = None


# --- in a run --------------------------------------------------------------------------------------------------------


class PlanOfRun:
    """The plan of a run, for the code of its tools."""

    def __init__(self, run: "RunActivation") -> None:
        self._run = run

    @property
    def state(self) -> Run:
        """What the run has done so far, to be read only."""
        return self._run.state

    @property
    def plan(self) -> LivingPlan | None:
        """The plan as it is now; None for a run without one."""
        found = self._run.state.plan
        return None if found is None else found.plan

    async def write(self, wanted: LivingPlan) -> LivingPlan:
        """The plan as it is recorded. Raises `PlanRefused`."""
        written = write_plan(current_call().call_id, wanted, self.state)
        for event in written:
            await self._mirror(event)
        self._run.record(written)
        assert self.plan is not None
        return self.plan

    async def _mirror(self, written: PlanWritten) -> None:
        call, policy = current_call(), self._run.spec.living_plan
        if policy is None or policy.mirror is None:
            return
        note = PlanNote(
            plan=written.plan,
            call_id=call.call_id,
            run_id=call.run_id,
            session_id=call.session_id,
            user_id=call.user_id,
            agent=call.agent,
        )
        await called(policy.mirror, note)


_current: ContextVar[PlanOfRun] = ContextVar("treadle_plan")


def enter_plan(plan: PlanOfRun) -> None:
    """Make `plan` that of the run that this task drives."""
    _current.set(plan)


def get_active_plan() -> LivingPlan | None:
    """The plan of the run that this code runs in, as it is now; None outside of a run, and in one without a plan."""
    found = _current.get(None)
    return None if found is None else found.plan


async def begin_plan(run: "RunActivation") -> None:
    """Record how the plan of a run begins, once: a replay and a fork are shown the same."""
    policy = run.spec.living_plan
    # A run that began without a plan goes on without one: its model was told of none.
    if policy is None or run.state.plan is not None or run.state.models:
        return
    unfinished, from_run_id = None, run.started.previous_run_id
    if policy.carry_on and from_run_id:
        try:
            before = (await history_of(run.services.journal, from_run_id)).state.plan
        except NotFound:
            before = None  # it was forgotten
        unfinished = before.plan if before is not None and not before.plan.finished else None
    if unfinished is None:
        unfinished, from_run_id = policy.seed, ""
    run.record(open_plan(unfinished, from_run_id, run.state))


# --- its tools -------------------------------------------------------------------------------------------------------


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
    plan = await _of_run().write(wanted)
    return _told(plan)


async def _read() -> str:
    plan = _of_run().plan
    return "There is no plan; plan_write writes one." if plan is None else _told(plan)


def _told(plan: LivingPlan) -> str:
    unused = unused_calls(_of_run().state)
    return f"{plan.render()}\n\nCalls that can show a step: {', '.join(unused) or 'none so far'}."


def _of_run() -> PlanOfRun:
    try:
        return _current.get()
    except LookupError:
        raise LookupError("plans belong to runs: this works in a tool that a run called on its node") from None


def _bind_plan(args: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"wanted": plan_in(args)}


def _bind_nothing(args: Mapping[str, Any]) -> Mapping[str, Any]:
    if args:
        raise BadArguments(f"plan_read takes no arguments, and was given {', '.join(args)}")
    return {}


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


# --- its gate --------------------------------------------------------------------------------------------------------


class PlanGate:
    """Sends a run on while a step of its plan is todo or doing.

    It gives up, as `living_plan:unfinished`, when the plan stays as it is after so many reminders in a row, and after
    as many in all as stop hooks have.
    """

    prefix = ""

    def __init__(self, most: int = MOST_ITERATIONS) -> None:
        self._most = most

    def judge(self) -> "_Judge":
        return _Judge(self._most)


class _Judge:
    def __init__(self, most: int) -> None:
        self._most = most
        self._reminders = 0
        self._in_vain = 0
        self._revision = -1

    async def objection(self, passed: Pass, steps: "Steps") -> str | None:
        def look() -> dict[str, Any]:
            found = steps.so_far.plan
            return {"revision": 0, "open": []} if found is None else {
                "revision": found.revision, "open": found.plan.open_steps
            }  # fmt: skip

        seen: dict[str, Any] = await steps.value("living_plan.open", look)
        if not seen["open"]:
            return None
        self._in_vain = self._in_vain + 1 if seen["revision"] == self._revision else 0
        self._revision = seen["revision"]
        if self._in_vain == MOST_REMINDERS or self._reminders == self._most:
            why = f"{len(seen['open'])} steps of the plan are open after {self._reminders} reminders"
            raise NotPassed("living_plan:unfinished", why)
        self._reminders += 1
        return reminder(msgspec.convert(seen["open"], list[LivingPlanStep]))
