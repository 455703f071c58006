"""What every strategy begins with: what the model is shown before its first answer, all of it from the history."""

from collections.abc import Sequence

from ..events.message import Message
from ..events.run import MemoryRecalled, Run, RunStarted
from .output import directive
from .plan_words import section
from .tone import tone_directive
from .tool import as_text


def opening_messages(
    started: RunStarted, history: Sequence[Message], state: Run, *, answer: bool = True
) -> list[Message]:
    """Instructions, memory and how to answer; the conversation so far; the prompt and what was given with it.

    Args:
        answer: Whether whoever is told has to answer, and to plan. A critic or a planner does otherwise.
    """
    system = "\n\n".join(_system(started, state, answer))
    given = [f"{name}:\n{as_text(value)}" for name, value in started.shown.items()]
    prompt = Message("user", "\n\n".join([started.prompt, *given]), images=started.images)
    return [*([Message("system", system)] if system else []), *history, prompt]


def _system(started: RunStarted, state: Run, answer: bool) -> list[str]:
    parts = [started.instructions] if started.instructions else []
    recalled = state.values.get("memory")
    if isinstance(recalled, MemoryRecalled):
        parts += [f"<{name}>\n{content}\n</{name}>" for name, content in recalled.blocks.items()]
        if recalled.facts:
            parts.append("Known facts:\n" + "\n".join(f"- {fact}" for fact in recalled.facts))
        if recalled.episodes:
            parts.append("Earlier conversations:\n" + "\n".join(f"- {episode}" for episode in recalled.episodes))
    if not answer:
        return parts
    if state.plan is not None and state.plan.opened is not None:
        parts.append(section(state.plan.opened))
    if started.output is not None and not started.output.native:
        parts.append(directive(started.output))
    if started.tone:
        parts.append(tone_directive(started.tone))
    return parts
