"""The living plan of a run: its steps as the model last wrote them, and what shows that one of them is done. In the
stream of `run.py`.

A plan is written whole: what is not in the new one is no step any more. A step that becomes done has to show it, by
calls of this run that completed (`plan_evidence.py`), or by a finding.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from msgspec import Struct, field, structs

from .event import Event
from .plan_evidence import Evidence, PlanRefused

if TYPE_CHECKING:
    from .run import Run

MOST_STEPS = 100
LONGEST_DESCRIPTION = 500
LONGEST_FINDING = 4000
SHORTEST_FINDING = 20
"""Characters of a finding that is enough to call a step done."""

Status: TypeAlias = Literal["todo", "doing", "done", "blocked", "skipped"]
STATUSES: tuple[Status, ...] = get_args(Status)

_MARKS: Mapping[Status, str] = {"todo": " ", "doing": "~", "done": "x", "blocked": "!", "skipped": "-"}


class LivingPlanStep(Struct, frozen=True):
    """A step of a plan.

    Attributes:
        description: What is to be done; two steps of one plan have different ones.
        finding: What came of it, in words.
        verified_by: The calls that show that it is done: `run_tests#2`, and `<run>:run_tests#2` of an earlier run.
    """

    description: str
    status: Status = "todo"
    finding: str = ""
    verified_by: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether somebody has to go on with it."""
        return self.status in ("todo", "doing")

    def __str__(self) -> str:
        shown = [f"verified by {', '.join(self.verified_by)}"] if self.verified_by else []
        shown += [self.finding] if self.finding else []
        return f"[{_MARKS[self.status]}] {self.description}{f' ({self.status})' if self.status != 'todo' else ''}" + (
            f": {'; '.join(shown)}" if shown else ""
        )


class LivingPlan(Struct, frozen=True):
    """A plan as it was last written."""

    goal: str = ""
    steps: tuple[LivingPlanStep, ...] = ()

    @property
    def open_steps(self) -> list[LivingPlanStep]:
        """The steps that are todo or doing."""
        return [step for step in self.steps if step.open]

    @property
    def under_way(self) -> str:
        """The description of the step that is doing; empty unless there is exactly one."""
        doing = [step.description for step in self.steps if step.status == "doing"]
        return doing[0] if len(doing) == 1 else ""

    @property
    def finished(self) -> bool:
        """Whether no step of it is todo or doing."""
        return not self.open_steps

    def render(self) -> str:
        """The plan as models and people read it."""
        if not self.steps:
            return "The plan has no steps."
        done = sum(step.status == "done" for step in self.steps)
        lines = [f"{number}. {step}" for number, step in enumerate(self.steps, 1)]
        head = [f"Goal: {self.goal}"] if self.goal else []
        return "\n".join([*head, f"Plan, {done} of {len(self.steps)} steps done:", *lines])


# --- events ----------------------------------------------------------------------------------------------------------


class PlanOpened(Event, tag="run.plan_opened"):
    """The run has a plan, which begins as this.

    Attributes:
        from_run_id: The run of the same session that left it unfinished; empty when it is the agent's.
    """

    plan: LivingPlan = LivingPlan()
    from_run_id: str = ""


class PlanWritten(Event, tag="run.plan_written"):
    """The model wrote its plan anew, by this call."""

    call_id: str
    plan: LivingPlan


# --- state -----------------------------------------------------------------------------------------------------------


class RunPlan(Struct):
    """The plan of a run.

    Attributes:
        opened: How it began; None when nobody gave the run a plan, and its model writes one all the same.
        revision: How often it was written.
        call_id: The call that wrote it last.
        used: The calls of this run that show a step, and which step that was.
    """

    plan: LivingPlan = LivingPlan()
    opened: PlanOpened | None = None
    revision: int = 0
    call_id: str = ""
    used: dict[str, str] = field(default_factory=dict[str, str])


def evolve_plan(event: PlanOpened | PlanWritten, state: RunPlan | None) -> RunPlan:
    if isinstance(event, PlanOpened):
        return RunPlan(event.plan, event)
    state = state or RunPlan()
    state.plan, state.call_id, state.revision = event.plan, event.call_id, state.revision + 1
    for step in event.plan.steps:
        for call in step.verified_by:
            state.used.setdefault(call, step.description)
    return state


