"""Reflexion: try, have the attempt scored, put into words what went wrong, try again with that in mind.

Source: Shinn et al., "Reflexion: Language Agents with Verbal Reinforcement Learning", 2023 (arXiv:2303.11366).
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from ...events.errors import CorruptEvent
from ..model_charges import Interrupted
from ..raised import CodeFailed
from ..steps import Steps
from ..vectors import VectorStore
from .architecture import Around, GivenArchitecture, answer_by
from .aside import AskedModel, aside, check_model
from .checks import check_count, check_share
from .lessons import LessonStore, add_to_block, found_in, keep_in, lesson_store_of, said_of_store
from .members import GaveUp
from .replies import score_in

EVALUATOR = """\
For this message you are a judge of the answer, not its author. Judge how well it does what the user asked: whether it \
is correct, complete and to the point. The first line of your reply is "score: " and a number from 0 (useless) to 1 \
(nothing to improve). Then say in a few words what cost it points."""

REFLECTOR = """\
For this message you look back on an attempt that was not good enough. Say in one sentence what to do differently next \
time: a rule that helps with this kind of task, not the answer itself. Reply with that sentence alone."""

_SHOWN = 500
"""How many characters of a tool's result the reflector is shown."""


class Attempt(Struct, frozen=True):
    """What came of one attempt.

    Attributes:
        answer: None when it came to none.
        score: None when the evaluator gave none.
        verdict: The evaluator's words.
        reason: Why the score is as it is, where that does not follow from the verdict.
        shortfall: Why the answer is less than was meant.
        ended_by: What ended it without an answer.
    """

    answer: str | None
    score: float | None
    verdict: str
    reason: str = ""
    shortfall: str = ""
    ended_by: Interrupted | None = None


