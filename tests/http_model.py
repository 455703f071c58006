"""A hosted model with nothing but the standard library: a cassette has to make its key and server needless."""

import asyncio
import http.client
import json
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from treadle import ConnectionFailed, Message, ModelChunk, ModelReply, RateLimitError, ToolCall, ToolSpec, Usage
from treadle.gateways.models.hosted import HostedModel


class HttpModel(HostedModel[str]):
    """Chat completions over plain HTTP. Its client is the key, which it wants before it connects."""

    provider: ClassVar[str] = "http"
    KEYS: ClassVar[tuple[str, ...]] = ("HTTP_MODEL_KEY",)

    def _connect(self) -> str:
        return self.key

    async def _disconnect(self, client: str) -> None:
        return None

    async def complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        return await asyncio.to_thread(self._ask, messages, self.client)

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        reply = await self.complete(messages, tools=tools, **options)
        yield ModelChunk("text", reply.text)
        for call in reply.tool_calls:
            yield ModelChunk("tool_call", tool_call=call)
        yield ModelChunk("finish", finish_reason=reply.finish_reason, usage=reply.usage, request_id=reply.request_id)

    def _ask(self, messages: Sequence[Message], key: str) -> ModelReply:
        where = urlsplit(self.base_url or os.environ.get("HTTP_MODEL_URL", ""))
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
        body = {"model": self.name, "messages": [_plain(message) for message in messages]}
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", f"{where.path}/chat/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            said = json.load(answer)
        except OSError as exc:
            raise ConnectionFailed(f"no connection to {where.netloc}: {exc}", provider="http") from exc
        finally:
            connection.close()
        if answer.status == 429:
            raise RateLimitError("too many calls", provider="http", status=429)
        [choice] = said["choices"]
        calls = tuple(
            ToolCall(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in choice["message"].get("tool_calls") or ()
        )
        usage = Usage(said["usage"]["prompt_tokens"], said["usage"]["completion_tokens"])
        return ModelReply(
            choice["message"].get("content") or "", calls, usage, choice["finish_reason"], request_id=said["id"]
        )


def _plain(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        plain["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": json.dumps(call.args)}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        plain["tool_call_id"] = message.tool_call_id
    return plain
