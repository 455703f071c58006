"""Stop hooks: functions that are asked before a run ends, and may send it on with a word of what is missing.

What they said is recorded, so a replay does not ask them again. What the run has done is on disk before they are asked.
A hook whose answer was not stored before its process died is asked once more: what it does beside answering should be
what may happen twice.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from ..events.errors import TreadleError
from ..events.message import Message, Usage
from ..events.plan import LivingPlan
from .context import get_run_context
from .gate import NotPassed, Pass
from .tool import say

if TYPE_CHECKING:
    from .steps import Steps

MOST_ITERATIONS = 15
"""How often the hooks of a run may send it on, unless the agent says otherwise."""


class StopHookFailed(TreadleError):
    """A stop hook raised, or returned what says nothing; the message names it."""


class StopContext(Struct, frozen=True, kw_only=True):
    """A run that is about to end.

    Attributes:
        output: The answer that it is about to give.
        iteration: How often it has been sent on before, by whoever asks now; anew after a steering that
            came when all were content.
        messages: The conversation of the pass that led to the answer, which is the last of it.
        usage: Tokens and cost so far, those of the agents included that the run asked.
        plan: Its living plan, if it has one.
    """

    run_id: str
    session_id: str
    user_id: str
    agent: str
    prompt: str
    output: str
    iteration: int = 0
    turns: int = 0
    usage: Usage = Usage()
    plan: LivingPlan | None = None
    messages: Sequence[Message] = ()


class StopHookResult(Struct, frozen=True):
    """The run is not to end yet.

    Attributes:
        inject_message: What its model is told, as a turn of the user.
        reason: Why, for whoever reads the events.
    """

    inject_message: str
    reason: str = ""


SaidByHook: TypeAlias = str | StopHookResult | None
StopHook: TypeAlias = Callable[[StopContext], SaidByHook | Awaitable[SaidByHook]]
"""None: the run may end. A text is what its model is told."""


class StopHooks:
    """The gate of all hooks of an agent: the first one that says something sends the run on.

    Args:
        most: How often; the objection after that ends the run as `stop_hook_iterations_exhausted`.
    """

    prefix = ""

    def __init__(self, hooks: Sequence[StopHook], most: int = MOST_ITERATIONS) -> None:
        self._hooks = tuple(hooks)
        self._most = most

    def __repr__(self) -> str:
        return f"StopHooks({', '.join(map(_name, self._hooks))}, most={self._most})"

    def judge(self) -> "_Judge":
        return _Judge(self._hooks, self._most)


class _Judge:
    def __init__(self, hooks: Sequence[StopHook], most: int) -> None:
        self._hooks = hooks
        self._most = most
        self._iteration = 0

    async def objection(self, passed: Pass, steps: "Steps") -> str | None:
        said: dict[str, str] | None = await steps.value("stop_hook.said", partial(self._ask, passed, steps))
        if said is None:
            return None
        if self._iteration == self._most:
            why = f"stop hook {said['hook']!r} objects, and max_stop_hook_iterations={self._most} are used up"
            raise NotPassed("stop_hook_iterations_exhausted", f"{why}: {said['reason'] or said['message']}")
        self._iteration += 1
        return said["message"]

    async def _ask(self, passed: Pass, steps: "Steps") -> dict[str, str] | None:
        await steps.stored()
        context = context_of(passed, steps, self._iteration)
        for hook in self._hooks:
            said = await _said(hook, context, steps)
            if said is not None:
                return {"hook": _name(hook), "message": said.inject_message, "reason": said.reason}
        return None


async def _said(hook: StopHook, context: StopContext, steps: "Steps") -> StopHookResult | None:
    try:
        given: Any = await steps.asked(hook, context)
    except Exception as exc:
        raise StopHookFailed(f"stop hook {_name(hook)!r} raised {say(exc)}") from exc
    said: Any = StopHookResult(given) if isinstance(given, str) else given
    if said is None or (isinstance(said, StopHookResult) and said.inject_message.strip()):
        return said
    raise StopHookFailed(
        f"stop hook {_name(hook)!r} returned {given!r}; it returns None, a text, or StopHookResult(inject_message=…)"
    )


def context_of(passed: Pass, steps: "Steps", iteration: int) -> StopContext:
    """The run as it is now, at the end of a pass."""
    state, where = steps.so_far, get_run_context()
    return StopContext(
        run_id=where.run_id,
        session_id=where.session_id,
        user_id=where.user_id,
        agent=state.started.agent if state.started is not None else "",
        prompt=steps.prompt,
        output=passed.answer,
        iteration=iteration,
        turns=state.turns,
        usage=state.usage + state.usage_of_children,
        plan=state.plan.plan if state.plan is not None else None,
        messages=passed.conversation,
    )


def _name(hook: object) -> str:
    return getattr(hook, "__name__", type(hook).__name__)
