"""A conversation with Claude, thinking shown: `ANTHROPIC_API_KEY=… python examples/06-anthropic/main.py`.

The second prompt is sent with the first and its answer before it, and the part that stays the same is cached.
"""

import asyncio
import sys

from treadle import Agent, Generation

RIDDLE = "A bat and a ball cost 1.10 together, and the bat 1.00 more than the ball. What does the ball cost?"


async def main() -> None:
    agent = Agent(
        "You are brief.",
        model="claude-sonnet-4-6",
        generation=Generation(effort="low", max_tokens=4000, prompt_caching=True),
    )
    async with agent:
        session = agent.session("riddle")
        for prompt in (RIDDLE, "And the bat?"):
            print(f"> {prompt}", end="")
            kind = ""
            async for event in session.stream(prompt):
                if event.type == "model.chunk":
                    before, kind = kind, event.payload["chunk"]["kind"]
                    print("" if kind == before else f"\n[{kind}] ", event.payload["text"], sep="", end="", flush=True)
                elif event.type == "run.failed":
                    sys.exit(event.payload["error"])
            print()


asyncio.run(main())
