"""Workers under ids of their own: one conversation with each user, whoever asks, and never somebody else's."""

from typing import Any

import pytest
from members import Member

from treadle import Agent, ConfigError, FunctionModel, ModelReply, System, ToolCall
from treadle.architecture import Router, RouterRoute, Supervisor

IDS = {"a": "clerk-7"}


def desk(member: Member, **how: Any) -> Agent:
    routes = [RouterRoute("a", member.agent)]
    return Agent(
        model="echo", architecture=Router(routes, decider=lambda prompt, routes: "a", role_to_worker_id=IDS, **how)
    )


def said(member: Member) -> list[str]:
    """What the member was shown of the conversation in its last call."""
    return [message.content for message in member.asked[-1] if message.role != "system"]


async def test_a_specialist_with_an_id_goes_on_with_its_users_conversation_in_every_session() -> None:
    member = Member("Noted.", name="clerk")
    async with System() as system:
        agent = system.host(desk(member), name="desk")
        await agent.run("One.", user_id="ann", session_id="monday")
        await agent.run("Two.", user_id="ann", session_id="tuesday")
        assert said(member) == ["One.", "Noted.", "Two."]
        await agent.run("Three.", user_id="bob", session_id="monday")
        assert said(member) == ["Three."]
        await agent.run("Four.", session_id="nobody's")
        await agent.run("Five.", session_id="nobody else's")
        assert said(member) == ["Five."]


async def test_the_registry_says_who_does_the_work_of_an_id() -> None:
    given, registered = Member("by the route's own"), Member("by the registered one")
    agent = desk(given, worker_registry={"clerk-7": registered.agent})
    assert (await agent.run("Go.")).output == "by the registered one"
    assert agent.spec.architecture.declared_workers() == {"a": registered.agent}


async def test_a_supervisors_worker_with_an_id_keeps_its_conversation_beside_others_that_do_not() -> None:
    def lead(messages: Any, tools: Any) -> ModelReply | str:
        if messages[-1].role == "tool":
            return "Done."
        calls = [ToolCall(role, "delegate", {"worker": role, "instructions": messages[-1].content}) for role in "ab"]
        return ModelReply(tool_calls=tuple(calls))

    a, b = Member("ok", name="a"), Member("ok", name="b")
    leads = Supervisor({"a": a.agent, "b": b.agent}, role_to_worker_id=IDS)
    agent = Agent(model=FunctionModel(lead), architecture=leads)
    await agent.run("One.", user_id="ann")
    await agent.run("Two.", user_id="ann")
    assert (said(a), said(b)) == (["One.", "ok", "Two."], ["Two."])


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ({"role_to_worker_id": {"c": "x"}}, "names the role 'c', and there are: a"),
        ({"role_to_worker_id": {"a": ""}}, "the worker id of the role 'a' must be a text"),
        ({"worker_registry": {"clerk-7": Agent(model="echo")}}, "gives it to no role"),
        ({"role_to_worker_id": IDS, "worker_registry": {"clerk-7": 7}}, "must be an Agent"),
    ],
)
def test_ids_of_nobody_are_refused(how: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        Router([RouterRoute("a", Agent(model="echo"))], **how)
    with pytest.raises(ConfigError, match=what):
        Supervisor({"a": Agent(model="echo")}, **how)
