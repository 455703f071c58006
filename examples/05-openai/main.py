"""A model of OpenAI with a tool, while it speaks: `OPENAI_API_KEY=… python examples/05-openai/main.py`.

Any server that speaks OpenAI's protocol will do as well: `OPENAI_BASE_URL=http://localhost:11434/v1`.
"""

import asyncio
import sys
from datetime import UTC, datetime

from treadle import Agent, Generation, Limits, tool


@tool(read_only=True)
def time_in(offset_hours: int) -> str:
    """What time it is where the clocks are so many hours ahead of UTC."""
    now = datetime.now(UTC)
    return f"{(now.hour + offset_hours) % 24:02}:{now.minute:02}"


async def main() -> None:
    agent = Agent(
        "Answer in one sentence.",
        model="gpt-4o-mini",
        tools=[time_in],
        generation=Generation(temperature=0.0, max_tokens=200),
        budget=Limits(max_cost_usd=0.01),  # for all runs of this agent; its model's price is known
    )
    async with agent:
        async for event in agent.stream("What time is it in Tokyo, nine hours ahead of UTC?"):
            match event.type:
                case "model.chunk":
                    print(event.payload["text"], end="", flush=True)
                case "tool.completed":
                    print(f"[{event.payload['result']['output']}]")
                case "run.completed":
                    print(f"\n{event.payload['usage'].get('cost_usd', 0.0):.6f} USD")
                case "run.failed":
                    sys.exit(event.payload["error"])
                case _:
                    pass


asyncio.run(main())
