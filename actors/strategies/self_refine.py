"""Self-Refine: answer, have the answer criticised, improve it, until the critic has nothing left to say.

Source: Madaan et al., "Self-Refine: Iterative Refinement with Self-Feedback", 2023 (arXiv:2303.17651).
"""

from ..steps import Steps
from .architecture import Around, GivenArchitecture, answer_by
from .aside import AskedModel, answer_to, aside, check_model
from .checks import check_count

CRITIC = """\
For this message you are a reviewer of the answer, not its author. List what is wrong with it or missing from it, one \
point a line beginning with "-", each so precise that the author knows what to change. Do not rewrite the answer. \
If there is nothing to change, reply with these words alone: {stop_phrase}"""

REFINER = """\
Your answer is being reviewed. Write it anew, whole, with every point of the latest review dealt with and what was \
good about it kept. Reply with the answer alone: do not mention the review."""


class SelfRefine(Around):
    """One model as author and as critic.

    A model call for the first answer (those of `base`), then two a round: the critic's, and the author's again. The
    last round's answer is not criticised any more.

    Args:
        base: What answers first; it may call tools, which critic and author do not.
        max_rounds: Reviews at most.
        critic_prompt: `{stop_phrase}` in it is replaced.
        stop_phrase: The critic has no more to say when that is its reply, or the first line of it.
    """

    name = "self-refine"

    def __init__(
        self,
        base: GivenArchitecture = "react",
        max_rounds: int = 3,
        *,
        critic_prompt: str = CRITIC,
        refiner_prompt: str = REFINER,
        stop_phrase: str = "no issues",
        critic_model: AskedModel = None,
        refiner_model: AskedModel = None,
    ) -> None:
        super().__init__(base)
        self._max_rounds = check_count("SelfRefine(max_rounds)", max_rounds)
        self._critic_prompt = critic_prompt.replace("{stop_phrase}", stop_phrase)
        self._refiner_prompt = refiner_prompt
        self._stop_phrase = stop_phrase
        self._critic_model = check_model("SelfRefine(critic_model)", critic_model)
        self._refiner_model = check_model("SelfRefine(refiner_model)", refiner_model)

    def __repr__(self) -> str:
        return f"SelfRefine({self._base.name}, max_rounds={self._max_rounds})"

    async def run(self, steps: Steps) -> str:
        part = steps.part()
        answer = await answer_by(self._base, part)
        steps.shortfall = part.shortfall
        history: list[str] = []  # answers and their reviews, in turn
        reason, rounds = "max_rounds", 0
        while rounds < self._max_rounds:
            rounds += 1
            review = await aside(steps, self._critic_prompt, answer, "Review this answer.", model=self._critic_model)
            if not review.strip():
                reason = "the critic said nothing"
                break
            if self._is_happy(review):
                reason = "accepted"
                break
            history += [answer, review]
            refined = await answer_to(steps, self._refiner_prompt, *history, model=self._refiner_model)
            if not refined.strip():
                reason = "the refiner said nothing"
                break
            answer = refined
        await steps.value("self_refine.ended", lambda: {"rounds": rounds, "reason": reason})
        return answer

    def _is_happy(self, review: str) -> bool:
        first = review.strip().splitlines()[0]
        return first.strip(" \t-*_.!\"'`").casefold() == self._stop_phrase.strip().casefold()