# --- decisions -------------------------------------------------------------------------------------------------------


def check_plan(plan: LivingPlan) -> None:
    """Refuse a plan that nobody could work with.

    Raises:
        PlanRefused: It is too long, or a step has no description, or that of another one.
    """
    if len(plan.steps) > MOST_STEPS:
        raise PlanRefused(f"a plan has {MOST_STEPS} steps at most, and this one {len(plan.steps)}; put some together")
    numbers: dict[str, int] = {}
    for number, step in enumerate(plan.steps, 1):
        if not step.description.strip():
            raise PlanRefused(f"step {number} has no description; say what is to be done")
        for name, text, longest in (
            ("description", step.description, LONGEST_DESCRIPTION),
            ("finding", step.finding, LONGEST_FINDING),
        ):
            if len(text) > longest:
                raise PlanRefused(f"the {name} of step {number} has {len(text)} characters, the most are {longest}")
        first = numbers.setdefault(_key(step), number)
        if first != number:
            raise PlanRefused(f"steps {first} and {number} have the same description; tell them apart")


def open_plan(plan: LivingPlan, from_run_id: str, state: "Run") -> list[PlanOpened]:
    """How the run's plan begins, once. What showed a step in another run is named with that run."""
    if state.plan is not None:
        return []
    steps = [
        structs.replace(step, verified_by=tuple(_elsewhere(call, from_run_id) for call in step.verified_by))
        for step in plan.steps
    ]
    return [PlanOpened(plan=structs.replace(plan, steps=tuple(steps)), from_run_id=from_run_id)]


def write_plan(call_id: str, wanted: LivingPlan, state: "Run") -> list[PlanWritten]:
    """The plan as the model wants it; nothing when this call has written it before.

    Args:
        wanted: Its steps name calls as models do: `run_tests#2`, `run_tests` for the last one that shows nothing yet,
            the provider's id of the call, or Treadle's. Without a goal it keeps the one that it had.
    Raises:
        PlanRefused: A step becomes done and nothing shows it.
    """
    known = state.plan or RunPlan()
    if known.call_id == call_id:
        return []
    check_plan(wanted)
    before = {_key(step): step for step in known.plan.steps}
    evidence, steps, problems = Evidence(state, known.used), list[LivingPlanStep](), list[str]()
    for number, step in enumerate(wanted.steps, 1):
        earlier = before.get(_key(step))
        try:
            steps.append(_written(step, earlier, evidence))
        except PlanRefused as exc:
            problems.append(f"step {number} ({step.description!r}) {exc}")
    if problems:
        raise PlanRefused(
            f"the plan is not changed: {'; '.join(problems)}. A step is done when verified_by names a call that "
            f"completed and shows no other step, or its finding says in {SHORTEST_FINDING} characters or more what "
            f"came of it. {evidence.offered}"
        )
    plan = LivingPlan(wanted.goal or known.plan.goal, tuple(steps))
    return [PlanWritten(call_id=call_id, plan=plan)]


def unused_calls(state: "Run") -> list[str]:
    """The calls that completed and show no step of the plan yet, in their order."""
    return Evidence(state, state.plan.used if state.plan is not None else {}).free


def _written(step: LivingPlanStep, earlier: LivingPlanStep | None, evidence: Evidence) -> LivingPlanStep:
    if step.status != "done":
        return structs.replace(step, verified_by=())
    if earlier is not None and earlier.status == "done":  # it was shown then
        return structs.replace(step, verified_by=earlier.verified_by, finding=step.finding or earlier.finding)
    if step.verified_by:
        shown = tuple(dict.fromkeys(evidence.take(call, step.description) for call in step.verified_by))
        return structs.replace(step, verified_by=shown)
    if len(step.finding.strip()) < SHORTEST_FINDING:
        raise PlanRefused("is said to be done, with neither verified_by nor such a finding")
    return step


def _key(step: LivingPlanStep) -> str:
    return " ".join(step.description.split()).casefold()


def _elsewhere(call: str, run_id: str) -> str:
    return call if ":" in call or not run_id else f"{run_id}:{call}"


def counted(steps: Sequence[LivingPlanStep]) -> str:
    """How many steps there are of each status: `2 done, 1 todo`."""
    counts = Counter(step.status for step in steps)
    return ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status]) or "no steps"
