"""OpenAI's models by its own SDK; and any other server that speaks one of its protocols, by `base_url`."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from msgspec import structs

from ....actors.model import ModelChunk
from ....actors.model_errors import BadReply, ModelError
from ....events.errors import ConfigError
from ....events.message import Message, ModelReply, ToolSpec
from ..extras import Package
from ..hosted import SdkModel, call_headers
from ..prices import Price
from ..secrets import Secrets
from .chat import Chat
from .dialect import Dialect, MaxTokensField, Summary, is_own
from .effort import efforts_of
from .errors import translated
from .responses import Responses

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_SHAPES = (AttributeError, TypeError, LookupError, ValueError)
"""What reading an answer raises that has other shapes than the protocol's; the SDK lets them pass."""


class OpenAIModel(SdkModel["AsyncOpenAI"]):
    """A model of OpenAI, or of a server that speaks its protocols.

    Args:
        api: `chat` for chat completions, which many servers speak; `responses` for OpenAI's own newer API, where a
            model that thinks keeps its thoughts from call to call.
        organization, project: Whose account it is; the SDK looks into the environment.
        efforts: That the model takes; else by its name.
        max_tokens_field: What the chat API calls the longest answer: `max_completion_tokens` at OpenAI and Azure,
            `max_tokens` elsewhere.
        stream_usage: Ask for the usage of streamed answers; a server that does not know `stream_options` wants False,
            and tells nothing of it.
        reasoning_summary: Have the responses API tell what the model thought, which not every account may.

    The others are those of `HostedModel`. Retries are the agent's (`RetryPolicy`), and never the SDK's.
    """

    provider: ClassVar[str] = "openai"
    package: ClassVar[Package | None] = Package("openai", "openai.resources.chat", "openai.resources.responses")
    KEYS: ClassVar[tuple[str, ...]] = ("OPENAI_API_KEY",)
    ADDRESS_KEY: ClassVar[str] = "OPENAI_BASE_URL"

    def __init__(
        self,
        name: str,
        *,
        api: Literal["chat", "responses"] = "chat",
        api_key: str | None = None,
        base_url: str | None = None,
        secrets: Secrets | None = None,
        price: Price | None = None,
        request_timeout_s: float = 120.0,
        client: "AsyncOpenAI | None" = None,
        options: Mapping[str, Any] | None = None,
        organization: str | None = None,
        project: str | None = None,
        efforts: Sequence[str] | None = None,
        max_tokens_field: MaxTokensField | None = None,
        stream_usage: bool = True,
        reasoning_summary: Summary | None = None,
    ) -> None:
        if api not in ("chat", "responses"):
            raise ConfigError(f"OpenAIModel(api={api!r}); there are: chat, responses")
        super().__init__(
            name,
            api_key=api_key,
            base_url=base_url,
            secrets=secrets,
            price=price,
            request_timeout_s=request_timeout_s,
            client=None if client is None else client.with_options(max_retries=0),
            options=options,
        )
        self._organization = organization
        self._project = project
        where = str(client.base_url) if client is not None else base_url or os.environ.get(self.ADDRESS_KEY)
        own = not where or is_own(where)
        dialect = Dialect(
            model=name,
            efforts=tuple(efforts) if efforts is not None else efforts_of(name),
            max_tokens_field=max_tokens_field or ("max_completion_tokens" if own else "max_tokens"),
            stream_usage=stream_usage,
            reasoning_summary=reasoning_summary,
        )
        self._api = (Chat if api == "chat" else Responses)(dialect, self.provider)

    async def complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        """One answer, in one piece."""
        await self.prepare()
        with _Call(self) as call:
            fields = self._api.fields(messages, tools, self.options | options, stream=False)
            answer = await self._api.ask(self.client, fields | {"extra_headers": call_headers()})
            call.request_id = getattr(answer, "_request_id", None) or ""
            try:
                reply = self._api.reply(answer)
            except _SHAPES as exc:
                raise _misshapen(self.name, answer) from exc
        usage = self.guess_for(messages, tools)(reply) if reply.estimated else self.priced(reply.usage)
        return structs.replace(reply, usage=usage, request_id=call.request_id)

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        """One answer, while it is made. The connection is closed when the caller goes away."""
        await self.prepare()
        with _Call(self) as call:
            fields = self._api.fields(messages, tools, self.options | options, stream=True)
            answer = await self._api.ask(self.client, fields | {"extra_headers": call_headers()})
            call.request_id = answer.response.headers.get("x-request-id", "")
            reader = self._api.reader()
            event: Any = None
            said: list[str] = []
            try:
                async for event in answer:
                    try:
                        chunks = reader.read(event)
                    except _SHAPES as exc:
                        raise _misshapen(self.name, event) from exc
                    for chunk in chunks:
                        said.append(chunk.text)
                        yield chunk
            finally:
                await answer.close()
            if event is None:
                kind = answer.response.headers.get("content-type", "no content type")
                raise BadReply(f"{self.name!r} answered with no stream of events ({kind})", may_be_charged=True)
            try:
                reply = reader.whole()
            except _SHAPES as exc:
                raise _misshapen(self.name, event) from exc
        if reply.estimated:  # from all that was said, thinking included
            usage = self.guess_for(messages, tools)(structs.replace(reply, text="".join(said), thinking=""))
        else:
            usage = self.priced(reply.usage)
        for tool_call in reply.tool_calls:
            yield ModelChunk("tool_call", tool_call=tool_call)
        yield ModelChunk(
            "finish",
            finish_reason=reply.finish_reason,
            usage=usage,
            carried=reply.carried,
            model=reply.model,
            request_id=call.request_id,
            estimated=reply.estimated,
        )

    def _connect(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            api_key=self.key,
            base_url=self.base_url,
            organization=self._organization,
            project=self._project,
            timeout=self.request_timeout_s,
            max_retries=0,
        )


class _Call:
    """One call: what is raised in it becomes an error of the taxonomy that says whose it is.

    Attributes:
        request_id: The provider's, as soon as it is known.
    """

    def __init__(self, model: OpenAIModel) -> None:
        self._model = model
        self.request_id = ""

    def __enter__(self) -> "_Call":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(exc, Exception):
            return
        model = self._model
        error = exc if isinstance(exc, ModelError) else translated(exc, model.provider, model.name)
        if error is None:
            return
        error.provider = error.provider or model.provider
        error.request_id = error.request_id or self.request_id
        if error.usage is not None:
            error.usage = model.priced(error.usage)
        if error is not exc:
            raise error from exc


def _misshapen(model: str, answer: object) -> BadReply:
    return BadReply(f"{model!r} answered what its protocol does not know: {str(answer)[:200]}", may_be_charged=True)
