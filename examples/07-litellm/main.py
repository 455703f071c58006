"""Any of LiteLLM's providers, and another one when the first is down: `python examples/07-litellm/main.py [MODEL …]`.

The models are those of the command line, asked in this order: `litellm/mistral/mistral-small-latest`,
`litellm/groq/llama-3.3-70b-versatile` … Each wants its provider's key: `MISTRAL_API_KEY`, `GROQ_API_KEY`.
"""

import asyncio
import sys

from treadle import Agent, FallbackModel, RetryPolicy, RunError

MODELS = ("litellm/mistral/mistral-small-latest", "litellm/openai/gpt-4o-mini")


async def main(*models: str) -> None:
    agent = Agent(
        "Answer in one sentence.",
        model=FallbackModel(models),
        retry_policy=RetryPolicy(max_attempts=2, initial_delay_s=0.2),
    )
    async with agent:
        result = await agent.run("Why is the sky blue?")
        print(result.output)
        print(f"{result.state}: {result.error}" if result.error else result.state)


try:
    asyncio.run(main(*(sys.argv[1:] or MODELS)))
except RunError as exc:
    sys.exit(str(exc))
