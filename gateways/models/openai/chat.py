"""The chat completions API: what is asked, and how its answers read.

Answers are read as they come: the SDK checks none of their fields, and servers leave out what they like.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ....actors.model import ModelChunk
from ....actors.model_errors import BadReply
from ....events.message import Image, Message, ModelReply, ToolSpec, Usage
from ..tool_calls import ToolCallPieces, text_of
from .answer import used, whole
from .catalogue import Catalogue
from .dialect import Dialect
from .errors import told
from .options import calling, effort, further, given, output_format, picked

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CARRIED = "openai"


class Chat:
    """What OpenAI's models are asked by, and most others that speak its protocol."""

    def __init__(self, dialect: Dialect, provider: str) -> None:
        self._dialect = dialect
        self._provider = provider
        self._catalogue = Catalogue(_tool)

    async def ask(self, client: "AsyncOpenAI", fields: Mapping[str, Any]) -> Any:
        create: Any = client.chat.completions.create
        return await create(**fields)

    def fields(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], options: Mapping[str, Any], stream: bool
    ) -> dict[str, Any]:
        """The request, as the SDK takes it. Options without a word of their own are fields of the request."""
        fields: dict[str, Any] = {"model": self._dialect.model, "messages": _messages(self._dialect.model, messages)}
        if stream:
            fields["stream"] = True
            if self._dialect.stream_usage:
                fields["stream_options"] = {"include_usage": True}
        if tools:
            fields["tools"] = self._catalogue.of(tools)
        return fields | self._said(given(options), bool(tools)) if options else fields

    def _said(self, options: Mapping[str, Any], with_tools: bool) -> dict[str, Any]:
        said = picked(options, "temperature", "top_p", "seed")
        if with_tools:
            said |= calling(options, lambda name: {"type": "function", "function": {"name": name}})
        if "stop" in options:
            said["stop"] = list(options["stop"])
        if "max_tokens" in options:
            said[self._dialect.max_tokens_field] = options["max_tokens"]
        if (asked := effort(self._dialect, options)) is not None:
            said["reasoning_effort"] = asked
        if (shape := output_format(options)) is not None:
            said["response_format"] = {"type": "json_schema", "json_schema": shape}
        return said | further(options)

    def reply(self, answer: Any) -> ModelReply:
        """What an answer that was not streamed says; raises as `whole` does."""
        model = answer.model or self._dialect.model
        if not answer.choices:
            if error := _extra(answer).get("error"):
                raise told(error, self._provider)  # with status 200, as OpenRouter has it
            raise BadReply(f"{model!r} answered with no choice", may_be_charged=True)
        choice = answer.choices[0]
        message = choice.message
        extra = _extra(message)
        thought = extra.get("reasoning_content") or ""
        calls = ToolCallPieces()
        calls.add(message.tool_calls or ())
        return whole(
            model=model,
            end=choice.finish_reason or "",
            calls=calls.whole,
            text=message.content or "",
            thinking=thought or extra.get("reasoning") or "",
            refusal=message.refusal or "",
            usage=_usage(answer.usage),
            carried=_carried(self._dialect.model, thought, calls),
        )

    def reader(self) -> "ChatReader":
        return ChatReader(self._dialect.model)


class ChatReader:
    """Reads a streamed answer."""

    def __init__(self, model: str) -> None:
        self._asked = model
        self._model = model
        self._end = ""
        self._calls = ToolCallPieces()
        self._refusal: list[str] = []
        self._thought: list[str] = []
        self._usage: Any = None

    def read(self, event: Any) -> tuple[ModelChunk, ...]:
        """What one event has for whoever watches."""
        if event.usage is not None:
            self._usage = event.usage
        # Whoever asked for several answers (`n`) gets the first, as from one in one piece; the others come in between.
        choice = next((each for each in event.choices or () if not each.index), None)
        if choice is None:
            return ()
        if choice.finish_reason:
            self._end, self._model = choice.finish_reason, event.model or self._model
        delta = choice.delta
        if delta is None:
            return ()
        if delta.tool_calls:
            self._calls.add(delta.tool_calls)
        if delta.refusal:
            self._refusal.append(delta.refusal)
        if delta.model_extra and (thought := self._think(delta.model_extra)):
            thinking = ModelChunk("thinking", thought)
            return (thinking, ModelChunk("text", delta.content)) if delta.content else (thinking,)
        return (ModelChunk("text", delta.content),) if delta.content else ()

    def _think(self, extra: Mapping[str, Any]) -> str:
        thought: str = extra.get("reasoning_content") or ""
        if thought:
            self._thought.append(thought)
        return thought or extra.get("reasoning") or ""

    def whole(self) -> ModelReply:
        """The reply without what `read` has given; raises as `whole` does."""
        return whole(
            model=self._model,
            end=self._end,
            calls=self._calls.whole,
            refusal="".join(self._refusal),
            usage=_usage(self._usage),
            carried=_carried(self._asked, "".join(self._thought), self._calls),
        )


def _carried(model: str, thought: str, calls: ToolCallPieces) -> dict[str, Any]:
    """What some models want back with the results of their calls: DeepSeek and Kimi what they thought before, Gemini
    its signatures. Others would refuse it."""
    if not calls:
        return {}
    wanted = {"reasoning_content": thought, "extra_content": calls.extra}
    back = {name: value for name, value in wanted.items() if value}
    return {CARRIED: {"model": model, **back}} if back else {}


def _extra(of: Any) -> Mapping[str, Any]:
    """The fields that OpenAI's own answers do not have."""
    return of.model_extra or {}


def _usage(usage: Any) -> Usage | None:
    if usage is None:
        return None
    cached = _extra(usage).get("prompt_cache_hit_tokens")  # DeepSeek
    return used(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.prompt_tokens_details, cached)


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": msgspec.json.decode(tool.parameters)}
    return {"type": "function", "function": function}


def _messages(model: str, messages: Sequence[Message]) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = []
    shown: list[Image] = []  # by tools, whose messages take none: they follow the results of the turn
    for message in messages:
        if shown and message.role != "tool":
            asked.append({"role": "user", "content": _parts("", shown)})
            shown = []
        if message.role == "tool":
            asked.append({"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content})
            shown.extend(message.images)
        elif message.role == "assistant":
            asked.append(_assistant(model, message))
        else:
            content = _parts(message.content, message.images) if message.images else message.content
            asked.append({"role": message.role, "content": content})
    if shown:
        asked.append({"role": "user", "content": _parts("", shown)})
    return asked


def _assistant(model: str, message: Message) -> dict[str, Any]:
    if not message.tool_calls:
        return {"role": "assistant", "content": message.content}
    calls: list[dict[str, Any]] = [
        {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": text_of(call.args)}}
        for call in message.tool_calls
    ]
    said: dict[str, Any] = {"role": "assistant", "content": message.content or None, "tool_calls": calls}
    carried = message.carried.get(CARRIED, {})
    if carried.get("model") == model:
        said |= picked(carried, "reasoning_content")
        for call, extra in zip(calls, carried.get("extra_content", ()), strict=False):
            if extra:
                call["extra_content"] = extra
    return said


def _parts(text: str, images: Sequence[Image]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    return parts + [{"type": "image_url", "image_url": {"url": image_url(image)}} for image in images]


def image_url(image: Image) -> str:
    return image.url or f"data:{image.media_type};base64,{image.data}"
