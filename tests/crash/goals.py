"""The program with a plan, a stop hook and a condition: each of them sends it on once."""

from collections.abc import Sequence

from scripts import writes

from treadle import Agent, Limits, Message, ModelReply, StopContext
from treadle.actors.run_until import CHECKER

from .bill import paid
from .members import uses
from .programs import World, tools_of

CHARGED = {"description": "charge the card", "status": "done", "verified_by": ["charge"]}

TURNS = (
    uses("charge"),
    "It is charged.",  # the plan has it as open
    writes(CHARGED),
    "It is charged.",  # the hook wants it posted
    uses("post"),
    "It is posted.",  # the checker wants it counted
    "It is posted and counted.",
)


def goals(world: World) -> Agent:
    model = paid(world, {CHECKER.splitlines()[0]: checks, "": takes_turns})
    return Agent(
        "You settle accounts.",
        model=model,
        name="desk",
        tools=tools_of(world.ledger),
        runtime=world.runtime,
        budget=Limits(max_tokens=100_000),
        living_plan=["charge the card"],
        stop_hooks=[wants_it_posted],
        run_until="it is counted",
    )


def takes_turns(messages: Sequence[Message]) -> str | ModelReply:
    return TURNS[sum(message.role == "assistant" for message in messages)]


def checks(messages: Sequence[Message]) -> str:
    return "DONE" if "and counted" in messages[-1].content else "NOT_DONE\nCount it."


def wants_it_posted(context: StopContext) -> str | None:
    return None if "posted" in context.output else "Post it."
