"""The calls of a run as what shows that steps of its plan are done: each one shows one step.

Calls are named as people and models can count them: `run_tests#2` is the second call of `run_tests` in the run, also in
a fork of it. Few providers let a model see the ids of its calls.
"""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .errors import Refused
from .tool_step import ToolCompleted, ToolStep

if TYPE_CHECKING:
    from .run import Run

PLAN_TOOLS = frozenset({"plan_write", "plan_read"})
"""What is done to the plan itself shows nothing."""


class PlanRefused(Refused):
    """The plan cannot be written like this and stays what it was; the message tells the model what is missing."""


class Evidence:
    """The calls of one run.

    Args:
        used: Those that show a step, and which step that is.
    """

    def __init__(self, state: "Run", used: Mapping[str, str]) -> None:
        self._used = dict(used)
        self._calls: dict[str, ToolStep] = {}
        counts: Counter[str] = Counter()
        self._ids: dict[str, list[str]] = {}
        for call_id, call in state.tools.items():
            asked = call.requested or call.approval
            if asked is None or asked.tool in PLAN_TOOLS:
                continue
            counts[asked.tool] += 1
            name = f"{asked.tool}#{counts[asked.tool]}"
            self._calls[name] = call
            for spoken in (asked.tool, call_id, call.requested.model_call_id if call.requested is not None else ""):
                self._ids.setdefault(spoken, []).append(name)

    @property
    def free(self) -> list[str]:
        """Those that completed and show nothing yet, in their order."""
        return [name for name, call in self._calls.items() if _completed(call) and name not in self._used]

    @property
    def offered(self) -> str:
        """The same as a model is told of them."""
        return f"Calls that can show a step: {', '.join(self.free) or 'none so far'}."

    def take(self, spoken: str, description: str) -> str:
        """The name of the call that is meant; it shows this step from now on.

        Args:
            spoken: A name; a tool, for its last call that shows nothing yet; the provider's id of a call, or Treadle's.
        Raises:
            PlanRefused: There is none, or it shows nothing, or another step.
        """
        named = [spoken] if spoken in self._calls else self._ids.get(spoken.strip(), [])
        if not named:
            raise PlanRefused(f"names {spoken!r}, and this run has made no such call")
        free = [name for name in named if _completed(self._calls[name]) and self._is_free(name, description)]
        if free:
            self._used[free[-1]] = description
            return free[-1]
        last = named[-1]
        if not _completed(self._calls[last]):
            raise PlanRefused(f"names {last}, which has not completed")
        raise PlanRefused(f"names {last}, which shows already that {self._used[last]!r} is done")

    def _is_free(self, name: str, description: str) -> bool:
        return self._used.get(name, description) == description


def _completed(call: ToolStep) -> bool:
    return isinstance(call.outcome, ToolCompleted)
