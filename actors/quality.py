"""Quality gates: an evaluator judges an answer by criteria, and its verdict decides what comes of the run.

The model is told the criteria before it begins, as a part of its instructions; and what the evaluator found, when that
is to be mended. An answer that did not pass is never one of a completed run.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Unpack, get_args

from msgspec import Struct

from ..events.errors import ConfigError, TreadleError
from ..events.message import Message
from .gate import Degraded, NotPassed, Pass
from .model import Model
from .stop_hooks import StopContext, context_of
from .strategies.replies import score_in
from .tool import say
from .verdict import evidence_of, first_word

if TYPE_CHECKING:
    from .steps import Steps

OnFail: TypeAlias = Literal["retry", "fail", "report", "continue"]

EVALUATOR = """\
You judge an answer by criteria. You did not write it, and you do not improve it. The first line of your reply is PASS \
when it meets all of them, and FAIL when it does not, or when you cannot see that it does. Then name what has to \
change, one point a line, each so precise that its author knows what to do."""

GOOD = "It does what was asked for: completely, correctly, and to the point."
"""The criterion of those who name none."""

SCORER = """\
You score an answer by criteria. You did not write it, and you do not improve it. The first line of your reply is \
"score: " and a number from 0 (meets none of them) to 1 (meets all of them). Then name what has to change, one point a \
line, each so precise that its author knows what to do."""


class QualityFailed(TreadleError):
    """An answer did not pass its quality gate, or nobody could tell whether it does."""


class QualityResult(Struct, frozen=True):
    """What an evaluator found.

    Attributes:
        critique: What has to change.
        score: From 0 to 1; None where it gave none.
    """

    passed: bool
    critique: str = ""
    score: float | None = None


SaidByEvaluator: TypeAlias = QualityResult | bool | float
Evaluator: TypeAlias = Callable[[StopContext], SaidByEvaluator | Awaitable[SaidByEvaluator]]


class HowToJudge(TypedDict, total=False):
    """The arguments of `QualityGate` beside its criteria."""

    evaluator: "Model | str | Evaluator | None"
    threshold: float | None
    on_fail: OnFail
    max_retries: int
    evaluator_prompt: str | None


class QualityGate:
    """Judges the answers of an agent.

    Args:
        criteria: What an answer has to meet.
        evaluator: Who judges: a model or its name; or a function of a `StopContext`, sync or async, that returns
            whether the answer passes, a score, or a `QualityResult`. Default: the agent's own model.
        threshold: The score that is good enough; without it an evaluator says PASS or FAIL.
        on_fail: `retry`: the model is told the critique and answers again; after `max_retries` the run is interrupted
            as `quality:failed`. `report`: it is so at once. `fail`: the run fails. `continue`: the answer goes out, and
            the run is `degraded`, with the critique as the reason.
        evaluator_prompt: What a model is told that judges.
    """

    prefix = ""

    def __init__(
        self,
        criteria: Sequence[str] = (),
        *,
        evaluator: "Model | str | Evaluator | None" = None,
        threshold: float | None = None,
        on_fail: OnFail = "retry",
        max_retries: int = 3,
        evaluator_prompt: str | None = None,
    ) -> None:
        self.wanted = _criteria(criteria)
        if not self.wanted and not _is_function(evaluator):
            raise ConfigError("a QualityGate needs criteria, or a function as its evaluator")
        if evaluator is not None and not isinstance(evaluator, str | Model) and not callable(evaluator):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"QualityGate(evaluator)={evaluator!r} must be a model, the name of one, or a function")
        if threshold is not None and not _is_score(threshold):
            raise ConfigError(f"QualityGate(threshold)={threshold!r} is no score; scores go from 0 to 1")
        if on_fail not in get_args(OnFail):
            raise ConfigError(f"QualityGate(on_fail)={on_fail!r}; there are: {', '.join(get_args(OnFail))}")
        if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"QualityGate(max_retries)={max_retries!r}; it must be a whole number, 0 or more")
        self.judged_by = evaluator
        self.threshold = threshold
        self.on_fail: OnFail = on_fail
        self.max_retries = max_retries
        self.evaluator_prompt = evaluator_prompt or (EVALUATOR if threshold is None else SCORER)

    def __repr__(self) -> str:
        return f"QualityGate({len(self.wanted)} criteria, on_fail={self.on_fail!r})"

    @classmethod
    def criteria(cls, criteria: Sequence[str], **how: Unpack[HowToJudge]) -> "QualityGate":
        """A gate with these criteria."""
        return cls(criteria, **how)

    @classmethod
    def pass_fail(cls, **how: Unpack[HowToJudge]) -> "QualityGate":
        """A gate without criteria of its own: the answer has to do what was asked for."""
        return cls([GOOD], **how)

    @property
    def told(self) -> str:
        """The criteria as the model is told them before it begins; empty when there are none."""
        if not self.wanted:
            return ""
        return "Your answer will be judged by these criteria:\n" + _listed(self.wanted)

    def judge(self) -> "_Judge":
        return _Judge(self)


class _Judge:
    def __init__(self, gate: QualityGate) -> None:
        self._gate = gate
        self._retries = 0

    async def objection(self, passed: Pass, steps: "Steps") -> str | Degraded | None:
        gate = self._gate
        found = await self._evaluated(passed, steps)
        told = {"passed": found.passed, "score": found.score, "critique": found.critique, "retries": self._retries}
        # As it is recorded: however replies are read one day, a run goes on by what it was told then.
        checked: dict[str, Any] = await steps.value("quality.checked", lambda: told)
        if checked["passed"]:
            return None
        critique = checked["critique"] or "the evaluator did not say what has to change"
        why = f"the answer did not pass the quality gate: {critique}"
        if gate.on_fail == "continue":
            return Degraded(why)
        if gate.on_fail == "fail":
            raise QualityFailed(why)
        if gate.on_fail == "report" or self._retries == gate.max_retries:
            raise NotPassed("quality:failed", f"after {self._retries} retries {why}")
        self._retries += 1
        return f"Your answer did not pass:\n{critique}\n\nMend that, and give the whole answer anew."

    async def _evaluated(self, passed: Pass, steps: "Steps") -> QualityResult:
        gate = self._gate
        if not _is_function(gate.judged_by):
            return self._read(await self._asked(passed, steps))
        said: Any = await steps.value("quality.said", partial(self._call, passed, steps))
        return QualityResult(**said)

    async def _asked(self, passed: Pass, steps: "Steps") -> str:
        gate = self._gate
        assert not _is_function(gate.judged_by)
        question = f"The criteria:\n{_listed(gate.wanted)}\n\n{evidence_of(passed, steps)}\n\nDoes it meet them?"
        messages = [Message("system", gate.evaluator_prompt), Message("user", question)]
        evaluator: Any = gate.judged_by
        return (await steps.model(messages, tools=False, whole=False, model=evaluator)).text

    def _read(self, text: str) -> QualityResult:
        threshold = self._gate.threshold
        if threshold is not None:
            score = score_in(text)
            critique = text.strip().partition("\n")[2].strip() if score is not None else "the evaluator gave no score"
            return QualityResult(score is not None and score >= threshold, critique, score)
        word, rest = first_word(text, "PASS", "FAIL")
        if not word:
            return QualityResult(False, f"the evaluator said neither PASS nor FAIL, but {rest}")
        return QualityResult(word == "PASS", rest)

    async def _call(self, passed: Pass, steps: "Steps") -> dict[str, Any]:
        evaluator: Any = self._gate.judged_by
        await steps.stored()
        try:
            said: Any = await steps.asked(evaluator, context_of(passed, steps, self._retries))
        except Exception as exc:
            raise QualityFailed(f"the evaluator of the quality gate raised {say(exc)}") from exc
        if isinstance(said, QualityResult):
            return {"passed": said.passed, "critique": said.critique, "score": said.score}
        threshold = self._gate.threshold
        if threshold is not None and _is_score(said):
            return {"passed": said >= threshold, "critique": f"its score is {said:g}, of {threshold:g}", "score": said}
        if isinstance(said, bool):
            return {"passed": said, "critique": "", "score": None}
        raise QualityFailed(
            f"the evaluator of the quality gate returned {said!r}; it returns True or False, a score from 0 to 1 where "
            "there is a threshold, or a QualityResult"
        )


def _is_function(evaluator: Any) -> bool:
    return callable(evaluator) and not isinstance(evaluator, Model)


def _is_score(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 1


def _criteria(given: Any) -> tuple[str, ...]:
    criteria: list[Any] = [given] if isinstance(given, str) else [*given]
    if any(not isinstance(each, str) or not each.strip() for each in criteria):
        raise ConfigError(f"QualityGate(criteria)={given!r} must be texts that say something")
    return tuple(criteria)


def _listed(criteria: Sequence[str]) -> str:
    return "\n".join(f"- {each}" for each in criteria)
