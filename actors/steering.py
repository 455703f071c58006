"""What a run was told while it went on, as its models see it: user messages, each once, at a place that stays."""

from collections.abc import Sequence

from ..events.message import Message
from ..events.steering import RunSteered


class Told(Message, frozen=True):
    """A message that the run was steered by.

    Attributes:
        number: Which of the run's steerings, from 1 on: so it is known where it stands already.
    """

    number: int = 0


class CutShort(Exception):
    """The model call was cut short, for the run was told something; it is made anew with that."""


def put_in(messages: list[Message], steerings: Sequence[RunSteered], question: str) -> None:
    """Put into `messages` what is missing of `steerings`.

    It stands at the end: after the question, or what the tools said last. Only what a strategy itself asks for in the
    end, as a planner is asked for the next step, stays there, for that is what is to be answered.

    Args:
        question: What the run was asked.
    """
    there = {message.number for message in messages if isinstance(message, Told)}
    missing = [Told("user", each.text, number=n) for n, each in enumerate(steerings, 1) if n not in there]
    last = messages[-1] if messages else None
    asks = last is not None and last.role == "user" and not isinstance(last, Told) and last.content != question
    at = len(messages) - asks
    messages[at:at] = missing


def with_steerings(prompt: str, steerings: Sequence[RunSteered]) -> str:
    """A question to another agent, with what the run was told."""
    return "\n\n".join([prompt, *(each.text for each in steerings)])
