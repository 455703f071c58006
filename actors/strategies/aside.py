"""What is said beside the conversation: to a critic, a planner, a judge. They answer in text and call no tools."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from ...events.errors import ConfigError
from ...events.message import Message
from ..model import Model
from ..steps import Steps

AskedModel: TypeAlias = Model | str | None
"""Who is asked: a model, or the name of one; None for the agent's own."""

NOTHING = "(nothing)"
"""Stands for an answer without words, which providers refuse."""


def said(*turns: str) -> list[Message]:
    """An answer, what is said to it, the next answer, and so on."""
    return [Message("user" if number % 2 else "assistant", text or NOTHING) for number, text in enumerate(turns)]


async def aside(steps: Steps, role: str, *turns: str, model: AskedModel = None, whole: bool = False) -> str:
    """What a model says to the conversation and to `turns` after it, in a role that it is told beside its instructions.

    Args:
        whole: Whether a reply that was cut off ends the run, since nothing can be made of it.
    """
    messages = [*steps.messages(note=role, answer=False), *said(*turns)]
    return (await steps.model(messages, tools=False, whole=whole, model=model)).text


async def answer_to(steps: Steps, role: str, *turns: str, model: AskedModel = None) -> str:
    """The same for what may be the run's answer: in the form and the tone that were asked for."""
    messages = [*steps.messages(note=role), *said(*turns)]
    return (await steps.model(messages, tools=False, answer=True, model=model)).text


def numbered(items: Sequence[str]) -> str:
    """A numbered list."""
    return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))


def check_model(what: str, given: Any) -> AskedModel:
    """`given`, which is asked in the place of the agent's own model.

    Raises:
        ConfigError: It is neither a model nor the name of one.
    """
    if given is None or isinstance(given, str | Model):
        return given
    raise ConfigError(f"{what}={given!r} is no model; it takes a name, or an object with the methods of treadle.Model")
