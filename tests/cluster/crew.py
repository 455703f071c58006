"""What the nodes of a tree host: `treadle up cluster.crew:agents`, with all that `agents` reads in its environment.

A lead, which every node hosts, and fifty workers, each at home on one of the nodes and known by its name to all. A
worker makes a paid model call, has an effect outside, and answers with what came of it. Models are rules, and write
down that they were called: what they are called for twice is paid twice.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from treadle import (
    Agent,
    FunctionModel,
    Limits,
    Message,
    ModelReply,
    Team,
    ToolCall,
    ToolSpec,
    Usage,
    current_call,
    get_run_context,
    tool,
)

from .agents import IDEMPOTENT, LEDGER, die_with_parent
from .ledger import Ledger

PLACE = "TREE_PLACE"
"""The environment of a node: which of how many it is, and whether workers keep their conversations (`0/3/kept`)."""

LEAD = "lead"
WORKERS = tuple(f"w{number:02d}" for number in range(50))
WAVES = (WORKERS[:20], WORKERS[20:40], WORKERS[40:])
"""Whom the lead asks in each of its turns, all at once."""

PAID = "model"
"""What a paid model call is called in the ledger."""

THINKING = "TREE_THINKING_S"
"""The environment of a node: how long its models think, where that is not as long as they usually do."""

USAGE = Usage(10, 5)
THINKING_S = 0.1
LINGERING_S = 0.05


def agents() -> list[Agent]:
    """The agents of one node."""
    die_with_parent()
    place, count, conversations = os.environ[PLACE].split("/")
    ledger = Ledger(Path(os.environ[LEDGER]))
    here = [name for number, name in enumerate(WORKERS) if number % int(count) == int(place)]
    return crew(ledger, here, persistent=conversations == "kept")


def crew(ledger: Ledger, workers: Sequence[str], *, persistent: bool) -> list[Agent]:
    """The lead and these workers."""

    @tool(idempotent=True)
    async def charge(amount: int) -> str:
        """Charge a card, once for a call id."""
        call = current_call()
        ledger.write(IDEMPOTENT, call.call_id, call.attempt, once=True)
        await asyncio.sleep(LINGERING_S)
        return f"charged {amount}"

    lead = Team.supervisor(
        workers={name: name for name in WORKERS},
        model=_paid(_leads, ledger),
        name=LEAD,
        budget=Limits(max_tokens=1_000_000_000),
        persistent_subagents=persistent,
    )
    return [lead, *(Agent("You work.", model=_paid(_works, ledger), name=name, tools=[charge]) for name in workers)]


def _leads(turn: int, messages: Sequence[Message]) -> ModelReply:
    if turn < len(WAVES):
        calls = [
            ToolCall(f"m{turn}_{name}", "delegate", {"worker": name, "instructions": f"Charge {int(name[1:])}."})
            for name in WAVES[turn]
        ]
        return ModelReply("", tuple(calls), USAGE, "tool_calls")
    said = [message.content for message in messages if message.role == "tool"]
    return ModelReply("; ".join(said), usage=USAGE)


def _works(turn: int, messages: Sequence[Message]) -> ModelReply:
    if turn == 0:
        amount = int(messages[-1].content.removeprefix("Charge ").rstrip("."))
        return ModelReply("", (ToolCall("m0", IDEMPOTENT, {"amount": amount}),), USAGE, "tool_calls")
    return ModelReply(f"I have {messages[-1].content}", usage=USAGE)


def _paid(rule: Callable[[int, Sequence[Message]], ModelReply], ledger: Ledger) -> FunctionModel:
    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        since = max(index for index, message in enumerate(messages) if message.role == "user")
        turn = sum(message.role == "assistant" for message in messages[since:])
        ledger.write(PAID, f"{get_run_context().run_id}/{turn}", 1)
        await asyncio.sleep(float(os.environ.get(THINKING, THINKING_S)))
        return rule(turn, messages[since:])

    return FunctionModel(answer)
