"""What a model of a fork is told from the cut on: other instructions, and what the user said further.

The strategy goes through the shared steps with the words that they were recorded with, so their digests hold, and does
not know that it is a fork. What is told otherwise is put in on the way to the model, where all that it is made of is
recorded in the run's beginning: whoever goes on with the fork sends the same.
"""

from collections.abc import Sequence

from msgspec import structs

from ..events.message import Message
from ..events.model_step import ModelCompleted
from ..events.run import Run


def told(messages: Sequence[Message], state: Run) -> Sequence[Message]:
    """`messages`, as a model is sent them that is asked after the cut."""
    started = state.started
    terms = started.fork if started is not None else None
    if started is None or terms is None:
        return messages
    if terms.instructions is not None:
        messages = _instructed(messages, started.instructions, terms.instructions)
    shared = [step.outcome.reply.message for step in state.models.values() if isinstance(step.outcome, ModelCompleted)]
    places = [_cut_in(messages, shared[: said.answers]) for said in terms.said]
    # The last one first, so that the places before it stay what they are.
    for at, said in reversed(list(zip(places, terms.said, strict=True))):
        messages = [*messages[:at], Message("user", said.text), *messages[at:]]
    return messages


def said_further(question: str, call_id: str, state: Run) -> str:
    """The question to an agent, with what the user said at the cuts that it is asked after."""
    started, known = state.started, state.children.get(call_id)
    terms = started.fork if started is not None else None
    if terms is None:
        return question
    place = list(state.children).index(call_id) if known is not None else len(state.children)
    return "\n\n".join([question, *(said.text for said in terms.said if place >= said.asked)])


def _instructed(messages: Sequence[Message], before: str, now: str) -> Sequence[Message]:
    """With `now` where `before` stands. Who is not told the agent's instructions is not told these."""
    if not before:
        return [Message("system", now), *messages]
    first, *rest = messages
    if first.role != "system" or not first.content.startswith(before):
        return messages
    return [structs.replace(first, content=now + first.content.removeprefix(before)), *rest]


def _cut_in(messages: Sequence[Message], shared: Sequence[Message]) -> int:
    """Where a cut is: behind the last answer that is shared, and what its calls came to; else behind everything."""
    at, left = 0, list(shared)
    for index, message in enumerate(messages):
        if message in left:
            # In their order, so an answer that is given a second time after the cut is not taken for the first.
            at, left = index + 1, left[left.index(message) + 1 :]
    if not at:
        return len(messages)
    while at < len(messages) and messages[at].role == "tool":
        at += 1
    return at
