"""The responses API: what is asked, and how its answers read. Nothing is kept there (`store=False`): what the model
needs of its former answers, its encrypted reasoning above all, is carried in the messages.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from ....actors.model import ModelChunk
from ....actors.model_errors import BadReply, InvalidRequestError
from ....events.message import Image, Message, ModelReply, ToolCall, ToolSpec, Usage
from ..seals import seal
from ..tool_calls import arguments, numbered, text_of
from .answer import used, whole
from .catalogue import Catalogue
from .chat import CARRIED, image_url
from .dialect import Dialect
from .errors import told
from .options import calling, effort, further, given, output_format, picked

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_THINKS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_ENDS = ("response.completed", "response.incomplete", "response.failed")
_ENDED = {"max_output_tokens": "length", "content_filter": "content_filter"}


class Responses:
    """OpenAI's own newer API."""

    def __init__(self, dialect: Dialect, provider: str) -> None:
        self._dialect = dialect
        self._provider = provider
        self._catalogue = Catalogue(_tool)

    async def ask(self, client: "AsyncOpenAI", fields: Mapping[str, Any]) -> Any:
        create: Any = client.responses.create
        return await create(**fields)

    def fields(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], options: Mapping[str, Any], stream: bool
    ) -> dict[str, Any]:
        """The request, as the SDK takes it. Options without a word of their own are fields of the request.

        Raises:
            InvalidRequestError: This API cannot do what is asked.
        """
        fields: dict[str, Any] = {"model": self._dialect.model, "input": self._input(messages), "store": False}
        if stream:
            fields["stream"] = True
        if tools:
            fields["tools"] = self._catalogue.of(tools)
        reasoning: dict[str, str] = {}
        if self._dialect.reasoning_summary is not None:
            reasoning["summary"] = self._dialect.reasoning_summary
        if options:
            fields |= self._said(given(options), bool(tools))
            if (asked := effort(self._dialect, options)) is not None:
                reasoning["effort"] = asked
        if reasoning:
            fields["reasoning"] = reasoning
        if reasoning or self._dialect.efforts:
            fields["include"] = ["reasoning.encrypted_content"]  # refused for models that do not think
        return fields

    def _said(self, options: Mapping[str, Any], with_tools: bool) -> dict[str, Any]:
        for name in picked(options, "stop", "seed"):
            raise InvalidRequestError(f"the responses API knows no {name}; OpenAIModel(api='chat') does")
        said = picked(options, "temperature", "top_p")
        if with_tools:
            said |= calling(options, lambda name: {"type": "function", "name": name})
        if "max_tokens" in options:
            said["max_output_tokens"] = options["max_tokens"]
        if (shape := output_format(options)) is not None:
            said["text"] = {"format": {"type": "json_schema", **shape}}
        return said | further(options)

    def reply(self, answer: Any) -> ModelReply:
        """What an answer that was not streamed says.

        Raises:
            ModelError: It has no output, whatever else it is; or as `read` does.
        """
        if answer.output is None and answer.error is None:
            raise BadReply(f"{self._dialect.model!r} answered with no output", may_be_charged=True)
        return self.read(answer, answer.output or [])

    def read(self, answer: Any, items: Sequence[Any]) -> ModelReply:
        """An answer, made of `items`.

        Raises:
            ModelError: It failed, as the provider says; or as `whole` does.
        """
        model, usage = answer.model or self._dialect.model, _usage(answer.usage)
        if answer.error is not None or answer.status == "failed":
            error = told(answer.error.to_dict() if answer.error is not None else {}, self._provider)
            error.usage, error.may_be_charged = usage, usage is None
            raise error
        end = "stop"
        if answer.status == "incomplete":
            why = answer.incomplete_details.reason if answer.incomplete_details is not None else ""
            end = _ENDED.get(why, why)
        elif answer.status not in ("completed", None):
            raise BadReply(f"{model!r} answered with status {answer.status!r}", usage=usage, may_be_charged=True)
        text, refusal, thoughts, calls = _content(items)
        reply = whole(
            model=model,
            end=end,
            calls=lambda cut_off: numbered([(id_, tool, arguments(args, cut_off)) for id_, tool, args in calls]),
            text="".join(text),
            thinking="\n\n".join(thoughts),
            refusal="".join(refusal),
            usage=usage,
        )
        output = _output(items, reply.tool_calls)
        carried = {"model": self._dialect.model, "output": output, "fits": seal(output)}
        return structs.replace(reply, carried={CARRIED: carried})

    def reader(self) -> "ResponsesReader":
        return ResponsesReader(self, self._dialect.model, self._provider)

    def _input(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        for message in messages:
            if message.role == "tool":
                output = _parts(message.content, message.images) if message.images else message.content
                items.append({"type": "function_call_output", "call_id": message.tool_call_id, "output": output})
            elif message.role != "assistant":
                content = _parts(message.content, message.images) if message.images else message.content
                items.append({"role": message.role, "content": content})
            else:
                items += self._assistant(message)
        return items

    def _assistant(self, message: Message) -> list[dict[str, Any]]:
        carried = message.carried.get(CARRIED, {})
        output: list[dict[str, Any]] = carried.get("output") or []
        # Before there were seals, none was carried.
        if output and carried.get("model") == self._dialect.model and carried.get("fits") in (None, seal(output)):
            return output
        # Another model's, whose encrypted reasoning cannot be read; or one in which a secret is masked.
        said: list[dict[str, Any]] = [{"role": "assistant", "content": message.content}] if message.content else []
        return said + [
            {"type": "function_call", "call_id": call.id, "name": call.tool, "arguments": text_of(call.args)}
            for call in message.tool_calls
        ]


class ResponsesReader:
    """Reads a streamed answer."""

    def __init__(self, api: Responses, model: str, provider: str) -> None:
        self._api = api
        self._model = model
        self._provider = provider
        self._items: list[Any] = []
        self._answer: Any = None

    def read(self, event: Any) -> tuple[ModelChunk, ...]:
        """What one event has for whoever watches."""
        kind = event.type
        if kind == "response.output_text.delta":
            return (ModelChunk("text", event.delta),) if event.delta else ()
        if kind in _THINKS:
            return (ModelChunk("thinking", event.delta),) if event.delta else ()
        if kind == "response.reasoning_summary_part.added":
            return (ModelChunk("thinking", "\n\n"),) if event.summary_index else ()
        if kind == "response.output_item.done":
            self._items.append(event.item)
        elif kind in _ENDS:
            self._answer = event.response
        elif kind == "error":
            raise told(event.to_dict() | {"type": ""}, self._provider)
        return ()

    def whole(self) -> ModelReply:
        """The reply, with what `read` has given; raises as `Responses.read` does."""
        if self._answer is None:
            return whole(model=self._model, end="", calls=lambda _cut_off: (), usage=None)
        return self._api.read(self._answer, self._answer.output or self._items)


def _content(
    items: Sequence[Any],
) -> tuple[list[str], list[str], list[str], list[tuple[str, str, str]]]:
    """Texts, refusals, thoughts and calls of an answer."""
    text: list[str] = []
    refusal: list[str] = []
    thoughts: list[str] = []
    calls: list[tuple[str, str, str]] = []
    for item in items:
        if item.type == "message":
            for part in item.content or ():
                if part.type == "output_text":
                    text.append(part.text)
                elif part.type == "refusal":
                    refusal.append(part.refusal)
        elif item.type == "function_call":
            calls.append((item.call_id or "", item.name or "", item.arguments or ""))
        elif item.type == "reasoning":
            thoughts += [part.text for part in item.summary or item.content or ()]
    return text, refusal, thoughts, calls


def _usage(usage: Any) -> Usage | None:
    if usage is None:
        return None
    return used(usage.input_tokens, usage.output_tokens, usage.total_tokens, usage.input_tokens_details)


def _output(items: Sequence[Any], calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """The items as they come back, their calls with the ids that their results will have."""
    output, ids = [_dumped(item) for item in items], iter(calls)
    for item in output:
        if item.get("type") == "function_call":
            item["call_id"] = next(ids).id
    return output


def _dumped(item: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = item.to_dict(mode="json", exclude_none=True, warnings=False)
    return dumped


def _tool(tool: ToolSpec) -> dict[str, Any]:
    # Without `strict` this API makes its own schema of a tool's: all is required, and what is left out is null.
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": msgspec.json.decode(tool.parameters),
        "strict": False,
    }


def _parts(text: str, images: Sequence[Image]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": text}] if text else []
    return parts + [{"type": "input_image", "image_url": image_url(image), "detail": "auto"} for image in images]
