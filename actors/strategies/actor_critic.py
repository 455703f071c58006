"""Actor-Critic: one agent writes, another one says what is wrong with it, until it is good enough.

The two want different models, so that they do not overlook the same things. At most `max_rounds` times two calls.

Source: Konda and Tsitsiklis, "Actor-Critic Algorithms", NIPS 1999, for the two roles; Madaan et al., "Self-Refine:
Iterative Refinement with Self-Feedback", 2023 (arXiv:2303.17651), for doing it in words.
"""

from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct, to_builtins

from ..children import Asked
from ..steps import Steps
from .checks import check_count, check_share
from .members import ANSWERS, GaveUp, answer_of, ask, check_agent, question_of
from .replies import object_in, score_in
from .templates import check_template, filled

CRITIQUE_TEMPLATE = """\
Judge an answer. Do not write a better one.

The task:
{prompt}

The answer:
{draft}

Reply with one JSON object and nothing else: "score" is how good the answer is, from 0 to 1; "issues" has one sentence
for each thing that has to change, and is empty when nothing has to; "summary" is one sentence.
{"score": 0.0, "issues": ["…"], "summary": "…"}"""

REFINE_TEMPLATE = """\
{prompt}

You have answered this before:
{draft}

A critic gives that {score} of 1. {summary}
What has to change:
{issues}

Reply with the whole answer, improved, and without a word about the critic."""


class Critique(Struct, frozen=True):
    """What the critic says of a draft; no score when it gave none that can be read."""

    score: float | None
    issues: tuple[str, ...] = ()
    summary: str = ""


class ActorCritic:
    """Write, be criticised, write again.

    A critic whose score has reached the threshold ends it, and so does the last round: the answer is the last draft
    then. A critic that never gave a score has judged nothing, and the run is interrupted as `actor_critic:no_score`,
    with the last draft for an output. When the actor or the critic fails, the run is interrupted with its error and the
    last draft (`actor_critic:critic_failed`); without a draft it fails.

    Args:
        max_rounds: How many drafts are written and criticised.
        approval_threshold: The score from which on a draft is the answer.
        critique_template: What the critic is asked, with places for `{prompt}` and `{draft}`.
        refine_template: What the actor is asked from the second round on, with places for `{draft}` and `{issues}`, and
            if wanted `{prompt}`, `{score}`, `{summary}`.
    """

    name = "actor_critic"
    calls_tools = False

    def __init__(
        self,
        actor: Asked,
        critic: Asked,
        max_rounds: int = 3,
        approval_threshold: float = 0.9,
        critique_template: str | None = None,
        refine_template: str | None = None,
    ) -> None:
        check_agent("ActorCritic(actor=)", actor)
        check_agent("ActorCritic(critic=)", critic)
        check_count("max_rounds", max_rounds)
        check_share("approval_threshold", approval_threshold)
        self._actor = actor
        self._critic = critic
        self._max_rounds = max_rounds
        self._threshold = approval_threshold
        self._critique = check_template("critique_template", critique_template or CRITIQUE_TEMPLATE, ["draft"])
        self._refine = check_template("refine_template", refine_template or REFINE_TEMPLATE, ["draft", "issues"])

    def __repr__(self) -> str:
        return f"ActorCritic(max_rounds={self._max_rounds}, approval_threshold={self._threshold:g})"

    def declared_workers(self) -> Mapping[str, Asked]:
        return {"actor": self._actor, "critic": self._critic}

    async def run(self, steps: Steps) -> str:
        task = prompt = question_of(steps)
        draft, scored, said = "", False, ""
        for number in range(1, self._max_rounds + 1):
            written = await ask(steps, self._actor, prompt, "actor", ANSWERS)
            draft = answer_of(steps, written, self.name, "actor", instead=draft)
            judged = await ask(steps, self._critic, filled(self._critique, prompt=task, draft=draft), "critic")
            said = answer_of(steps, judged, self.name, "critic", instead=draft)
            critique = critique_in(said)
            approved = critique.score is not None and critique.score >= self._threshold
            scored = scored or critique.score is not None
            told: dict[str, Any] = {"round": number, "approved": approved, **to_builtins(critique)}
            await steps.value("actor_critic.criticised", told.copy)
            if approved:
                return draft
            prompt = self._again(task, draft, critique)
        if not scored:
            rounds = f"{self._max_rounds} round{'s' * (self._max_rounds > 1)}"
            raise GaveUp("actor_critic:no_score", f"in {rounds} the critic gave no score; last: {said[:200]!r}", draft)
        return draft

    def _again(self, task: str, draft: str, critique: Critique) -> str:
        score = "no score" if critique.score is None else f"{critique.score:g}"
        issues = "\n".join(f"- {issue}" for issue in critique.issues) or "- whatever keeps it from being very good"
        return filled(self._refine, prompt=task, draft=draft, score=score, issues=issues, summary=critique.summary)


def critique_in(reply: str) -> Critique:
    """What a critic's reply says. One that is not the JSON asked for is one issue, with the score that stands in it."""
    found = object_in(reply)
    if found is None or not found.keys() & {"score", "issues"}:
        return Critique(score_in(reply), (reply.strip(),) if reply.strip() else ())
    given: Any = found.get("issues") or []
    issues = cast("list[object]", given) if isinstance(given, list) else [given]
    return Critique(score_in(reply), tuple(str(issue) for issue in issues), str(found.get("summary") or ""))
