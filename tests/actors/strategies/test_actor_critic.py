"""Actor-Critic: rounds of two calls, until the critic is content; a critic who judges nothing approves nothing."""

import re
from typing import Any

import pytest
from members import Member, calls_of

from treadle import Agent, ConfigError, RunError, RunState, Steps
from treadle.actors.strategies.actor_critic import Critique, critique_in
from treadle.architecture import ActorCritic


def pair(actor: Member, critic: Member, **how: Any) -> Agent:
    return Agent(model="echo", name="pair", architecture=ActorCritic(actor.agent, critic.agent, **how))


def drafts() -> Member:
    """An actor that numbers its drafts."""

    def next_draft(prompt: str) -> str:
        before = re.search(r"draft (\d)", prompt)
        return f"draft {1 if before is None else int(before[1]) + 1}"

    return Member(next_draft)


async def test_a_draft_that_is_good_enough_takes_two_calls() -> None:
    actor, critic = drafts(), Member('{"score": 0.9, "issues": [], "summary": "good"}')
    async with pair(actor, critic) as team:
        result = await team.run("Write.")
    assert (result.output, calls_of(actor, critic)) == ("draft 1", [1, 1])
    assert result.usage.input_tokens == 20


async def test_a_draft_is_written_again_with_what_the_critic_found() -> None:
    actor = drafts()
    critic = Member(
        lambda prompt: (
            '{"score": 1}' if "draft 2" in prompt else '{"score": 0.4, "issues": ["too short"], "summary": "Weak."}'
        )
    )
    async with pair(actor, critic) as team:
        assert (await team.run("Write.")).output == "draft 2"
    assert calls_of(actor, critic) == [2, 2]
    assert actor.prompts[0] == "Write."
    for word in ("Write.", "draft 1", "- too short", "0.4", "Weak."):
        assert word in actor.prompts[1]
    assert "Write." in critic.prompts[0]
    assert "draft 1" in critic.prompts[0]


async def test_the_last_round_ends_with_the_last_draft() -> None:
    actor, critic = drafts(), Member('{"score": 0.5, "issues": ["dull"]}')
    async with pair(actor, critic, max_rounds=2) as team:
        result = await team.run("Write.")
    assert (result.state, result.output, calls_of(actor, critic)) == (RunState.COMPLETED, "draft 2", [2, 2])


async def test_a_critic_that_never_gives_a_score_goes_on_to_the_last_round_and_is_the_reason() -> None:
    actor, critic = drafts(), Member("I do not like it.")
    async with pair(actor, critic) as team:
        result = await team.run("Write.")
    assert (result.state, result.output) == (RunState.INTERRUPTED, "draft 3")
    assert result.interruption_reason == (
        "actor_critic:no_score: in 3 rounds the critic gave no score; last: 'I do not like it.'"
    )
    assert calls_of(actor, critic) == [3, 3]
    assert "- I do not like it." in actor.prompts[1]


async def test_an_actor_that_fails_at_once_fails_the_run_with_its_error() -> None:
    async with pair(Member(ValueError("no ink")), Member('{"score": 1}')) as team:
        with pytest.raises(RunError, match=r"actor_critic:actor_failed: .*no ink"):
            await team.run("Write.")


async def test_a_critic_that_fails_leaves_the_draft_and_the_reason() -> None:
    async with pair(drafts(), Member(ValueError("no glasses"))) as team:
        result = await team.run("Write.")
    assert (result.state, result.output) == (RunState.INTERRUPTED, "draft 1")
    assert result.interruption_reason.startswith("actor_critic:critic_failed: ")
    assert "no glasses" in result.interruption_reason


@pytest.mark.parametrize(
    ("reply", "critique"),
    [
        ('{"score": 0.7, "issues": ["a", "b"], "summary": "c"}', Critique(0.7, ("a", "b"), "c")),
        ('```json\n{"score": "7/10", "issues": "a"}\n```', Critique(0.7, ("a",))),
        ('{"score": 8}', Critique(0.8)),
        ('{"issues": []}', Critique(None)),
        ('{"score": null, "issues": ["a"]}', Critique(None, ("a",))),
        ("Too long.\nScore: 0.3", Critique(0.3, ("Too long.\nScore: 0.3",))),
        ("Too long.", Critique(None, ("Too long.",))),
        ("", Critique(None)),
    ],
)
def test_what_a_critic_says_is_read_as_far_as_it_goes(reply: str, critique: Critique) -> None:
    assert critique_in(reply) == critique


async def test_templates_are_filled_in_once_and_their_braces_stay() -> None:
    actor, critic = Member("{draft} of {prompt}"), Member('{"score": 1}')
    async with pair(actor, critic, critique_template='{"judge": "{draft}"}') as team:
        await team.run("Write.")
    assert critic.prompts == ['{"judge": "{draft} of {prompt}"}']


async def test_both_know_what_an_outer_architecture_adds_and_the_conversation_before() -> None:
    actor, critic = drafts(), Member('{"score": 1}')
    inner = ActorCritic(actor.agent, critic.agent)

    async def outer(steps: Steps) -> str:
        return await inner.run(steps.part(note="Mind the tides."))

    async with Agent(model="echo", name="outer", architecture=outer) as team:
        await team.run("First.", session_id="both")
        await team.run("Second.", session_id="both")
    assert actor.prompts == ["First.\n\nMind the tides.", "Second.\n\nMind the tides."]
    assert "Mind the tides." in critic.prompts[0]
    for asked in (actor.asked[1], critic.asked[1]):
        assert [message.content for message in asked[1:3]] == ["First.", "draft 1"]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"max_rounds": 0}, "max_rounds=0 must be a whole number from 1 on"),
        ({"max_rounds": True}, "max_rounds=True"),
        ({"approval_threshold": float("nan")}, "from 0 to 1"),
        ({"approval_threshold": "0.9"}, "from 0 to 1"),
        ({"critic": None}, r"ActorCritic\(critic=\) must be an Agent"),
        ({"critique_template": "Judge it."}, r"critique_template has no place for \{draft\}"),
        ({"refine_template": "{draft}"}, r"refine_template has no place for \{issues\}"),
    ],
)
def test_what_could_never_work_is_refused(how: Any, why: str) -> None:
    somebody = Member("hello").agent
    given: dict[str, Any] = {"actor": somebody, "critic": somebody, **how}
    with pytest.raises(ConfigError, match=why):
        ActorCritic(**given)
