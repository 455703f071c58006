"""ReWOO: plan all tool calls before the first is made, call them, answer from what they brought.

Source: Xu et al., "ReWOO: Decoupling Reasoning from Observations for Efficient Augmented Language Models", 2023
(arXiv:2305.18323).
"""

from collections.abc import Mapping, Sequence

from ...events.message import ToolCall
from ..children import Asked
from ..steps import Steps, ToolResult
from .aside import AskedModel, answer_to, aside, check_model
from .checks import check_count
from .rewoo_plan import Plan, PlannedCall

PLANNER = """\
For this message you plan which tools to call, and neither call them nor answer. Reply with a JSON array and nothing \
else; an empty one when no tool helps. Each item is an object {"id": "E1", "tool": <name>, "args": {<arguments>}}; the \
ids are E1, E2 and so on. Where an argument needs the result of another call, write its id in double braces: {{E1}}. \
Calls that do not need one another's results are made at the same time."""

SOLVER = """\
The tools of your plan have been called. Answer the user from what they returned: do not mention the plan. Where a \
result is missing that you need, say what you could not find out."""


class ReWOO:
    """A plan of tool calls, the calls, an answer: two model calls, however many tools.

    A call whose input failed or is unknown is skipped. A plan that could not be carried out as it is, since it is too
    long or has calls that wait for one another in a circle, leaves the run `degraded` (`rewoo:plan: …`).

    Args:
        max_steps: Calls at most; those that the planner asked for beyond are dropped, and the solver is told.
        parallel_levels: Whether calls that do not need one another go on beside one another.
    """

    name = "rewoo"

    def __init__(
        self,
        max_steps: int = 8,
        *,
        planner_prompt: str = PLANNER,
        solver_prompt: str = SOLVER,
        parallel_levels: bool = True,
        planner_model: AskedModel = None,
        solver_model: AskedModel = None,
    ) -> None:
        self._max_steps = check_count("ReWOO(max_steps)", max_steps)
        self._planner_prompt = planner_prompt
        self._solver_prompt = solver_prompt
        self._parallel = parallel_levels
        self._planner_model = check_model("ReWOO(planner_model)", planner_model)
        self._solver_model = check_model("ReWOO(solver_model)", solver_model)

    def __repr__(self) -> str:
        return f"ReWOO(max_steps={self._max_steps})"

    def declared_workers(self) -> Mapping[str, Asked]:
        return {}

    async def run(self, steps: Steps) -> str:
        planned = await aside(steps, self._planner_role(steps), model=self._planner_model, whole=True)
        plan = Plan(planned, self._max_steps)
        await steps.value("rewoo.planned", lambda: {"steps": list(plan.calls), "problems": plan.problems})
        work = _Work(plan)
        steps.shortfall = self._shortfall(plan.problems)
        while ready := work.ready():
            level = [self._tool_call(each, work, steps) for each in ready]
            turns = [level] if self._parallel else [[call] for call in level]
            results = [result for turn in turns for result in await steps.tools(turn)]
            for call, result in zip(ready, results, strict=True):
                work.results[call.id] = result
                if result.ok and result.ends_turn:
                    return result.text
        await steps.value("rewoo.executed", lambda: work.told)
        in_circle = [f"{', '.join(work.circle)} wait for one another, in a circle"] if work.circle else []
        steps.shortfall = self._shortfall([*plan.problems, *in_circle])
        return await answer_to(steps, self._solver_prompt, planned, _evidence(plan, work), model=self._solver_model)

    def _shortfall(self, problems: Sequence[str]) -> str:
        return f"{self.name}:plan: {'; '.join(problems)}" if problems else ""

    def _planner_role(self, steps: Steps) -> str:
        tools = [
            f"- {tool.name}: {tool.description}\n  arguments: {bytes(tool.parameters).decode()}"
            for tool in steps.toolbox
        ]
        return f"{self._planner_prompt}\n\nTools:\n" + ("\n".join(tools) or "none")

    def _tool_call(self, call: PlannedCall, work: "_Work", steps: Steps) -> ToolCall:
        tool = next((each for each in steps.toolbox if each.name == call.tool), None)
        outputs = {id_: result.output for id_, result in work.results.items()}
        return ToolCall(f"rewoo_step_{call.id}", call.tool, work.plan.filled(call, outputs, tool))


class _Work:
    """How far a plan has been carried out."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.results: dict[str, ToolResult] = {}
        self.skipped: dict[str, str] = {}
        self.circle: list[str] = []

    def ready(self) -> list[PlannedCall]:
        """The next level: calls with all their inputs there. None when the rest can never be made, which is noted."""
        while True:
            waiting = [call for id_, call in self.plan.calls.items() if id_ not in self.results | self.skipped]
            hopeless = {call.id: why for call in waiting if (why := self._hopeless(call))}
            self.skipped |= hopeless
            if not hopeless:
                break
        ready = [call for call in waiting if self.plan.inputs(call) <= self.results.keys()]
        if not ready:
            self.circle = [call.id for call in waiting]
            self.skipped |= dict.fromkeys(self.circle, "it waits for calls that wait for one another, in a circle")
        return ready

    def _hopeless(self, call: PlannedCall) -> str:
        """Why a call can never be made, if so."""
        for id_ in sorted(self.plan.inputs(call)):
            if id_ not in self.plan.calls:
                return f"its input {id_} is not in the plan"
            if id_ in self.skipped or (id_ in self.results and not self.results[id_].ok):
                return f"its input {id_} is missing"
        return ""

    @property
    def told(self) -> dict[str, object]:
        """How it went, for whoever watches."""
        return {
            "done": [id_ for id_, result in self.results.items() if result.ok],
            "failed": [id_ for id_, result in self.results.items() if not result.ok],
            "skipped": self.skipped,
        }


def _evidence(plan: Plan, work: _Work) -> str:
    found = [
        f"{id_} ({call.tool}): {result.text}"
        if (result := work.results.get(id_)) is not None
        else f"{id_} ({call.tool}) was not called: {work.skipped[id_]}."
        for id_, call in plan.calls.items()
    ]
    found += [f"Note: {problem}." for problem in plan.problems]
    return "Results:\n" + ("\n\n".join(found) or "none: no tool was called") + "\n\nNow answer."
