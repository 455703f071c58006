"""ReAct: one model call a turn, its tool calls in parallel, until it answers without asking for a tool.

Source: Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models", 2022 (arXiv:2210.03629).
"""

from ..steps import Steps


async def react(steps: Steps) -> str:
    """The answer to the run's prompt."""
    messages = steps.messages()
    while True:
        reply = await steps.model(messages, answer=True)
        if not reply.tool_calls:
            return reply.text
        messages.append(reply.message)
        results = await steps.tools(reply.tool_calls)
        for result in results:
            if result.ok and result.ends_turn:
                return result.text
        messages.extend(result.message for result in results)
