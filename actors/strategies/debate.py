"""Debate: several agents answer, read each other, and answer again, until they agree or the rounds are over.

One call a debater for the opening and for each round; one for the judge, if there is one and they do not agree.

Source: Du et al., "Improving Factuality and Reasoning in Language Models through Multiagent Debate", 2023
(arXiv:2305.14325); the judge: Liang et al., "Encouraging Divergent Thinking in Large Language Models through
Multi-Agent Debate", 2023 (arXiv:2305.19118).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ...events.child_step import ChildEnded
from ...events.errors import ConfigError
from ..children import Asked
from ..steps import Steps
from .agreement import final_answer_in, supporters
from .checks import check_count, check_share
from .members import (
    ANSWERS,
    SPEAKS,
    GaveUp,
    MemberFailed,
    answer_of,
    ask,
    check_agent,
    check_budgets,
    question_of,
    said_of,
)

DEBATER_INSTRUCTIONS = """\
You debate this with others. Give your reasons, then end with one line that has nothing but your answer:
Final answer: …"""

JUDGE_INSTRUCTIONS = """\
The above was debated, and these are the positions at the end. Weigh their reasons, not how many hold what, and reply
with the answer to the question, as if it had been put to you alone."""


class Position(NamedTuple):
    """What a debater holds."""

    debater: str
    reply: str


class MultiAgentDebate:
    """Answer beside one another, in rounds.

    A debater that fails sits out the rest. When all of those that are left fail in a round, the run fails with their
    reasons (`debate:all_failed`). When the judge fails, the run is interrupted with its error, and its output is what
    most debaters hold.

    Args:
        debaters: Two or more; they are called `debater_1` and on.
        judge: Has the last word when they do not agree; without one the position that most of them hold is the answer,
            the first of them when several are held by as many.
        rounds: How often they answer after they have read each other.
        convergence_check: Whether agreement ends the debate before that. They agree when the answers that their replies
            end with (`Final answer: …` or `\\boxed{…}`) are the same, or where one has none, when the words of any two
            replies have a Jaccard index of `convergence_similarity` or more.
        debater_instructions, judge_instructions: What they are told beside the question.
    """

    name = "debate"
    calls_tools = False

    def __init__(
        self,
        debaters: Sequence[Asked],
        judge: "Asked | None" = None,
        rounds: int = 2,
        convergence_check: bool = True,
        convergence_similarity: float = 0.85,
        debater_instructions: str | None = None,
        judge_instructions: str | None = None,
    ) -> None:
        if isinstance(debaters, str) or len(debaters) < 2:
            raise ConfigError("MultiAgentDebate(debaters=) wants two agents or more; one has nobody to debate with")
        self._debaters = {f"debater_{number}": agent for number, agent in enumerate(debaters, 1)}
        for role, agent in self._debaters.items():
            check_agent(role, agent)
        if judge is not None:
            check_agent("MultiAgentDebate(judge=)", judge)
        check_count("rounds", rounds, least=0)
        check_share("convergence_similarity", convergence_similarity)
        self._judge = judge
        self._rounds = rounds
        self._converges = convergence_check
        self._similarity = convergence_similarity
        self._debater_instructions = debater_instructions or DEBATER_INSTRUCTIONS
        self._judge_instructions = judge_instructions or JUDGE_INSTRUCTIONS

    def __repr__(self) -> str:
        judge = "" if self._judge is None else ", with a judge"
        return f"MultiAgentDebate({len(self._debaters)} debaters, rounds={self._rounds}{judge})"

    def declared_workers(self) -> Mapping[str, Asked]:
        return {**self._debaters, **({} if self._judge is None else {"judge": self._judge})}

    async def run(self, steps: Steps) -> str:
        question = question_of(steps)
        positions: list[Position] = []
        for number in range(self._rounds + 1):
            positions = await self._round(steps, number, question, positions)
            if len(positions) == 1:  # nobody is left to debate with
                break
            if self._converges and min(self._supporters(positions)) == len(positions):
                return await self._decided(steps, "convergence", positions)
        if self._judge is None:
            return await self._decided(steps, "vote", positions)
        ended = await ask(steps, self._judge, self._to_judge(question, positions), "judge", ANSWERS)
        most_held, _ = self._most_held(positions)
        answer = answer_of(steps, ended, self.name, "judge", instead=most_held.reply)
        await steps.value("debate.decided", lambda: {"by": "judge"})
        return answer

    async def _round(self, steps: Steps, number: int, question: str, before: Sequence[Position]) -> list[Position]:
        """What those hold that are still there and do not fail."""
        going = [position.debater for position in before] or list(self._debaters)
        ended = await steps.together(
            [partial(self._ask, role=role, prompt=self._to_debater(role, question, before)) for role in going]
        )
        held = [Position(role, end.output) for role, end in zip(going, ended, strict=True) if end.answered]
        out = {role: said_of(end, role) for role, end in zip(going, ended, strict=True) if not end.answered}
        answers = {role: final_answer_in(reply) for role, reply in held}
        await steps.value("debate.round", lambda: {"round": number, "answers": answers, "out": out})
        there_is = held or before
        instead = self._most_held(there_is)[0].reply if there_is else ""
        check_budgets(steps, ended, instead)
        if not held:
            why = f"in round {number} {'; '.join(out.values())}"
            if all(end.state == "interrupted" for end in ended):
                raise GaveUp("debate:all_interrupted", why, instead)
            raise MemberFailed(f"debate:all_failed: {why}")
        return held

    async def _ask(self, steps: Steps, role: str, prompt: str) -> ChildEnded:
        return await ask(steps, self._debaters[role], prompt, role, SPEAKS)

    def _to_debater(self, role: str, question: str, before: Sequence[Position]) -> str:
        parts = [question]
        parts += [f"You have said:\n{reply}" for debater, reply in before if debater == role]
        parts += [f"{debater} has said:\n{reply}" for debater, reply in before if debater != role]
        if before:
            parts.append("Take up what is right in that, say what is wrong in it, and answer again.")
        return "\n\n".join([*parts, self._debater_instructions])

    def _to_judge(self, question: str, positions: Sequence[Position]) -> str:
        held = [f"{debater}:\n{reply}" for debater, reply in positions]
        return "\n\n".join([question, *held, self._judge_instructions])

    def _supporters(self, positions: Sequence[Position]) -> list[int]:
        return supporters([position.reply for position in positions], self._similarity)

    def _most_held(self, positions: Sequence[Position]) -> tuple[Position, int]:
        counts = self._supporters(positions)
        return positions[counts.index(max(counts))], max(counts)

    async def _decided(self, steps: Steps, by: str, positions: Sequence[Position]) -> str:
        position, votes = self._most_held(positions)
        told: dict[str, Any] = {"by": by, "position_of": position.debater, "votes": votes, "of": len(positions)}
        await steps.value("debate.decided", lambda: told)
        return position.reply
