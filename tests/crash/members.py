"""Agents that go through turns, for programs of several: functions of what they are shown, paid for each answer."""

from collections.abc import Callable, Sequence

from turns import calls as asks
from turns import taken

from treadle import Agent, Message, ModelReply

from .bill import paid
from .programs import World, clerk, tools_of

Turn = str | ModelReply | Callable[[Sequence[Message]], str | ModelReply]

LESSON = "Count them."
"""Whoever is told so does better."""


def member(world: World, *turns: Turn) -> Agent:
    """An agent with tools that have effects. It takes these turns, and begins anew when it is asked anew."""
    return Agent(
        "You work in a team.",
        model=paid(world, {"": in_turn(*turns)}),
        tools=tools_of(world.ledger),
        approval_handler=clerk(world),
    )


def in_turn(*turns: Turn) -> Callable[[Sequence[Message]], str | ModelReply]:
    """A part that takes these turns, one after the other since the last prompt."""

    def says(messages: Sequence[Message]) -> str | ModelReply:
        turn = turns[taken(messages)]
        return turn(messages) if callable(turn) else turn

    return says


def uses(*tools: str) -> ModelReply:
    """A turn that calls these tools."""
    return asks(*((tool, {"amount": slot}) for slot, tool in enumerate(tools)))


def settled(messages: Sequence[Message]) -> str:
    """How many calls there were; and that they were counted, by one who has learned to.

    Not what they said: a destructive one that was killed says that nobody knows.
    """
    count = sum(message.role == "tool" for message in messages)
    return f"{count} are settled{' and counted' if LESSON in messages[0].content else ''}"


def says_how_much(messages: Sequence[Message]) -> str:
    """Of how much it was shown, which a replay shows again."""
    return f"made of {sum(len(message.content) for message in messages)}"
