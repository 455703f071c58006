"""What answers in the place of a model while a cassette plays or records."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from ...actors.foreign import called
from ...actors.model import Model, ModelChunk, collect, text_of
from ...events.message import Message, ModelReply, ToolSpec
from .entry import Failure

if TYPE_CHECKING:
    from .cassette import Cassette


class CassetteModel:
    """Answers from a cassette; asks the real model for what is to be recorded. Everything else is the real one's."""

    def __init__(self, cassette: "Cassette", real: Model) -> None:
        self._cassette = cassette
        self._real = real

    def __repr__(self) -> str:
        return f"CassetteModel({self._cassette.path}, {self._real!r})"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    @property
    def name(self) -> str:
        return self._real.name

    @property
    def billed(self) -> bool:
        return self._cassette.records and getattr(self._real, "billed", False)

    @property
    def native_output(self) -> bool:
        """Out of a journal, calls are found by what the strategy asked for, whoever is told the schema how."""
        return not self._cassette.filed or getattr(self._real, "native_output", False)

    @property
    def endpoint(self) -> str:
        """Its own: failures that are played are no news of the real one."""
        return f"{self._cassette.path}:{getattr(self._real, 'endpoint', self.name)}"

    async def complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        played = self._cassette.play(self.name, messages)
        if played is not None:
            return played.reply()
        complete = getattr(self._real, "complete", None)
        try:
            if complete is not None:
                reply = text_of(await called(complete, messages, tools=tools, **options), self.name)
            else:
                reply = await collect(self._real.stream(messages, tools=tools, **options), self.name)
        except Exception as exc:
            self._cassette.record(self.name, messages, Failure.of(exc))
            raise
        self._cassette.record(self.name, messages, reply)
        return reply

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        played = self._cassette.play(self.name, messages)
        if played is not None:
            for chunk in played.chunks():
                yield chunk
            return
        heard: list[ModelChunk] = []
        try:
            async for chunk in self._real.stream(messages, tools=tools, **options):
                heard.append(chunk)
                yield chunk
            reply = await collect(_again(heard), self.name)
        except Exception as exc:
            said = "".join(chunk.text for chunk in heard if chunk.kind == "text")
            self._cassette.record(self.name, messages, Failure.of(exc, said))
            raise
        self._cassette.record(self.name, messages, reply)


async def _again(chunks: Sequence[ModelChunk]) -> AsyncIterator[ModelChunk]:
    for chunk in chunks:
        yield chunk
