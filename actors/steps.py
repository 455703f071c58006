"""Recorded steps: all that a strategy may do to the world, and the reason why a run survives a crash.

A strategy is code that runs from the top every time. What it asks for here is answered from the journal when it has
been answered before, and done and recorded when not. A step's name is its place in the strategy, so a strategy must
ask in the same order given the same answers; if it does not, `ReplayDivergence` names the step.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..events.errors import ReplayDivergence
from ..events.message import Message, ModelReply, ToolCall
from ..events.run import ValueRecorded
from ..events.tool_step import Outcome, ToolCompleted, ToolFailed, ToolOutcomeUnknown
from .json_form import recordable
from .model_charges import Interrupted
from .tool import as_text

if TYPE_CHECKING:
    from .run import RunActivation

_encode = msgspec.json.Encoder().encode


class ToolResult(msgspec.Struct, frozen=True, gc=False):
    """A call and what came of it.

    Attributes:
        ok: The tool says it did it.
        output: Its result as JSON types, or None.
        text: What the model is told.
        unknown: Nobody knows whether the tool did it.
    """

    call: ToolCall
    ok: bool
    output: Any
    text: str
    unknown: bool = False
    ends_turn: bool = False

    @property
    def message(self) -> Message:
        return Message("tool", self.text, tool_call_id=self.call.id, name=self.call.tool)


def digest_of(messages: Sequence[Message]) -> str:
    """Names what a model is sent, for telling whether a replay sends the same."""
    return hashlib.sha256(_encode(messages)).hexdigest()[:16]


def result_of_call(call: ToolCall, outcome: Outcome, *, ends_turn: bool = False) -> ToolResult:
    """What a strategy, and with it the model, is told of a call."""
    match outcome:
        case ToolCompleted():
            return ToolResult(call, True, outcome.output, as_text(outcome.output), ends_turn=ends_turn)
        case ToolFailed(kind="denied"):
            return ToolResult(call, False, None, f"DENIED: {outcome.error}")
        case ToolFailed():
            return ToolResult(call, False, None, f"ERROR: {outcome.error}")
        case ToolOutcomeUnknown():
            text = f"UNKNOWN OUTCOME: {outcome.reason}. Do not assume that it happened, or that it did not."
            return ToolResult(call, False, None, text, unknown=True)


class Exchange(NamedTuple):
    """A model call and its answer."""

    messages: Sequence[Message]
    reply: ModelReply


class Steps:
    """The recorded steps of one run.

    Attributes:
        last: The last model call.
    """

    def __init__(self, run: "RunActivation") -> None:
        self.last: Exchange | None = None
        self._run = run
        self._next = 0

    def _step(self) -> str:
        self._next += 1
        return str(self._next)

    @property
    def prompt(self) -> str:
        """What the run was asked."""
        return self._run.started.prompt

    def messages(self) -> list[Message]:
        """What every strategy begins with: instructions and memory, the conversation so far, the prompt."""
        return self._run.opening_messages()

    async def model(
        self, messages: Sequence[Message], *, tools: bool = True, answer: bool = False, whole: bool = True
    ) -> ModelReply:
        """One model call.

        Args:
            answer: Its text may become the run's answer: a model that knows how is held to `output_schema=`.
            whole: A reply that was cut off at the most tokens it may have ends the run, with what there is of it, and
                none of its tools are called. False: it is returned, with the `finish_reason` `length`.
        Raises:
            ModelError: The model did not answer; recorded.
            Interrupted: A limit is reached: turns, budget, tokens.
        """
        step = self._step()
        if self._run.moving:
            await self._run.leave()
        with self._run.step:
            reply = await self._run.models.call(step, messages, tools=tools, answer=answer)
        if whole and reply.finish_reason == "length":
            raise Interrupted("max_tokens", "the model's answer was cut off at the most tokens that it may have")
        self.last = Exchange(tuple(messages), reply)
        return reply

    async def tools(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """The tool calls of one turn: together, destructive ones after the others and one by one.

        Results come in the order of the calls. A tool that fails is a result, not an error.
        """
        step = self._step()
        calls = [self._run.tools.masked(step, slot, call) for slot, call in enumerate(calls)]
        if self._run.moving:
            await self._run.leave()
        with self._run.step:
            outcomes = await self._run.tools.call(step, calls)
        ending = {name for name, tool in self._run.spec.tools.items() if tool.spec.ends_turn}
        return [
            result_of_call(call, outcome, ends_turn=call.tool in ending)
            for call, outcome in zip(calls, outcomes, strict=True)
        ]

    async def value(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` returned the first time: for times, ids and choices that a replay could not make again."""
        step = self._step()
        known = self._run.state.values.get(step)
        if known is None:
            if step in self._run.state.models:
                raise ReplayDivergence(self._run.run_id, step, "a model call", f"the value {name!r}")
            self._run.record([ValueRecorded(step=step, name=name, value=recordable(make()))])
            known = self._run.state.values[step]
        if not isinstance(known, ValueRecorded) or known.name != name:
            raise ReplayDivergence(self._run.run_id, step, repr(known), f"the value {name!r}")
        return known.value

    async def now(self) -> datetime:
        """The time, the same in a replay."""
        text = await self.value("now", lambda: self._run.services.clock.now().isoformat())
        return datetime.fromisoformat(text)

    async def new_id(self) -> str:
        """A unique id, the same in a replay."""
        made: str = await self.value("id", self._run.services.clock.new_id)
        return made
