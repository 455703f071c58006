"""Claude, and whatever else speaks Anthropic's Messages API, by Anthropic's own SDK."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ....actors.model import ModelChunk, collect
from ....events.message import Message, ModelReply, ToolSpec
from ..extras import Package
from ..hosted import SdkModel, call_headers
from ..prices import Price
from ..secrets import Secrets
from .errors import translated
from .reading import Reading
from .request import Head, Request, head_of, request_of

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncStream
    from anthropic.types import RawMessageStreamEvent

_CONNECT_S = 10.0


class AnthropicModel(SdkModel["AsyncAnthropic"]):
    """A model behind Anthropic's Messages API.

    Retries are the run's (`RetryPolicy`), each one recorded; the SDK makes none. `HostedModel` has the other arguments.

    Args:
        max_tokens: The longest answer, where neither the call nor `options` say; thinking has its own room on top.
    """

    provider: ClassVar[str] = "anthropic"
    package: ClassVar[Package | None] = Package("anthropic")
    KEYS: ClassVar[tuple[str, ...]] = ("ANTHROPIC_API_KEY",)
    ADDRESS_KEY: ClassVar[str] = "ANTHROPIC_BASE_URL"

    def __init__(
        self,
        name: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        secrets: Secrets | None = None,
        price: Price | None = None,
        request_timeout_s: float = 120.0,
        client: "AsyncAnthropic | None" = None,
        options: Mapping[str, Any] | None = None,
        max_tokens: int = 4096,
    ) -> None:
        super().__init__(
            name,
            api_key=api_key,
            base_url=base_url,
            secrets=secrets,
            price=price,
            request_timeout_s=request_timeout_s,
            client=client,
            options=options,
        )
        self.max_tokens = max_tokens
        self._heads: dict[bool, tuple[Sequence[ToolSpec], Mapping[str, Any], Head]] = {}

    def longest_answer(self, options: Mapping[str, Any]) -> int | None:
        # What is refused for its effort is refused by the call, where that is recorded.
        return self._head((), {**options, "strict_effort": False}).longest_answer

    async def complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        """The whole answer."""
        await self.prepare()
        request = self._request(messages, tools, options)
        reading = self._reading(request, messages, tools)
        if request.takes_s > self.request_timeout_s:
            # In one piece, it might not have begun to come when the time without a byte is over.
            return await collect(self._stream(request, reading), self.name)
        with translated(reading):
            return reading.whole(await self._send(**request.body))

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        """The answer while it is made."""
        await self.prepare()
        request = self._request(messages, tools, options)
        async for chunk in self._stream(request, self._reading(request, messages, tools)):
            yield chunk

    async def _stream(self, request: Request, reading: Reading) -> AsyncIterator[ModelChunk]:
        with translated(reading):
            events: AsyncStream[RawMessageStreamEvent] = await self._send(**request.body, stream=True)
            reading.request_id = events.response.headers.get("request-id", "")
            async with events:  # which closes the connection, however this ends
                async for event in events:
                    if (chunk := reading.event(event)) is not None:
                        yield chunk
        for chunk in reading.finish():
            yield chunk

    async def _send(self, **body: Any) -> Any:
        create = cast("Callable[..., Awaitable[Any]]", self.client.messages.create)
        return await create(**body, extra_headers=call_headers())

    def _request(self, messages: Sequence[Message], tools: Sequence[ToolSpec], options: Mapping[str, Any]) -> Request:
        return request_of(self._head(tools, options), messages)

    def _head(self, tools: Sequence[ToolSpec], options: Mapping[str, Any]) -> Head:
        """A run asks with one and the same tuple of tools in each turn, and with the same options: said once."""
        given = {**self.options, **options} if self.options else options
        last = self._heads.get(bool(tools))
        if last is not None and last[0] is tools and isinstance(tools, tuple) and last[1] == given:
            return last[2]
        head = head_of(self._name, tools, given, max_tokens=self.max_tokens)
        self._heads[bool(tools)] = tools, given, head
        return head

    def _reading(self, request: Request, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reading:
        return Reading(self._name, self.priced, self.guess_for(messages, tools), by_tool=request.by_tool)

    def _connect(self) -> "AsyncAnthropic":
        from anthropic import AsyncAnthropic, Timeout

        timeout = Timeout(self.request_timeout_s, connect=min(_CONNECT_S, self.request_timeout_s))
        return AsyncAnthropic(api_key=self.key, base_url=self.base_url, timeout=timeout, max_retries=0)
