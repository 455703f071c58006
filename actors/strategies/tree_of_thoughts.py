"""Tree of Thoughts: think on in several ways, score them, go on from the best; a beam search, level by level.

Source: Yao et al., "Tree of Thoughts: Deliberate Problem Solving with Large Language Models", 2023 (arXiv:2305.10601).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from msgspec import Struct

from ..children import Asked
from ..decider import Decider, Score, score_of
from ..raised import ask_code
from ..steps import Steps
from .aside import AskedModel, answer_to, aside, check_model, numbered
from .checks import check_count, check_share
from .members import GaveUp
from .replies import items_in, score_in

PROPOSER = """\
For this message you do not answer yet: you think ahead. Propose {branch_factor} different next thoughts on the way to \
an answer, each one idea in a sentence or two that goes on from the thoughts so far. Reply with a numbered list of \
{branch_factor} items and nothing else."""

EVALUATOR = """\
For this message you judge a line of thought, and do not go on with it. Judge how likely it leads to a right and \
complete answer. The first line of your reply is "score: " and a number from 0 (leads nowhere) to 1 (is the answer)."""

SYNTHESIZER = """\
You have thought about this before you answer. Answer the user from your thoughts, and do not mention them."""


class Thought(Struct, frozen=True):
    """A node of the tree.

    Attributes:
        id: Its place: `2.1` is the first thought that goes on from the second.
        path: The thoughts from the root to this one.
        score: None when the evaluator gave none.
    """

    id: str = ""
    path: tuple[str, ...] = ()
    score: float | None = None


_DECIDER = "evaluator_decider of TreeOfThoughts"

ThoughtDecider: TypeAlias = Callable[[str, Sequence[str]], float | Awaitable[float]]
"""Scores the last of these thoughts about a prompt, from 0 to 1."""


class TreeOfThoughts:
    """A beam search over thoughts.

    A model call for each node that is gone on from, which proposes all its thoughts; one for each thought, which scores
    it; one that answers from the best thought of the deepest level: 21 at most, unless told otherwise. No tools.

    When no thought was ever scored, nothing was searched: the run is interrupted then (`tot:no_score: …`), with the
    answer for an output. Where a later level has no score, or the first no thought that is good enough, the run is
    `degraded`, with the same word or `tot:no_thought: …` for a reason.

    Args:
        branch_factor: Thoughts that go on from one.
        max_depth: Levels.
        beam_width: Thoughts of a level that are gone on from.
        solved_threshold: The search ends at a thought that has this score.
        min_score: A thought below it is not gone on from.
        parallel: Whether the calls of a level go on beside one another.
        proposer_prompt: `{branch_factor}` in it is replaced.
        evaluator_decider: Scores thoughts in the place of the evaluator's model, without a call: a `Decider`, or a
            function of the prompt and the thoughts from the root on. Its scores are recorded.
        synthesize_final: Whether a closing call answers; else the best thought is the answer.
    """

    name = "tree-of-thoughts"
    calls_tools = False

    def __init__(
        self,
        branch_factor: int = 3,
        max_depth: int = 3,
        beam_width: int = 2,
        solved_threshold: float = 1.0,
        min_score: float = 0.0,
        parallel: bool = True,
        *,
        proposer_prompt: str = PROPOSER,
        evaluator_prompt: str = EVALUATOR,
        synthesize_final: bool = True,
        synthesizer_prompt: str = SYNTHESIZER,
        proposer_model: AskedModel = None,
        evaluator_model: AskedModel = None,
        synthesizer_model: AskedModel = None,
        evaluator_decider: Decider | ThoughtDecider | None = None,
    ) -> None:
        self._branch_factor = check_count("TreeOfThoughts(branch_factor)", branch_factor)
        self._max_depth = check_count("TreeOfThoughts(max_depth)", max_depth)
        self._beam_width = check_count("TreeOfThoughts(beam_width)", beam_width)
        self._solved_threshold = check_share("TreeOfThoughts(solved_threshold)", solved_threshold)
        self._min_score = check_share("TreeOfThoughts(min_score)", min_score)
        self._limit = None if parallel else 1
        self._proposer_prompt = proposer_prompt.replace("{branch_factor}", str(branch_factor))
        self._evaluator_prompt = evaluator_prompt
        self._synthesize_final = synthesize_final
        self._synthesizer_prompt = synthesizer_prompt
        self._proposer_model = check_model("TreeOfThoughts(proposer_model)", proposer_model)
        self._evaluator_model = check_model("TreeOfThoughts(evaluator_model)", evaluator_model)
        self._synthesizer_model = check_model("TreeOfThoughts(synthesizer_model)", synthesizer_model)
        self._decider = evaluator_decider

    def __repr__(self) -> str:
        return (
            f"TreeOfThoughts(branch_factor={self._branch_factor}, max_depth={self._max_depth}, "
            f"beam_width={self._beam_width})"
        )

    def declared_workers(self) -> Mapping[str, Asked]:
        return {}

    async def run(self, steps: Steps) -> str:
        best, depth, reason = await self._search(steps)
        answer = await self._answer(steps, best)
        unscored = bool(best.path) and best.score is None
        if unscored and depth == 1:
            raise GaveUp("tot:no_score", reason, answer)
        if unscored or not best.path:
            steps.shortfall = f"tot:{'no_score' if unscored else 'no_thought'}: {reason}, in level {depth}"
        return answer

    async def _answer(self, steps: Steps, best: Thought) -> str:
        if best.path and not self._synthesize_final:
            return best.path[-1]
        return await answer_to(
            steps, self._synthesizer_prompt, numbered(best.path), "Now answer.", model=self._synthesizer_model
        )

    async def _search(self, steps: Steps) -> tuple[Thought, int, str]:
        """The best thought of the deepest level, how deep that is, and why the search ended there.

        The thought is the root when there is none that is good enough.
        """
        beam, depth, reason = [Thought()], 0, ""
        while not reason:
            depth += 1
            grown = await steps.together([partial(self._grow, thought) for thought in beam], limit=self._limit)
            level = [thought for branch in grown for thought in branch]
            kept, reason = self._kept(level)
            if not reason and depth == self._max_depth:
                reason = "max_depth"
            scores = {thought.id: thought.score for thought in level}
            told: dict[str, object] = {
                "depth": depth,
                "scores": scores,
                "kept": [thought.id for thought in kept],
                "reason": reason,
            }
            await steps.value("tot.level", partial(dict[str, object], told))
            beam = kept or beam
        return beam[0], depth, reason

    def _kept(self, level: list[Thought]) -> tuple[list[Thought], str]:
        """The beam of a level, and why the search ends there, if it does."""
        if not level:
            return [], "the proposer gave no thoughts"
        scored = [(thought.score, thought) for thought in level if thought.score is not None]
        if not scored:
            return level[:1], "the evaluator gave no score"  # which of them is best, nobody knows
        ranked = sorted(scored, key=lambda each: -each[0])  # stable: of equals the first that was proposed
        beam = [thought for score, thought in ranked if score >= self._min_score][: self._beam_width]
        if not beam:
            return [], "no thought has min_score"
        return beam, "solved" if ranked[0][0] >= self._solved_threshold else ""

    async def _grow(self, thought: Thought, part: Steps) -> list[Thought]:
        """The thoughts that go on from one, scored."""
        so_far = (f"Thoughts so far:\n{numbered(thought.path)}", "Propose the next ones.") if thought.path else ()
        proposed = await aside(part, self._proposer_prompt, *so_far, model=self._proposer_model)
        paths = [(*thought.path, each) for each in items_in(proposed)[: self._branch_factor]]
        scores = await part.together([partial(self._score, path) for path in paths], limit=self._limit)
        prefix = f"{thought.id}." if thought.id else ""
        return [
            Thought(f"{prefix}{number}", path, score)
            for number, (path, score) in enumerate(zip(paths, scores, strict=True), 1)
        ]

    async def _score(self, path: Sequence[str], part: Steps) -> float | None:
        if self._decider is not None:
            decided: float = await part.value("tot.scored", partial(_decided, self._decider, part.prompt, path))
            return decided
        said = await aside(
            part, self._evaluator_prompt, numbered(path), "Score this line of thought.", model=self._evaluator_model
        )
        return score_in(said)


async def _decided(decider: "Decider | ThoughtDecider", prompt: str, path: Sequence[str]) -> float:
    if not isinstance(decider, Decider):
        return score_of(await ask_code(_DECIDER, decider, prompt, path))
    question = "How likely does this line of thought lead to a right and complete answer?"
    decided = await ask_code(_DECIDER, decider.decide, Score(question, f"{prompt}\n\n{numbered(path)}"))
    return score_of(getattr(decided, "answer", decided))
