"""`run_architecture`: one prompt for an architecture, without an agent to keep."""

from collections.abc import Sequence
from typing import Any

from ..actors.result import RunResult
from ..actors.strategies.architecture import GivenArchitecture
from ..events.budget import Limits
from .agent import Agent


async def run_architecture(
    architecture: GivenArchitecture,
    prompt: str,
    *,
    instructions: str = "",
    model: Any,
    tools: Sequence[Any] = (),
    memory: bool = False,
    runtime: str | None = None,
    budget: Limits | None = None,
    max_turns: int = 50,
    output_schema: Any = None,
    user_id: str | None = None,
) -> RunResult:
    """What `architecture` makes of `prompt`: for tests of orchestrators, and for scripts.

    The arguments are those of `Agent`, and what it raises is what `Agent.run` does.
    """
    agent = Agent(
        instructions,
        model=model,
        tools=tools,
        architecture=architecture,
        memory=memory,
        runtime=runtime,
        budget=budget,
        max_turns=max_turns,
        output_schema=output_schema,
    )
    return await agent.run(prompt, user_id=user_id)
