"""Router: one call chooses, one specialist answers; a choice that cannot be followed is said, and never guessed."""

from collections.abc import Sequence
from typing import Any

import pytest
from members import Member, calls_of

from treadle import Agent, ConfigError, RunError, RunResult, RunState, System, get_run_context
from treadle.architecture import ActorCritic, Router, RouterRoute
from treadle.events.run import ValueRecorded, run_stream


class Desk:
    """A router of two specialists."""

    def __init__(self, says: str | Exception, billing: str | Exception = "It is paid.", **how: Any) -> None:
        self.classifier, self.billing, self.tech = Member(says), Member(billing), Member("Turn it off and on.")
        routes = [
            RouterRoute("billing", self.billing.agent, "invoices and refunds"),
            RouterRoute("tech", self.tech.agent, "what does not work"),
        ]
        model = self.classifier.agent.spec.model
        self.agent = Agent("You are a front desk.", model=model, name="front-desk", architecture=Router(routes, **how))

    @property
    def calls(self) -> list[int]:
        return calls_of(self.classifier, self.billing, self.tech)


async def routed(agent: Agent, result: RunResult) -> Any:
    node = await agent.node()
    events = [recorded.event for recorded in await node.journal.read(run_stream(result.run_id))]
    return next(each.value for each in events if isinstance(each, ValueRecorded) and each.name == "router.routed")


async def test_it_takes_one_call_to_choose_and_one_to_answer() -> None:
    desk = Desk("route: billing\nconfidence: 0.9")
    async with desk.agent as agent:
        result = await agent.run("Where is my refund?")
        assert result.output == "It is paid."
        assert desk.calls == [1, 1, 0]
        assert result.usage.input_tokens == 20
        told = await routed(agent, result)
    assert told == {"route": "billing", "confidence": 0.9, "said": "route: billing\nconfidence: 0.9", "doubt": ""}
    assert desk.billing.prompts == ["Where is my refund?"]


async def test_the_classifier_knows_the_instructions_the_routes_and_the_prompt() -> None:
    desk = Desk("route: tech")
    async with desk.agent as agent:
        await agent.run("My screen is black.")
    system, question = desk.classifier.asked[0]
    assert "You are a front desk." in system.content
    assert "- billing: invoices and refunds\n- tech: what does not work" in system.content
    assert question.content == "My screen is black."


@pytest.mark.parametrize(
    "reply",
    [
        "route: tech\nconfidence: 0.8",
        "**Route:** `Tech`\n**Confidence:** 80%",
        "It is a defect.\n\nroute: tech.\nconfidence: 8/10",
        '{"route": "tech", "confidence": 0.8}',
    ],
)
async def test_what_models_put_around_two_lines_does_not_matter(reply: str) -> None:
    desk = Desk(reply, require_confidence_above=0.5)
    async with desk.agent as agent:
        result = await agent.run("My screen is black.")
        assert (await routed(agent, result))["confidence"] == 0.8
    assert desk.calls == [1, 0, 1]


@pytest.mark.parametrize("reply", ["route: cooking\nconfidence: 1", "I would rather talk about billing.", ""])
async def test_without_a_route_the_run_is_interrupted_and_says_what_was_said_and_what_there_is(reply: str) -> None:
    desk = Desk(reply)
    async with desk.agent as agent:
        result = await agent.run("Boil an egg.")
    assert (result.state, result.output) == (RunState.INTERRUPTED, "")
    assert result.interruption_reason.startswith("router:no_route: ")
    assert repr(reply) in result.interruption_reason
    assert result.interruption_reason.endswith("the routes are: billing, tech")
    assert desk.calls == [1, 0, 0]


async def test_without_a_route_the_fallback_answers_and_the_doubt_is_recorded() -> None:
    desk = Desk("route: cooking", fallback_route="tech")
    async with desk.agent as agent:
        result = await agent.run("Boil an egg.")
        told = await routed(agent, result)
    assert result.output == "Turn it off and on."
    assert told["route"] == "tech"
    assert "cooking" in told["doubt"]


@pytest.mark.parametrize(
    ("reply", "threshold", "answers"),
    [
        ("route: billing\nconfidence: 0.7", 0.7, True),
        ("route: billing\nconfidence: 0.6", 0.7, False),
        ("route: billing", 0.7, False),
        ("route: billing\nconfidence: high", 0.7, False),
        ("route: billing\nconfidence: -0.9", 0.7, False),
        ("route: billing\nconfidence: .9", 0.7, True),
        ('{"route": "billing", "confidence": 9e-1}', 0.7, True),
        ('{"route": "billing", "confidence": 1.9}', 0.7, False),
        ("route: billing", 0.0, True),
        ("route: billing\nconfidence: 0", 0.0, True),
    ],
)
async def test_a_confidence_that_is_missing_is_none_where_one_is_required(
    reply: str, threshold: float, answers: bool
) -> None:
    desk = Desk(reply, require_confidence_above=threshold)
    async with desk.agent as agent:
        result = await agent.run("Where is my refund?")
    assert (result.state == RunState.COMPLETED) is answers
    assert desk.calls == [1, int(answers), 0]


