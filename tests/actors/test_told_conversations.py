"""What a run was told is a part of its session's conversation: the next run sees it where it was said."""

from collections.abc import Sequence
from typing import Any

from thinking import asks_for

from treadle import Agent, FunctionModel, Message, Steps, System, tool


class Trader:
    """Looks up the price, while its user says that it is to be in euros."""

    def __init__(self, system: System, name: str = "desk") -> None:
        self.shown: list[list[tuple[str, str]]] = []

        @tool(idempotent=True)
        async def look() -> str:
            """Look up a price."""
            await self.session.steer("Use euros.")
            return "100 dollars"

        self.agent = system.host(Agent(model=FunctionModel(self._answer), tools=[look]), name)
        self.session = self.agent.session("s", user_id="ann")

    def _answer(self, messages: Sequence[Message], _: object) -> Any:
        self.shown.append(said(messages))
        return asks_for("look") if self.shown[-1] == [("user", "Price?")] else "92 euros"


def said(messages: Sequence[Message]) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in messages]


async def test_the_next_run_sees_what_the_run_before_it_was_told() -> None:
    async with System(journal="memory") as system:
        trader = Trader(system)
        await trader.session.run("Price?")
        told = [("user", "Price?"), ("user", "Use euros."), ("assistant", "92 euros")]
        assert said(await trader.session.history()) == told
        await trader.session.run("And the table?")
        assert trader.shown[-1] == [*told, ("user", "And the table?")]


async def test_a_session_that_is_read_again_knows_what_was_told(tmp_path: Any) -> None:
    for life in (1, 2):
        async with System(journal=f"sqlite:{tmp_path}/t.db") as system:
            trader = Trader(system)
            await trader.session.run("Price?" if life == 1 else "And the table?")
    assert trader.shown[-1][:2] == [("user", "Price?"), ("user", "Use euros.")]


async def test_who_goes_on_with_a_fork_sees_what_it_was_told_before_and_after_the_cut() -> None:
    async with System(journal="memory") as system:
        trader = Trader(system)
        result = await trader.session.run("Price?")
        fork = await trader.agent.fork(result.run_id, "3", prompt="And in yen?")
        await fork.wait()
        await trader.agent.run("Sure?", session_id=fork.id, user_id="ann")
    before = [("user", "Price?"), ("user", "Use euros."), ("user", "And in yen?")]
    assert trader.shown[-1] == [*before, ("assistant", "92 euros"), ("user", "Sure?")]


async def test_a_run_that_is_forked_later_sees_what_the_one_before_it_was_told() -> None:
    async with System(journal="memory") as system:
        trader = Trader(system)
        await trader.session.run("Price?")
        second = await trader.session.run("And the table?")
        await (await trader.agent.fork(second.run_id, prompt="And the chair?")).wait()
    assert trader.shown[-1][1:] == [("user", "Use euros."), ("assistant", "92 euros"), ("user", "And the chair?")]


async def test_what_nobody_took_up_is_no_part_of_the_conversation() -> None:
    async def mute(steps: Steps) -> str:
        await agent.steer(text="Use euros.", session_id="s")
        return "done"

    async with System(journal="memory") as system:
        agent = system.host(Agent(model="echo", architecture=mute), "mute")
        result = await agent.run("Price?", session_id="s")
        assert [each.text for each in result.unheard] == ["Use euros."]
        assert said(await agent.session("s").history()) == [("user", "Price?"), ("assistant", "done")]
