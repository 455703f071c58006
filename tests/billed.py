"""A provider's model for tests: a `HostedModel` that answers what it is told to, and can fail first."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from treadle import Message, ModelChunk, ToolSpec, Usage
from treadle.gateways.models.hosted import HostedModel


class Billed(HostedModel[list[str]]):
    """Each call takes the next of `answers`: a text, or an error, which is raised; after the last one, that again.

    Attributes:
        asked: The messages of each call.
        closed: How often a client of it was closed.
    """

    provider = "acme"
    KEYS = ("ACME_API_KEY",)

    def __init__(self, name: str = "acme-1", *answers: str | BaseException, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._answers = list(answers) or ["done"]
        self.asked: list[Sequence[Message]] = []
        self.closed = 0

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self.asked.append(messages)
        self.client.append(self.name)
        if isinstance(answer, BaseException):
            raise answer
        yield ModelChunk("text", answer)
        yield ModelChunk("finish", finish_reason="stop", usage=self.priced(Usage(10, 5)), model=self.name)

    def _connect(self) -> list[str]:
        return []

    async def _disconnect(self, client: list[str]) -> None:
        self.closed += 1

    def _renew_key(self, client: list[str]) -> None:
        assert self.key  # looked for with each call; this client sends it to nobody
