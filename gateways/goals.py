"""What an agent's runs have to come to, as users say it: a living plan, stop hooks, `run_until`, `quality`."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ..actors.gate import Gate
from ..actors.living_plan import LivingPlanPolicy, PlanMirror
from ..actors.model import Model
from ..actors.plan_drafts import steps_in
from ..actors.plan_gate import PlanGate
from ..actors.plan_tools import make_plan_tools
from ..actors.quality import QualityGate
from ..actors.run_until import RunUntil
from ..actors.stop_hooks import MOST_ITERATIONS, StopHook, StopHooks
from ..actors.strategies.architecture import Architecture, calls_tools
from ..actors.tool import BadArguments, Tool
from ..events.budget import Limits
from ..events.errors import ConfigError
from ..events.plan import LivingPlan, LivingPlanStep, check_plan
from ..events.plan_evidence import PlanRefused
from .arguments import well_formed
from .models.prices import check_cost_caps
from .models.resolver import resolve_model
from .tuning import Tuning

_OF_PLAN = ("enabled", "goal", "steps", "auto_stop_hook", "carry_on", "mirror", "include_recall")
_OF_UNTIL = (
    "condition",
    "checker",
    "decider",
    "max_iterations",
    "max_no_progress",
    "max_cost_usd",
    "checker_prompt",
)
_OF_QUALITY = ("criteria", "evaluator", "threshold", "on_fail", "max_retries", "evaluator_prompt")


class Goals:
    """What the arguments of `Agent` mean.

    Attributes:
        plan: How it plans, if it does; `tools` are for that.
        gates: What its answers have to pass: its plan, then the hooks, then what costs a model call.
        told: What its model is told of them beside its instructions.
    Raises:
        ConfigError: Names the argument and what would do.
    """

    def __init__(
        self,
        living_plan: Any,
        stop_hooks: Sequence[StopHook] | None,
        run_until: Any,
        quality: Any,
        tuning: Tuning,
        model: Model,
        architecture: Architecture,
    ) -> None:
        most = _most(tuning.max_stop_hook_iterations)
        hooks = _hooks(tuning.stop_hooks if stop_hooks is None else stop_hooks)
        until = run_until_of(run_until)
        self.plan = resolve_living_plan(living_plan)
        if self.plan is not None and not calls_tools(architecture):
            raise ConfigError(
                f"living_plan= needs a model that has tools, and {architecture.name!r} calls none: nobody "
                "could write the plan; give it to an agent that it asks, or to a supervisor"
            )
        self.tools: list[Tool] = [] if self.plan is None else make_plan_tools()
        gates: list[Gate] = []
        if self.plan is not None and self.plan.auto_stop_hook:
            gates.append(PlanGate(most))
        if hooks:
            gates.append(StopHooks(hooks, most))
        if until is not None:
            gates.append(until)
            for asked in (model, *([] if until.checker is None else [resolve_model(until.checker)])):
                check_cost_caps(asked, Limits(max_cost_usd=until.max_cost_usd))
        judged = quality_of(quality)
        if judged is not None:
            gates.append(judged)
        self.told = "" if judged is None else judged.told
        self.gates = tuple(gates)


def resolve_living_plan(given: Any) -> LivingPlanPolicy | None:
    """What `living_plan=` means; None: no plan.

    Args:
        given: None, a bool, a `LivingPlan`, its steps, a mapping, or a `LivingPlanPolicy`.
    Raises:
        ConfigError: It is none of these, or says something that there is not.
    """
    if given is None or given is False:
        return None
    if given is True or given in ("memory", "workspace"):
        return LivingPlanPolicy()
    if isinstance(given, LivingPlanPolicy):
        return given
    if isinstance(given, LivingPlan):
        return LivingPlanPolicy(seed=_seed(given))
    if isinstance(given, Mapping):
        return _policy_of(cast("Mapping[str, Any]", given))
    if isinstance(given, Sequence) and not isinstance(given, str):
        return LivingPlanPolicy(seed=_seed(LivingPlan(steps=_steps(given))))
    raise ConfigError(
        f"living_plan={given!r} is no plan; it takes True, steps, a LivingPlan, or a mapping with {', '.join(_OF_PLAN)}"
    )


def _policy_of(given: Mapping[str, Any]) -> LivingPlanPolicy | None:
    _check_keys("living_plan", given, _OF_PLAN)
    switches: dict[str, bool] = {}
    for name in ("enabled", "auto_stop_hook", "carry_on", "include_recall"):
        switches[name] = given.get(name, True)
        if not isinstance(switches[name], bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"living_plan: {name}={switches[name]!r} must be True or False")
    goal: Any = given.get("goal", "")
    mirror: Any = given.get("mirror")
    if isinstance(mirror, bool):
        mirror, switches["in_workspace"] = None, mirror
    if mirror is not None and not callable(mirror):
        raise ConfigError(f"living_plan: mirror={mirror!r} must be a function of a PlanNote, True or False")
    if not isinstance(goal, str):
        raise ConfigError(f"living_plan: goal={goal!r} must be a text")
    seed = _seed(LivingPlan(goal, _steps(given.get("steps", ()))))
    if not switches.pop("enabled"):
        return None
    return LivingPlanPolicy(seed=seed, mirror=cast("PlanMirror | None", mirror), **switches)


def _steps(given: Any) -> tuple[LivingPlanStep, ...]:
    try:
        return tuple(steps_in(given))
    except BadArguments as exc:
        raise ConfigError(f"living_plan: {exc}") from exc


def _seed(given: LivingPlan) -> LivingPlan:
    plan = well_formed(given, "living_plan")
    try:
        check_plan(plan)
    except PlanRefused as exc:
        raise ConfigError(f"living_plan: {exc}") from exc
    return plan


def run_until_of(given: Any) -> RunUntil | None:
    """What `run_until=` means; None: a run ends with its answer.

    Raises:
        ConfigError: It is no condition, or says something that there is not.
    """
    if given is None or isinstance(given, RunUntil):
        return given
    if isinstance(given, Mapping):
        how = dict(cast("Mapping[str, Any]", given))
        _check_keys("run_until", how, _OF_UNTIL)
        return RunUntil(how.pop("condition", ""), **how)
    return RunUntil(given)


def quality_of(given: Any) -> QualityGate | None:
    """What `quality=` means; None: nobody judges.

    Raises:
        ConfigError: It is no gate, or says something that there is not.
    """
    if given is None or isinstance(given, QualityGate):
        return given
    if isinstance(given, Mapping):
        how = dict(cast("Mapping[str, Any]", given))
        _check_keys("quality", how, _OF_QUALITY)
        return QualityGate(how.pop("criteria", ()), **how)
    if isinstance(given, str | Sequence):
        return QualityGate(cast("Sequence[str]", given))
    raise ConfigError(f"quality={given!r} is no gate; it takes criteria, a QualityGate, or a mapping")


def _hooks(given: Any) -> Sequence[StopHook]:
    if given is None:
        return ()
    if callable(given) or not hasattr(given, "__iter__"):
        raise ConfigError(f"stop_hooks={given!r} must be a list of functions of a StopContext")
    hooks: list[Any] = [*given]
    for hook in hooks:
        if not callable(hook):
            raise ConfigError(f"stop_hooks: {hook!r} is no function; a hook takes a StopContext")
    return hooks


def _most(given: Any) -> int:
    if given is None:
        return MOST_ITERATIONS
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise ConfigError(f"max_stop_hook_iterations={given!r}; it must be a whole number, 0 or more")
    return given


def _check_keys(what: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
            raise ConfigError(f"{what}: unknown key {key!r}; {hint}")
