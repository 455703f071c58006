"""Models that say what they are told to: for tests, demonstrations and rule-based agents."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct

from ...actors.model import ModelChunk, text_of
from ...events.errors import ConfigError
from ...events.message import Message, ModelReply, ToolCall, ToolSpec, Usage


class ScriptedTurn(Struct, frozen=True):
    """One answer. A tool call without an id gets one."""

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    usage: Usage = Usage()


class FunctionModel:
    """Answers with what a function says: `answer(messages, tools)` returns a `ModelReply` or a text.

    A function of its arguments alone gives the same answer after a crash; a run needs no more.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Message], Sequence[ToolSpec]], "ModelReply | str | Awaitable[ModelReply | str]"],
        name: str = "function",
    ) -> None:
        self._answer = answer
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    async def complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        answer = self._answer(messages, tools)
        if inspect.isawaitable(answer):
            answer = await answer
        return ModelReply(answer) if isinstance(answer, str) else answer

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        reply = text_of(await self.complete(messages, tools=tools, **options), self.name)
        for index, word in enumerate(reply.text.split(" ") if reply.text else []):
            yield ModelChunk("text", word if index == 0 else f" {word}")
        for call in reply.tool_calls:
            yield ModelChunk("tool_call", tool_call=call)
        yield ModelChunk("finish", finish_reason=reply.finish_reason, usage=reply.usage)


class ScriptedModel(FunctionModel):
    """Answers with one turn after the other, in the order of the calls; after the last with nothing.

    The place in the script is this object's, so it is the same again only in the same process: a program that is to
    be killed and resumed wants a `FunctionModel`.
    """

    def __init__(self, turns: Sequence[ScriptedTurn], name: str = "scripted") -> None:
        if not all(isinstance(turn, ScriptedTurn) for turn in turns):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError("ScriptedModel takes a list of ScriptedTurn")
        super().__init__(self._turn, name)
        self._turns = list(turns)
        self._next = 0

    @property
    def remaining(self) -> int:
        """How many turns are left."""
        return max(len(self._turns) - self._next, 0)

    def _turn(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        index, self._next = self._next, self._next + 1
        if index >= len(self._turns):
            return ModelReply()
        turn = self._turns[index]
        calls = tuple(
            ToolCall(call.id or f"call_{index}_{slot}", call.tool, call.args)
            for slot, call in enumerate(turn.tool_calls)
        )
        return ModelReply(turn.text, calls, turn.usage, "tool_calls" if calls else "stop")
