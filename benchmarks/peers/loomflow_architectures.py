"""loomflow: its architectures over the same scripts, and its workflows of plain functions.

A workflow of loomflow is not durable, so it has no part in those cases. In the durable cases of architectures the
agents of a team have the team's runtime: without it only the calls of the team's own model would be stored.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from loomflow import END, START, Agent, Workflow, tool
from loomflow.architecture import PlanAndExecute, Reflexion, ReWOO, RouterRoute, SelfRefine, TreeOfThoughts
from loomflow.core.types import Message, ModelChunk, ToolCall, Usage
from loomflow.runtime import SqliteRuntime
from loomflow.team import Team
from measured import Measured, Round, one_after_another, play, times
from scripts import DEBATE_ROUNDS, DEBATERS, SCRIPTS, TASK, Script

NODES = 10


@tool(name="stock")
async def stock(item: str) -> str:
    """Tell how many of an item are in stock."""
    return f"42 of {item}"


class Scripted:
    """A model that says what the script says."""

    name = "scripted"

    def __init__(self, script: Script) -> None:
        self._script = script

    async def complete(self, messages: list[Message], **_: Any) -> tuple[str, list[ToolCall], Usage, str]:
        said = self._script.next()
        calls = [ToolCall(tool=call.tool, args=call.args) for call in said.calls]
        return said.text, calls, Usage(), "tool_use" if calls else "stop"

    async def stream(self, messages: list[Message], **options: Any) -> AsyncIterator[ModelChunk]:
        text, calls, usage, reason = await self.complete(messages, **options)
        if text:
            yield ModelChunk(kind="text", text=text)
        for call in calls:
            yield ModelChunk(kind="tool_call", tool_call=call)
        yield ModelChunk(kind="finish", finish_reason=reason, usage=usage)


def thinking(architecture: str, model: Scripted, runtime: SqliteRuntime | None) -> Agent:
    common: dict[str, Any] = {"model": model, "runtime": runtime}
    # Its teams go on with their members' conversations otherwise, which grow, and which its runtime has replies for.
    team: dict[str, Any] = {**common, "persistent_subagents": False}

    def member() -> Agent:
        return Agent("You help.", **common)

    a, b = member(), member()
    match architecture:
        case "react":
            return Agent("You help.", tools=[stock], **common)
        case "self_refine":
            return Agent("You help.", architecture=SelfRefine(), **common)
        case "reflexion":
            # With a full block of lessons that are all alike, its runtime takes the second attempt for the first one.
            return Agent("You help.", architecture=Reflexion(max_lessons=1000), **common)
        case "tree_of_thoughts":
            thinks = TreeOfThoughts(branch_factor=2, max_depth=1, beam_width=1)
            return Agent("You help.", architecture=thinks, **common)
        case "plan_and_execute":
            return Agent("You help.", architecture=PlanAndExecute(), **common)
        case "rewoo":
            return Agent("You help.", tools=[stock], architecture=ReWOO(), **common)
        case "router":
            return Team.router([RouterRoute("a", a), RouterRoute("b", b)], **team)
        case "supervisor":
            return Team.supervisor({"a": a, "b": b}, **team)
        case "swarm":
            return Team.swarm({"a": a, "b": b}, entry_agent="a", **team)
        case "actor_critic":
            return Team.actor_critic(a, b, **team)
        case "debate":
            debaters = [member() for _ in range(DEBATERS)]
            return Team.debate(debaters, judge=b, rounds=DEBATE_ROUNDS, convergence_check=False, **team)
        case "blackboard":
            return Team.blackboard({"a": a}, coordinator=b, decider=member(), **team)
        case _:
            raise ValueError(architecture)


def played(architecture: str, is_durable: bool) -> Callable[[], AbstractAsyncContextManager[Round]]:
    @asynccontextmanager
    async def case() -> AsyncGenerator[Round]:
        script = Script(architecture)

        async def a_round() -> list[float]:
            runtime = SqliteRuntime("journal.db") if is_durable else None
            agent = thinking(architecture, Scripted(script), runtime)

            async def run() -> None:
                script.check((await agent.run(TASK)).output)

            samples = await one_after_another(run, times(50))
            if runtime is not None:
                await runtime.store.aclose()
            return [taken / len(script) for taken in samples]

        yield a_round

    return case


async def add_one(value: int) -> int:
    return value + 1


def circle() -> Workflow:
    made = Workflow("circle")
    made.add_node("add", add_one)
    made.add_edge(START, "add")
    made.add_router("add", lambda value: "done" if value == NODES else "again", {"done": END, "again": "add"})
    return made


SHAPES: dict[str, Callable[[], Workflow]] = {
    "chain": lambda: Workflow.chain([add_one] * NODES),
    "parallel": lambda: Workflow.parallel([add_one] * NODES, merge=sum, max_concurrency=NODES),
    "circle": circle,
}


def walked(shape: str) -> Callable[[], AbstractAsyncContextManager[Round]]:
    @asynccontextmanager
    async def case() -> AsyncGenerator[Round]:
        workflow = SHAPES[shape]()

        async def run() -> None:
            result = await workflow.run(0)
            if result.output != NODES:
                raise AssertionError(f"not the workflow that is measured: {result!r}")

        async def a_round() -> list[float]:
            return [taken / NODES for taken in await one_after_another(run, times(50))]

        yield a_round

    return case


CASES = {
    **{f"{name}{ending}": Measured("s", played(name, bool(ending))) for name in SCRIPTS for ending in ("", "_durable")},
    **{f"workflow_{shape}": Measured("s", walked(shape)) for shape in SHAPES},
}

if __name__ == "__main__":
    play("loomflow", CASES)
