"""One run of each architecture with models that cost nothing: the time of a run, divided by its model calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from measured import Measured, Round, one_after_another, play, times
from scripts import DEBATE_ROUNDS, DEBATERS, SCRIPTS, TASK, Script

from treadle import Agent, FunctionModel, Message, ModelReply, Team, ToolCall, ToolSpec, tool
from treadle.architecture import PlanAndExecute, Reflexion, ReWOO, RouterRoute, SelfRefine, TreeOfThoughts


@tool
async def stock(item: str) -> str:
    """Tell how many of an item are in stock."""
    return f"42 of {item}"


def model_of(script: Script) -> FunctionModel:
    def reply(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        said = script.next()
        calls = tuple(ToolCall(f"call_{number}", call.tool, call.args) for number, call in enumerate(said.calls))
        return ModelReply(said.text, calls)

    return FunctionModel(reply)


def thinking(architecture: str, model: FunctionModel, runtime: str) -> Agent:
    """An agent that thinks like that; the members of a team have the same model."""

    def member() -> Agent:
        return Agent("You help.", model=model)

    a, b = member(), member()
    match architecture:
        case "react":
            return Agent("You help.", model=model, tools=[stock], runtime=runtime)
        case "self_refine":
            return Agent("You help.", model=model, architecture=SelfRefine(), runtime=runtime)
        case "reflexion":
            return Agent("You help.", model=model, architecture=Reflexion(), runtime=runtime)
        case "tree_of_thoughts":
            thinks = TreeOfThoughts(branch_factor=2, max_depth=1, beam_width=1)
            return Agent("You help.", model=model, architecture=thinks, runtime=runtime)
        case "plan_and_execute":
            return Agent("You help.", model=model, architecture=PlanAndExecute(), runtime=runtime)
        case "rewoo":
            return Agent("You help.", model=model, tools=[stock], architecture=ReWOO(), runtime=runtime)
        case "router":
            return Team.router([RouterRoute("a", a), RouterRoute("b", b)], model=model, runtime=runtime)
        case "supervisor":
            return Team.supervisor({"a": a, "b": b}, persistent_subagents=False, model=model, runtime=runtime)
        case "swarm":
            return Team.swarm({"a": a, "b": b}, "a", model=model, runtime=runtime)
        case "actor_critic":
            return Team.actor_critic(a, b, model=model, runtime=runtime)
        case "debate":
            debaters = [member() for _ in range(DEBATERS)]
            return Team.debate(
                debaters, judge=b, rounds=DEBATE_ROUNDS, convergence_check=False, model=model, runtime=runtime
            )
        case "blackboard":
            return Team.blackboard({"a": a}, coordinator=b, decider=member(), model=model, runtime=runtime)
        case _:
            raise ValueError(architecture)


def played(architecture: str, runtime: str) -> Callable[[], AbstractAsyncContextManager[Round]]:
    @asynccontextmanager
    async def case() -> AsyncGenerator[Round]:
        script = Script(architecture)

        async def a_round() -> list[float]:
            async with thinking(architecture, model_of(script), runtime) as agent:

                async def run() -> None:
                    script.check((await agent.run(TASK)).output)

                return [taken / len(script) for taken in await one_after_another(run, times(50))]

        yield a_round

    return case


CASES = {
    f"{name}{ending}": Measured("s", played(name, runtime))
    for name in SCRIPTS
    for ending, runtime in (("", "memory"), ("_durable", "sqlite:journal.db"))
}

if __name__ == "__main__":
    play("Treadle", CASES)
