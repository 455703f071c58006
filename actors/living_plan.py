"""The living plan of a run: how it begins, and how it is written.

It is a fold of the run's events (`events/plan.py`), so whoever goes on with the run has it, and so has a fork. A model
works on it with the tools of `plan_tools.py`, and the gate in `plan_gate.py` holds the run to it.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from ..events.errors import NotFound
from ..events.plan import LivingPlan, PlanWritten, open_plan, write_plan
from ..events.run import Run
from .context import current_call
from .outside import asked
from .run_history import history_of

if TYPE_CHECKING:
    from .run import RunActivation


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
        in_workspace: Whether the workspace of an agent that has one keeps its plans, where there is no other `mirror`.
        include_recall: Whether such an agent has the tool `recall_past_plans`.
    """

    seed: LivingPlan = LivingPlan()
    auto_stop_hook: bool = True
    carry_on: bool = True
    mirror: PlanMirror | None = None
    in_workspace: bool = True
    include_recall: bool = True


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
        await asked(self._run.services.threads, policy.mirror, note)


_current: ContextVar[PlanOfRun] = ContextVar("treadle_plan")


def enter_plan(plan: PlanOfRun) -> None:
    """Make `plan` that of the run that this task drives."""
    _current.set(plan)


def get_active_plan() -> LivingPlan | None:
    """The plan of the run that this code runs in, as it is now; None outside of a run, and in one without a plan."""
    found = _current.get(None)
    return None if found is None else found.plan


def plan_of_run() -> PlanOfRun:
    """The plan of the run whose tool runs this code.

    Raises:
        LookupError: This code does not run inside of a run, or its tool does not run on the run's own node.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("plans belong to runs: this works in a tool that a run called on its node") from None


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