async def test_a_specialist_that_fails_fails_the_run_with_its_error() -> None:
    desk = Desk("route: billing", billing=ValueError("no ledger"))
    async with desk.agent as agent:
        with pytest.raises(RunError, match=r"router:specialist_failed: the specialist 'billing'.*no ledger"):
            await agent.run("Where is my refund?")


async def test_a_specialist_that_is_interrupted_interrupts_the_run_with_its_reason() -> None:
    inner = Desk("route: nowhere")
    router = Router([RouterRoute("desk", inner.agent)])
    async with Agent(model=Member("route: desk").agent.spec.model, name="outer", architecture=router) as agent:
        result = await agent.run("Boil an egg.")
    assert result.state == RunState.INTERRUPTED
    assert "router:specialist_interrupted: " in result.interruption_reason
    assert "router:no_route: the classifier said 'route: nowhere'" in result.interruption_reason


async def test_a_decider_chooses_in_the_place_of_the_model() -> None:
    def decide(prompt: str, routes: Sequence[RouterRoute]) -> str:
        return next((route.name for route in routes if route.name in prompt), "")

    desk = Desk("never asked", decider=decide)
    async with desk.agent as agent:
        assert (await agent.run("A question for tech.")).output == "Turn it off and on."
        assert (await agent.run("A question.")).interruption_reason.startswith("router:no_route")
    assert desk.calls == [0, 0, 1]


async def test_each_specialist_goes_on_with_its_own_conversation() -> None:
    desk = Desk("route: billing")
    async with desk.agent as agent:
        await agent.run("First.", session_id="s")
        await agent.run("Second.", session_id="s")
        await agent.run("Elsewhere.", session_id="t")
    said = [[message.content for message in messages[1:]] for messages in desk.billing.asked]
    assert said == [["First."], ["First.", "It is paid.", "Second."], ["Elsewhere."]]


async def test_specialists_of_a_shared_conversation_know_what_the_others_said() -> None:
    def first_word(prompt: str, routes: Sequence[RouterRoute]) -> str:
        return prompt.split()[0]

    desk = Desk("unused", conversation_scope="shared", decider=first_word)
    async with desk.agent as agent:
        await agent.run("billing first", session_id="both")
        await agent.run("tech second", session_id="both")
    assert [message.content for message in desk.tech.asked[0][1:]] == ["billing first", "It is paid.", "tech second"]


async def test_user_and_metadata_reach_the_specialist_of_a_specialist() -> None:
    seen: list[tuple[str, Any]] = []

    def look(prompt: str) -> str:
        context = get_run_context()
        seen.append((context.user_id, dict(context.metadata)))
        return '{"score": 1}'

    pair = Agent(model="echo", architecture=ActorCritic(Member(look).agent, Member(look).agent))
    desk = Agent(model=Member("route: pair").agent.spec.model, architecture=Router([RouterRoute("pair", pair)]))
    async with desk:
        await desk.run("Go.", user_id="alice", metadata={"tenant": "acme"})
    assert seen == [("alice", {"tenant": "acme"})] * 2


async def test_a_specialist_may_be_the_name_of_an_agent_that_is_hosted() -> None:
    router = Router([RouterRoute("billing", "ledger")])
    async with System() as system:
        system.host(Member("It is paid.").agent, name="ledger")
        desk = system.host(Agent(model=Member("route: billing").agent.spec.model, name="desk", architecture=router))
        assert (await desk.run("Where is my refund?")).output == "It is paid."


SOMEBODY = Member("hello").agent


@pytest.mark.parametrize(
    ("routes", "how", "why"),
    [
        ([], {}, "has nobody"),
        ([("billing", SOMEBODY)], {}, "takes RouterRoute"),
        ([RouterRoute("", SOMEBODY)], {}, "must be a text"),
        ([RouterRoute("billing", 7)], {}, "must be an Agent"),  # type: ignore[arg-type]  # pyright: ignore
        ([RouterRoute("a", SOMEBODY), RouterRoute("A", SOMEBODY)], {}, "two routes have one name"),
        ([RouterRoute("a", SOMEBODY)], {"fallback_route": "b"}, "fallback_route='b' is no route; there are: a"),
        ([RouterRoute("a", SOMEBODY)], {"require_confidence_above": 1.5}, "from 0 to 1"),
        ([RouterRoute("a", SOMEBODY)], {"conversation_scope": "all"}, "use 'per_route' or 'shared'"),
    ],
)
def test_what_could_never_work_is_refused(routes: Any, how: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Router(routes, **how)
