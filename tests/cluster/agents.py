"""What the nodes host: `treadle up cluster.agents:agents`, with `LEDGER` and `PARENT` in the environment.

A run of the desk takes five turns, with an effect of every kind: two that are repeated when nobody knows (one of them
with its call id, so that it happens once), one that destroys and is asked about, and a task for the helper. Tools have
their effect first and take their time afterwards: a node that dies in a tool has had its effect, as a rule, and nobody
knows. The model is a rule, so that it says the same wherever a run goes on.
"""

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from treadle import (
    Agent,
    ApprovalQuestion,
    FunctionModel,
    Limits,
    Message,
    ModelReply,
    ToolCall,
    ToolSpec,
    Usage,
    current_call,
    delegate,
    tool,
)

from .ledger import Ledger

LEDGER = "CHAOS_LEDGER"
PARENT = "CHAOS_PARENT"
"""The environment of a node: where effects go, and the process without which it has no purpose."""

TELL = signal.SIGUSR1
"""Asks a node to write to its log what it is at."""

DESK, HELPER = "desk", "helper"
THINKING_S = 0.15
LINGERING_S = 0.05

PLAIN, IDEMPOTENT, DESTRUCTIVE = "post", "charge", "wipe"
"""The tools that have effects, by what they are said to be."""

_ASKED = {
    DESK: (("look", PLAIN, IDEMPOTENT), (DESTRUCTIVE,), (f"delegate_to_{HELPER}",), (PLAIN,)),
    HELPER: ((IDEMPOTENT,), (PLAIN,)),
}


def agents() -> list[Agent]:
    """The agents of one node."""
    die_with_parent()
    asyncio.get_running_loop().add_signal_handler(TELL, _tell_tasks)
    ledger = Ledger(Path(os.environ[LEDGER]))

    @tool(read_only=True)
    async def look(amount: int) -> str:
        """Look at an account."""
        await asyncio.sleep(LINGERING_S)
        return f"balance {amount}"

    @tool
    def post(amount: int) -> str:
        """Post a booking: a plain tool, in a thread, which is repeated when nobody knows."""
        call = current_call()
        ledger.write(PLAIN, call.call_id, call.attempt)
        time.sleep(LINGERING_S)
        return f"posted {amount}"

    @tool(idempotent=True)
    async def charge(amount: int) -> str:
        """Charge a card, once for a call id."""
        call = current_call()
        ledger.write(IDEMPOTENT, call.call_id, call.attempt, once=True)
        await asyncio.sleep(LINGERING_S)
        return f"charged {amount}"

    @tool(destructive=True)
    async def wipe(amount: int) -> str:
        """Delete an account, which cannot be undone."""
        call = current_call()
        ledger.write(DESTRUCTIVE, call.call_id, call.attempt)
        await asyncio.sleep(LINGERING_S)
        return f"wiped {amount}"

    def clerk(question: ApprovalQuestion) -> bool:
        """Allows what has not been done: asked again, because nobody knows, it looks first."""
        return not ledger.has(question.call_id)

    budget = Limits(max_tokens=1_000_000_000)
    tools = [look, post, charge, wipe]
    return [
        Agent(
            "You settle accounts.",
            model=_model(DESK),
            name=DESK,
            tools=[*tools, delegate(HELPER)],
            approval_handler=clerk,
            budget=budget,
        ),
        Agent("You help.", model=_model(HELPER), name=HELPER, tools=tools, budget=budget),
    ]


def _model(agent: str) -> FunctionModel:
    """Asks for the tools of each turn, then answers with how many there were."""
    turns = _ASKED[agent]

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        await asyncio.sleep(THINKING_S)
        since = max(index for index, message in enumerate(messages) if message.role == "user")
        turn = sum(message.role == "assistant" for message in messages[since:])
        usage = Usage(10, 5)
        if turn == len(turns):
            done = sum(message.role == "tool" for message in messages[since:])
            return ModelReply(f"{done} calls are settled.", usage=usage)
        calls = [
            ToolCall(f"m{turn}{slot}", name, {"prompt": "Help."} if name.startswith("delegate") else {"amount": slot})
            for slot, name in enumerate(turns[turn])
        ]
        return ModelReply("", tuple(calls), usage, "tool_calls")

    return FunctionModel(answer)


def _tell_tasks() -> None:
    """What everything here waits for, to the log: for whoever looks for the cause of a run that does not end."""
    for task in asyncio.all_tasks():
        print(task, file=sys.stderr)
        waiting: Any = task.get_coro()
        while waiting is not None:
            frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
            print(f"    {getattr(waiting, '__qualname__', waiting)}:{frame and frame.f_lineno}", file=sys.stderr)
            waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)


def die_with_parent() -> None:
    """A node whose harness was killed would go on for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(os.environ[PARENT]):
        os._exit(1)
