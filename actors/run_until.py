"""`run_until`: a run goes on until a condition holds, as a decider or a checker model finds; it is not for the model
that did the work to say.

A run that stops for any other reason is interrupted, and the reason says why: `run_until:max_iterations` …
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ..events.errors import ConfigError, TreadleError
from ..events.message import Message, ToolCall
from .gate import NotPassed, Pass
from .model import Model
from .stop_hooks import StopContext, context_of
from .tool import say
from .verdict import evidence_of, first_word

if TYPE_CHECKING:
    from .steps import Steps

CHECKER = """\
You check whether a condition holds, by what was done and answered. You did not do the work, and you do not go on with \
it. The first line of your reply is DONE when the condition holds, and NOT_DONE when it does not, or when you cannot \
see that it does. Then say in one or two sentences what is missing, so that it can be done."""

MET, NOT_MET = 0.75, 0.25
"""What a decider is sure of; what lies between is for the checker."""

Decider: TypeAlias = Callable[[StopContext], float | Awaitable[float]]
"""How probable it is that the condition holds, from 0 to 1."""


class DeciderFailed(TreadleError):
    """A decider raised, or gave no probability."""


class RunUntil:
    """A condition that has to hold before a run is completed.

    Args:
        condition: In words: "all tests pass, and the changelog names the change".
        checker: The model that is asked, or its name; default: the agent's own.
        decider: A function of a `StopContext`, or an object with such a method `decide`, sync or async, that is asked
            first. From 0.75 on the condition holds, up to 0.25 it does not; between them the checker is asked.
        max_iterations: Passes of the agent.
        max_no_progress: So many passes in a row that do and say what the one before did end the run.
        max_cost_usd: The run is not sent on once it has cost so much.
        checker_prompt: What the checker is told; its reply has to begin with DONE or NOT_DONE.
    """

    prefix = "run_until:"

    def __init__(
        self,
        condition: str,
        *,
        checker: Model | str | None = None,
        decider: Any = None,
        max_iterations: int = 20,
        max_no_progress: int = 3,
        max_cost_usd: float | None = None,
        checker_prompt: str = CHECKER,
    ) -> None:
        if not isinstance(condition, str) or not condition.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"run_until={condition!r} is no condition; say in words what has to hold")
        if checker is not None and not isinstance(checker, str | Model):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"RunUntil(checker)={checker!r} is no model; it takes a model or the name of one")
        if max_cost_usd is not None and not _is_amount(max_cost_usd):
            raise ConfigError(f"RunUntil(max_cost_usd)={max_cost_usd!r} must be an amount of more than 0 US dollars")
        if not isinstance(checker_prompt, str) or not checker_prompt.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError("RunUntil(checker_prompt) is empty; the checker has to be told what to answer")
        self.condition = condition
        self.checker = checker
        self.decider: Decider | None = None if decider is None else _decider(decider)
        self.max_iterations = _count("max_iterations", max_iterations)
        self.max_no_progress = _count("max_no_progress", max_no_progress)
        self.max_cost_usd = max_cost_usd
        self.checker_prompt = checker_prompt

    def __repr__(self) -> str:
        return f"RunUntil({self.condition!r}, max_iterations={self.max_iterations})"

    def judge(self) -> "_Judge":
        return _Judge(self)


class _Verdict(NamedTuple):
    met: bool
    by: str
    reason: str


class _Judge:
    def __init__(self, until: RunUntil) -> None:
        self._until = until
        self._iteration = 0
        self._repeated = 0
        self._before: tuple[str, tuple[ToolCall, ...]] | None = None

    async def objection(self, passed: Pass, steps: "Steps") -> str | None:
        until = self._until
        did = (passed.answer, tuple(call for call in _calls_of(passed)))
        self._repeated = self._repeated + 1 if did == self._before else 0
        self._before = did
        self._iteration += 1
        cost_usd: float = await steps.value("run_until.cost_usd", lambda: _cost_usd(steps))
        if until.max_cost_usd is not None and cost_usd >= until.max_cost_usd:
            raise self._stopped("max_cost", f"it has cost ${cost_usd:.4f}, the most is ${until.max_cost_usd:g}")
        if self._repeated >= until.max_no_progress:
            raise self._stopped("no_progress", f"the last {self._repeated + 1} passes did and said the same")
        found = {"iteration": self._iteration, **(await self._verdict(passed, steps))._asdict()}
        # As it is recorded: however replies are read one day, a run goes on by what it was told then.
        checked: dict[str, Any] = await steps.value("run_until.checked", lambda: found)
        verdict = _Verdict(checked["met"], checked["by"], checked["reason"])
        if verdict.met:
            return None
        if self._iteration == until.max_iterations:
            raise self._stopped("max_iterations", f"it made {self._iteration} passes; {verdict.reason}")
        return f"This is not done yet: {verdict.reason}\n\nGo on until this holds: {until.condition}"

    def _stopped(self, reason: str, why: str) -> NotPassed:
        return NotPassed(f"run_until:{reason}", f"{self._until.condition!r} was not seen to hold: {why}")

    async def _verdict(self, passed: Pass, steps: "Steps") -> _Verdict:
        if self._until.decider is not None:
            probability: float = await steps.value("run_until.probability", partial(self._probability, passed, steps))
            if probability >= MET or probability <= NOT_MET:
                reason = f"the decider gives the condition a probability of {probability:g}"
                return _Verdict(probability >= MET, "decider", reason)
        return await self._checked(passed, steps)

    async def _probability(self, passed: Pass, steps: "Steps") -> float:
        assert self._until.decider is not None
        await steps.stored()
        try:
            found: Any = await steps.asked(self._until.decider, context_of(passed, steps, self._iteration - 1))
        except Exception as exc:
            raise DeciderFailed(f"the decider of run_until raised {say(exc)}") from exc
        if not isinstance(found, int | float) or not 0 <= found <= 1:  # NaN is not either
            raise DeciderFailed(f"the decider of run_until returned {found!r}; it returns a number from 0 to 1")
        return float(found)

    async def _checked(self, passed: Pass, steps: "Steps") -> _Verdict:
        until = self._until
        evidence = evidence_of(passed, steps)
        question = f"The condition:\n{until.condition}\n\n{evidence}\n\nDoes the condition hold?"
        messages = [Message("system", until.checker_prompt), Message("user", question)]
        reply = await steps.model(messages, tools=False, whole=False, model=until.checker)
        return verdict_in(reply.text)


def verdict_in(text: str) -> _Verdict:
    """What a checker says. One that says neither word has not seen that the condition holds."""
    word, said = first_word(text, "DONE", "NOT_DONE")
    said = " ".join(said.split())
    if word == "DONE":
        return _Verdict(True, "checker", said)
    if word:
        return _Verdict(False, "checker", said or "the checker did not say what is missing")
    return _Verdict(False, "checker", f"the checker said neither DONE nor NOT_DONE, but {said}")


def _calls_of(passed: Pass) -> list[ToolCall]:
    """The tool calls of the pass, as far as it was one conversation, without the ids that they have there."""
    said = passed.conversation
    begin = max((number for number, message in enumerate(said) if message.role == "user"), default=-1)
    return [ToolCall("", call.tool, call.args) for message in said[begin + 1 :] for call in message.tool_calls]


def _cost_usd(steps: "Steps") -> float:
    state = steps.so_far
    return (state.usage + state.usage_of_children).cost_usd


def _decider(given: Any) -> Decider:
    decide: Decider = getattr(given, "decide", given)
    if not callable(decide):
        raise ConfigError(
            f"RunUntil(decider)={given!r} must be a function that returns a probability, or have decide()"
        )
    return decide


def _count(name: str, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigError(f"RunUntil({name})={given!r}; it must be a whole number, 1 or more")
    return given


def _is_amount(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < float("inf")
