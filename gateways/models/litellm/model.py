"""Any model that LiteLLM has: about a hundred providers behind one call."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

from ....actors.context import current_model_call
from ....actors.model import ModelChunk
from ....actors.model_errors import InvalidRequestError
from ....events.message import Message, ModelReply, ToolSpec
from ....events.model_step import attempt_id
from ....events.redaction import learn_secret
from ....events.secret_names import is_secret_member
from ..extras import Package
from ..hosted import HostedModel
from ..prices import Price
from ..secrets import EnvSecrets, Secrets, sendable
from .errors import translated
from .keys import key_names, provider_of, secret_names
from .library import PACKAGE, load
from .messages import conversation, tools_of
from .reading import Reading
from .table import entry_of, listed_price

_SAME = ("temperature", "top_p", "max_tokens", "seed", "parallel_tool_calls")
_OURS = frozenset(
    {*_SAME, "stop", "effort", "strict_effort", "tool_choice", "prompt_caching", "extra", "output_schema"}
)


class LiteLLMModel(HostedModel[Any]):
    """A model by LiteLLM's name for it: `mistral/mistral-large-latest`.

    LiteLLM says a request in its provider's own words, and leaves out what the provider has none for. Retries are the
    run's (`RetryPolicy`). Without `price` it costs what the table of Treadle says, or else LiteLLM's.

    Args:
        model: The provider stands before the slash.
        api_key: Else `secrets` are asked for the provider's name for it (`MISTRAL_API_KEY`); else LiteLLM looks into
            the environment.
        litellm_kwargs: Passed to `litellm.acompletion` with every call.
    """

    provider: ClassVar[str] = "litellm"
    package: ClassVar[Package | None] = PACKAGE
    KEYS: ClassVar[tuple[str, ...]] = ()
    _users: ClassVar[Counter[asyncio.AbstractEventLoop]] = Counter()

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        secrets: Secrets | None = None,
        price: Price | None = None,
        request_timeout_s: float = 120.0,
        options: Mapping[str, Any] | None = None,
        **litellm_kwargs: Any,
    ) -> None:
        super().__init__(
            model,
            api_key=api_key,
            base_url=base_url,
            secrets=secrets,
            price=price,
            request_timeout_s=request_timeout_s,
            options=options,
        )
        self.litellm_kwargs = litellm_kwargs
        for name, value in litellm_kwargs.items():
            if isinstance(value, str) and is_secret_member(name, value):
                learn_secret(value)
        self._learn()  # and at each call, for what was set since
        self.native_output = bool(entry_of(model).get("supports_response_schema"))

    @property
    def price(self) -> Price | None:
        """What it costs; None when nobody knows."""
        return super().price or listed_price(self._name)

    async def complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        """The whole answer."""
        await self.prepare()
        reading = Reading(self._name, provider_of(self._name), self.priced, self.guess_for(messages, tools))
        with translated(reading):
            request = reading.native.asked_for(self._request(messages, tools, options))
            return reading.whole(await self.client.acompletion(**request))

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        """The answer while it is made."""
        await self.prepare()
        reading = Reading(self._name, provider_of(self._name), self.priced, self.guess_for(messages, tools))
        request = self._request(messages, tools, options)
        with translated(reading):
            chunks = await self.client.acompletion(**request, stream=True, stream_options={"include_usage": True})
            reading.native.watch(chunks.completion_stream)
            try:
                async for chunk in chunks:
                    for piece in reading.chunk(chunk):
                        yield piece
            finally:
                await chunks.aclose()
        for piece in reading.finish(chunks.received_finish_reason or chunks.intermittent_finish_reason):
            yield piece

    def _request(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The arguments of `acompletion`."""
        given = {name: value for name, value in {**self.options, **options}.items() if value is not None}
        thinks = "effort" in given and self._thinks()
        if "effort" in given and not thinks and given.get("strict_effort"):
            raise InvalidRequestError(
                f"model {self._name!r} has no word for effort={given['effort']!r} (strict_effort)", provider="litellm"
            )
        request: dict[str, Any] = {
            "model": self._name,
            "messages": conversation(messages, provider_of(self._name)),
            "timeout": self.request_timeout_s,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": True,
            **{name: given[name] for name in _SAME if name in given},
        }
        if self.base_url is not None:
            request["api_base"] = self.base_url
        if (key := self._found_key()) is not None:
            request["api_key"] = key
        if tools:
            request["tools"] = tools_of(tools)
            # Else LiteLLM looks for MCP servers among the tools, with a package that it does not install.
            request["_skip_mcp_handler"] = True
            if "tool_choice" in given:
                request["tool_choice"] = _choice(given["tool_choice"])
        else:
            request.pop("parallel_tool_calls", None)
        if given.get("stop"):
            request["stop"] = list(given["stop"])
        if thinks:
            request["reasoning_effort"] = given["effort"]
        if given.get("prompt_caching"):
            places = ({"role": "system"}, {"index": -1})
            request["cache_control_injection_points"] = [{"location": "message", **place} for place in places]
        if (output := given.get("output_schema")) is not None:
            form = {"name": output.name, "schema": output.schema}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        if (call := current_model_call()) is not None:
            request["litellm_call_id"] = attempt_id(call.call_id, call.attempt)
        others = {name: value for name, value in given.items() if name not in _OURS}
        return {**request, **self.litellm_kwargs, **others, **given.get("extra", {})}

    def _thinks(self) -> bool:
        """Whether it has a word for effort. Of models that its table does not have, LiteLLM knows the provider's."""
        if entry := entry_of(self._name):
            return bool(entry.get("supports_reasoning"))
        return "reasoning_effort" in (self.client.get_supported_openai_params(self._name) or ())

    def _found_key(self) -> str | None:
        """The key to hand on; None where LiteLLM is to look into the environment, which is done here for its form."""
        self._learn()
        names, provider = key_names(self._name), provider_of(self._name)
        if self._api_key is not None:
            return sendable(provider, self._api_key)
        if self._secrets is not None and (stored := next(filter(None, map(self._secrets.lookup_sync, names)), None)):
            learn_secret(stored)
            return sendable(provider, stored)
        if found := next(filter(None, map(EnvSecrets().lookup_sync, names)), None):
            sendable(provider, found)
        return None

    def _learn(self) -> None:
        """Have masked what LiteLLM finds in the environment by itself."""
        for name in secret_names(self._name):
            EnvSecrets().lookup_sync(name)

    async def prepare(self) -> None:
        """Import LiteLLM, if that was not done yet. Raises ConfigError when it is not installed."""
        if not PACKAGE.loaded:
            await asyncio.to_thread(load)

    def _connect(self) -> Any:
        self._users[asyncio.get_running_loop()] += 1
        return load()

    def _renew_key(self, client: Any) -> None:
        """LiteLLM is handed the key with each call."""

    async def _disconnect(self, client: Any) -> None:
        """LiteLLM keeps the connections of an event loop together: the last of its models there closes them."""
        loop = asyncio.get_running_loop()
        self._users[loop] -= 1
        if self._users[loop] > 0:
            return
        del self._users[loop]
        cached = client.in_memory_llm_clients_cache.cache_dict
        ended = [cached.pop(key) for key in list(cached) if key.endswith(f"-{id(loop)}")]
        # It streams Claude's answers over one that it keeps beside the others; it makes another when there is none.
        ended.append(client.__dict__.pop("module_level_aclient", None))
        for connected in ended:
            close = getattr(connected, "aclose", None) or getattr(connected, "close", None)
            if close is not None:
                await close()


def _choice(choice: str) -> Any:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}