class Reflexion(Around):
    """Attempts of any architecture, each wiser than the one before. The best of them is the answer.

    An attempt that runs out of turns, or that `base` gives up (`actor_critic:no_score`), has come to no answer and is
    scored 0. When all of them have, the run is interrupted with the reason of the last. When the evaluator never gave a
    score, nothing was judged: the run is interrupted as `reflexion:no_score`, with the last attempt for an output.

    Each attempt takes the model calls of `base` and one of the evaluator; each that failed one of the reflector, the
    last of them only where its lesson is kept for later runs.

    Args:
        base: What makes the attempts.
        threshold: The score that is good enough.
        lessons_block_name: The working block where lessons stay, for an agent with memory and without `lesson_store`.
        lesson_store: Where lessons stay, and are looked for before the first attempt; a vector store will do. One that
            fails costs its lessons, and no answer: the run goes on without them and is `degraded`
            (`reflexion:not_recalled: …`, `reflexion:not_kept: …`).
        top_k_lessons: How many are recalled from there.
        max_lessons: How many an attempt is told, and the block keeps: the newest.
    """

    name = "reflexion"

    def __init__(
        self,
        base: GivenArchitecture = "react",
        max_attempts: int = 3,
        threshold: float = 0.8,
        *,
        evaluator_prompt: str = EVALUATOR,
        reflector_prompt: str = REFLECTOR,
        lessons_block_name: str = "reflexion_lessons",
        lesson_store: LessonStore | VectorStore | None = None,
        top_k_lessons: int = 5,
        evaluator_model: AskedModel = None,
        reflector_model: AskedModel = None,
        max_lessons: int = 10,
    ) -> None:
        super().__init__(base)
        self._max_attempts = check_count("Reflexion(max_attempts)", max_attempts)
        self._threshold = check_share("Reflexion(threshold)", threshold)
        self._evaluator_prompt = evaluator_prompt
        self._reflector_prompt = reflector_prompt
        self._block = lessons_block_name
        self._store = lesson_store_of(lesson_store)
        self._top_k = check_count("Reflexion(top_k_lessons)", top_k_lessons)
        self._evaluator_model = check_model("Reflexion(evaluator_model)", evaluator_model)
        self._reflector_model = check_model("Reflexion(reflector_model)", reflector_model)
        self._max_lessons = check_count("Reflexion(max_lessons)", max_lessons)

    def __repr__(self) -> str:
        return f"Reflexion({self._base.name}, max_attempts={self._max_attempts}, threshold={self._threshold:g})"

    async def run(self, steps: Steps) -> str:
        lessons, lost = await self._recalled(steps)
        best: Attempt | None = None
        for number in range(1, self._max_attempts + 1):
            part = steps.part(note=_told(lessons[-self._max_lessons :]))
            attempt = await self._attempt(steps, part, number)
            if best is None or _rank(attempt) >= _rank(best):
                best = attempt
            if attempt.score is not None and attempt.score >= self._threshold:
                break
            if number < self._max_attempts or self._keeps(steps):
                lesson, why = await self._lesson(steps, part, attempt)
                lessons.append(lesson)
                lost = lost or why
        assert best is not None  # there is one attempt at least
        if best.ended_by is not None:
            none = f"none of {self._max_attempts} attempts came to an answer: {best.ended_by}"
            raise Interrupted(best.ended_by.reason, none, best.ended_by.output)
        answer = best.answer or ""
        if best.score is None:
            last = f"in {self._max_attempts} attempts the evaluator gave no score; last: {best.verdict[:200]!r}"
            raise GaveUp(f"{self.name}:no_score", last, answer)
        steps.shortfall = "; ".join(filter(None, (best.shortfall, lost)))
        return answer

    async def _attempt(self, steps: Steps, part: Steps, number: int) -> Attempt:
        try:
            answer = await answer_by(self._base, part)
        except Interrupted as exc:
            # A budget that is used up is so for the next attempt too, and what was cut off is an answer, of a sort.
            if exc.reason.startswith(("budget:", "max_tokens")):
                raise
            why = "it ran out of turns" if exc.reason == "max_turns" else exc.reason
            attempt = Attempt(None, 0.0, f"It came to no answer: {exc}.", why, ended_by=exc)
        else:
            verdict = await aside(
                steps, self._evaluator_prompt, answer, "Score this answer.", model=self._evaluator_model
            )
            score = score_in(verdict)
            why = "" if score is not None else "the evaluator gave no score"
            attempt = Attempt(answer, score, verdict, why, part.shortfall)
        scored = {"attempt": number, "score": attempt.score, "threshold": self._threshold, "reason": attempt.reason}
        await steps.value("reflexion.scored", lambda: scored)
        return attempt

    # --- lessons ---

    async def _recalled(self, steps: Steps) -> tuple[list[str], str]:
        """What earlier runs learned, oldest or least fitting first, and why nothing could be looked for.

        A block is in the prompt as it is.
        """
        store = self._store
        if store is None:
            return [], ""

        async def search() -> list[str] | dict[str, str]:
            try:
                return await found_in(store, steps.user_id, steps.prompt, self._top_k)
            except CodeFailed as exc:
                return {"reason": said_of_store(steps.run_id, exc)}

        found: list[str] | dict[str, str] = await steps.value("reflexion.recalled", search)
        if isinstance(found, dict):
            return [], f"reflexion:not_recalled: {found['reason']}"
        return found[::-1], ""

    def _keeps(self, steps: Steps) -> bool:
        return self._store is not None or steps.memory is not None

    async def _lesson(self, steps: Steps, part: Steps, attempt: Attempt) -> tuple[str, str]:
        """The lesson, and why the store does not have it."""
        looked_back = f"{_happened(part)}The verdict on it:\n{attempt.verdict}\n\nWhat is the lesson?"
        said = await aside(
            steps, self._reflector_prompt, attempt.answer or "", looked_back, model=self._reflector_model
        )
        lesson = said.strip()

        async def learn() -> dict[str, str]:
            if not lesson:
                return {"lesson": "", "kept": "", "reason": "the reflector said nothing"}
            try:
                return {"lesson": lesson, "kept": await self._keep(lesson, steps), "reason": ""}
            except CorruptEvent as exc:  # as everywhere: runs go on without the user's memory, and say so
                return {"lesson": lesson, "kept": "run", "reason": str(exc)}
            except CodeFailed as exc:
                return {"lesson": lesson, "kept": "run", "reason": said_of_store(steps.run_id, exc)}

        learned: dict[str, str] = await steps.value("reflexion.learned", learn)
        lost = self._store is not None and learned["kept"] == "run"
        return learned["lesson"], f"reflexion:not_kept: {learned['reason']}" if lost else ""

    async def _keep(self, lesson: str, steps: Steps) -> str:
        """Where the lesson is kept now: in the store, in the user's memory, or in this run alone."""
        memory = steps.memory
        if self._store is not None:
            await keep_in(self._store, steps.user_id, lesson)
            return "store"
        if memory is not None:
            await add_to_block(memory, steps.user_id, self._block, lesson, self._max_lessons)
            return "memory"
        return "run"


def _rank(attempt: Attempt) -> tuple[bool, float]:
    """Any answer before none; then by the score, those without one last."""
    return attempt.answer is not None, -1.0 if attempt.score is None else attempt.score


def _told(lessons: Sequence[str]) -> str:
    learned = [lesson for lesson in lessons if lesson]
    return "Lessons from earlier attempts; heed them:\n" + "\n".join(f"- {each}" for each in learned) if learned else ""


def _happened(part: Steps) -> str:
    """The tool calls that led to an attempt's answer, where the attempt was one conversation."""
    if part.last is None:
        return ""
    calls = {call.id: call for message in part.last.messages for call in message.tool_calls}
    lines = [
        f"- {call.tool}({_args(call.args)}): {message.content[:_SHOWN]}"
        for message in part.last.messages
        if message.role == "tool" and (call := calls.get(message.tool_call_id or "")) is not None
    ]
    return "Tools that were called:\n" + "\n".join(lines) + "\n\n" if lines else ""


def _args(args: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in args.items())
