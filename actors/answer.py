"""The end of a run whose answer has to fit: what the strategy returned is validated, and corrected by further turns.

A correction is a model call like any other: a recorded step, charged, counted as a turn. What did not fit is recorded
before it, so that a resumed run says the same to the model whatever its validators say by then.
"""

from functools import partial

from ..events.message import Message, OutputFormat
from .model_errors import OutputValidationError
from .output import DoesNotFit, Output, correction
from .steps import Steps

REJECTED = "answer rejected"
"""The name of the recorded value that says why an answer did not fit."""


async def fitting(answer: str, steps: Steps, output: Output, asked: OutputFormat) -> str:
    """`answer` if it fits, else the first correction that does.

    Raises:
        OutputValidationError: None does.
        Interrupted: A limit is reached: turns, budget, length.
    """
    conversation: list[Message] = []
    for left in range(asked.retries, -1, -1):
        try:
            output.parse(answer)
        except DoesNotFit as exc:
            if not left:
                tried = f", and {asked.retries} corrected before" if asked.retries else ""
                why = f"the answer does not fit {asked.name!r}{tried}: {exc}"
                raise OutputValidationError(why, raw=answer, schema=asked.schema, cause=str(exc)) from exc
            why = str(exc)
        else:
            break
        why = await steps.value(REJECTED, partial(str, why))
        conversation = conversation or leading_to(answer, steps)
        conversation.append(Message("user", correction(why, asked)))
        reply = await steps.model(conversation, tools=False, answer=True)
        answer = reply.text
        conversation.append(reply.message)
    return answer


def leading_to(answer: str, steps: Steps) -> list[Message]:
    """The conversation that `answer` ends: the last one, when its reply is the answer; else the run's own beginning."""
    last = steps.last
    if last is not None and last.reply.text == answer and not last.reply.tool_calls:
        return [*last.messages, last.reply.message]
    return [*steps.messages(), Message("assistant", answer)]
