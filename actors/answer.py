"""The end of a run: what its strategy returned, when it has to fit, and when the run was told more meanwhile.

An answer that has to fit is validated, and corrected by further turns. One that was given before the run was told
something goes on from there: a steering that came in time is never without an answer.

A correction is a model call like any other: a recorded step, charged, counted as a turn. What did not fit is recorded
before it, so that a resumed run says the same to the model whatever its validators say by then.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from ..events.message import Message, OutputFormat
from .model_errors import OutputValidationError
from .output import DoesNotFit, Output, correction
from .steps import Steps
from .strategies.react import react

if TYPE_CHECKING:
    from .children import Asked
    from .strategies.architecture import Architecture

REJECTED = "answer rejected"
"""The name of the recorded value that says why an answer did not fit."""


class GoingOn:
    """In the place of an architecture whose answer was given before the run was told more: goes on from that answer.

    It does so as the last call was made, with its tools. What a gate has to say to it is for the architecture again.
    """

    def __init__(self, answer: str, steps: Steps, architecture: "Architecture") -> None:
        self._answer = answer
        self._steps = steps
        self._architecture = architecture
        self.name = architecture.name

    def declared_workers(self) -> "Mapping[str, Asked]":
        return self._architecture.declared_workers()

    async def run(self, steps: Steps) -> str:
        if steps is not self._steps:
            return await self._architecture.run(steps)
        last = steps.last
        tools = last.tools if last is not None else False
        return await react(steps, tools=tools, conversation=leading_to(self._answer, steps))


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
