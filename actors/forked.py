"""What a model of a fork is told from the cut on: other instructions.

The strategy goes through the shared steps with the words that they were recorded with, so their digests hold, and does
not know that it is a fork. What is told otherwise is put in on the way to the model, where all that it is made of is
recorded in the run's beginning: whoever goes on with the fork sends the same.
"""

from collections.abc import Sequence

from msgspec import structs

from ..events.message import Message
from ..events.run import Run


def told(messages: Sequence[Message], state: Run) -> Sequence[Message]:
    """`messages`, as a model is sent them that is asked after the cut."""
    started = state.started
    terms = started.fork if started is not None else None
    if started is None or terms is None or terms.instructions is None:
        return messages
    before, now = started.instructions, terms.instructions
    if not before:
        return [Message("system", now), *messages]
    first, *rest = messages
    if first.role != "system" or not first.content.startswith(before):
        return messages  # who is not told the agent's instructions is not told these
    return [structs.replace(first, content=now + first.content.removeprefix(before)), *rest]
