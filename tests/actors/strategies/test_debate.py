"""Debate: rounds beside one another, agreement by final answers, a judge or a vote; a debater that fails sits out."""

from typing import Any

import pytest
from members import Member, Says, calls_of

from treadle import Agent, ConfigError, RunError, RunState
from treadle.actors.strategies.agreement import final_answer_in, supporters
from treadle.architecture import MultiAgentDebate


class Panel:
    """A debate of these, with a judge if one says something."""

    def __init__(self, *says: Says, judge: Says | None = None, **how: Any) -> None:
        self.debaters = [Member(each) for each in says]
        self.judge = None if judge is None else Member(judge)
        judges = None if self.judge is None else self.judge.agent
        debate = MultiAgentDebate([member.agent for member in self.debaters], judges, **how)
        self.agent = Agent(model="echo", name="panel", architecture=debate)

    @property
    def calls(self) -> list[int]:
        return calls_of(*self.debaters, *([] if self.judge is None else [self.judge]))


async def test_every_debater_answers_and_answers_again_in_each_round_and_the_judge_once() -> None:
    panel = Panel("Final answer: 4", "Final answer: 5", "Final answer: 6", judge="It is 4.")
    async with panel.agent as agent:
        result = await agent.run("2 + 2?")
    assert (result.output, panel.calls) == ("It is 4.", [3, 3, 3, 1])
    assert result.turns == 0
    assert result.usage.input_tokens == 100


async def test_debaters_read_what_they_and_the_others_have_said() -> None:
    panel = Panel("I say four.\nFinal answer: 4", "I say five.\nFinal answer: 5", rounds=1)
    async with panel.agent as agent:
        await agent.run("2 + 2?")
    first, second = panel.debaters[0].prompts
    assert first.startswith("2 + 2?")
    assert "Final answer: …" in first
    assert "You have said:\nI say four." in second
    assert "debater_2 has said:\nI say five." in second
    assert "debater_1" not in second


async def test_agreement_ends_the_debate_and_nobody_else_is_asked() -> None:
    panel = Panel("Since 2 + 2 = 4.\nFinal answer: 4", "**Final answer:** 4.", "So $\\boxed{4}$", judge="never asked")
    async with panel.agent as agent:
        result = await agent.run("2 + 2?")
    assert result.output == "Since 2 + 2 = 4.\nFinal answer: 4"
    assert panel.calls == [1, 1, 1, 0]


async def test_agreement_that_is_not_looked_for_ends_nothing() -> None:
    panel = Panel("Final answer: 4", "Final answer: 4", rounds=1, convergence_check=False)
    async with panel.agent as agent:
        await agent.run("2 + 2?")
    assert panel.calls == [2, 2]


async def test_no_rounds_after_the_opening_are_a_poll() -> None:
    panel = Panel("Final answer: 5", "Final answer: 4", "Final answer: four", "I think\nFinal answer: 4", rounds=0)
    async with panel.agent as agent:
        assert (await agent.run("2 + 2?")).output == "Final answer: 4"
    assert panel.calls == [1, 1, 1, 1]


async def test_a_tie_goes_to_the_first_that_is_held_by_as_many() -> None:
    panel = Panel("Final answer: 5", "Final answer: 4", rounds=0)
    async with panel.agent as agent:
        assert (await agent.run("2 + 2?")).output == "Final answer: 5"


async def test_a_debater_that_fails_sits_out_the_rest() -> None:
    panel = Panel("Final answer: 4", ValueError("no idea"), "Final answer: 5", "Final answer: 5", rounds=1)
    async with panel.agent as agent:
        result = await agent.run("2 + 2?")
    assert (result.state, result.output) == (RunState.COMPLETED, "Final answer: 5")
    assert panel.calls == [2, 1, 2, 2]


async def test_the_last_debater_has_nobody_to_debate_with() -> None:
    panel = Panel("Final answer: 4", ValueError("no idea"), judge="It is 4.")
    async with panel.agent as agent:
        assert (await agent.run("2 + 2?")).output == "It is 4."
    assert panel.calls == [1, 1, 1]


async def test_when_all_fail_the_run_fails_with_their_reasons() -> None:
    panel = Panel(ValueError("no idea"), ValueError("no time"), judge="never asked")
    async with panel.agent as agent:
        with pytest.raises(RunError, match=r"debate:all_failed: in round 0 debater_1 .*no idea; debater_2 .*no time"):
            await agent.run("2 + 2?")
    assert panel.calls == [1, 1, 0]


async def test_a_judge_that_fails_leaves_what_most_hold_and_the_reason() -> None:
    panel = Panel("Final answer: 4", "Final answer: 5", "Final answer: 5", judge=ValueError("no robe"), rounds=0)
    async with panel.agent as agent:
        result = await agent.run("2 + 2?")
    assert (result.state, result.output) == (RunState.INTERRUPTED, "Final answer: 5")
    assert result.interruption_reason.startswith("debate:judge_failed: ")
    assert "no robe" in result.interruption_reason


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Final answer: 4", "4"),
        ("FINAL ANSWER: *Bern*.", "bern"),
        ("**Final answer:**\n\n  New   York  ", "new york"),
        ("Final answer: 3\nNo.\nFinal answer: 4", "4"),
        ("Final answer: $\\boxed{\\frac{1}{2}}$", "\\frac{1}{2}"),
        ("so \\boxed{x^{2}} it is", "x^{2}"),
        ("so \\boxed{x", None),
        ("Final answer: ", None),
        ("I do not know.", None),
    ],
)
def test_a_final_answer_is_read_in_a_form_that_compares(reply: str, answer: str | None) -> None:
    assert final_answer_in(reply) == answer


def test_words_are_compared_only_where_one_has_no_final_answer() -> None:
    alike = ["the sea is deep and blue", "The sea is deep and blue.", "The sea is deep, and green."]
    assert supporters(alike, 0.85) == [2, 2, 1]
    assert supporters([*alike, "Final answer: 4"], 0.6) == [3, 3, 3, 1]
    assert supporters([f"{each}\nFinal answer: {number}" for number, each in enumerate(alike)], 0.0) == [1, 1, 1]


def test_replies_without_a_word_agree_on_nothing() -> None:
    assert supporters(["", ""], 0.85) == [1, 1]


@pytest.mark.parametrize(
    ("debaters", "how", "why"),
    [
        (1, {}, "two agents or more"),
        (2, {"rounds": -1}, "rounds=-1 must be a whole number from 0 on"),
        (2, {"convergence_similarity": 85}, "from 0 to 1"),
        (2, {"judge": 7}, r"MultiAgentDebate\(judge=\) must be an Agent"),
    ],
)
def test_what_could_never_work_is_refused(debaters: int, how: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        MultiAgentDebate([Member("hello").agent] * debaters, **how)
