"""One request to the Messages API: what `Generation` and other options say, in its words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from ....actors.model_errors import InvalidRequestError
from ....events.message import Message, ToolSpec
from .generations import takes
from .messages import Block, brief, conversation
from .output import OUTPUT_TOOL, OutputSchema, output_format, output_tool
from .thinking import Thinking, thinking

_SAMPLING: Final = ("temperature", "top_p", "top_k")
_OURS: Final = frozenset(
    {
        *_SAMPLING, "max_tokens", "stop", "seed", "effort", "strict_effort", "tool_choice", "parallel_tool_calls",
        "prompt_caching", "extra", "output_schema",
    }
)  # fmt: skip
_TOKENS_AN_HOUR: Final = 128_000
"""How fast the SDK counts on an answer to come (`_calculate_nonstreaming_timeout`)."""


class Request(Struct, frozen=True):
    """A request.

    Attributes:
        body: The arguments of the SDK's `messages.create`.
        by_tool: The answer is to come as the arguments of `OUTPUT_TOOL`.
    """

    body: dict[str, Any]
    by_tool: bool

    @property
    def takes_s(self) -> float:
        """How long the longest answer may take."""
        return float(self.body["max_tokens"]) / _TOKENS_AN_HOUR * 3600


class Head(Struct, frozen=True):
    """All of a request but its messages: the same in each turn of a run.

    Attributes:
        body: As in `Request`; shared by requests, and changed by none.
        caches: The prompt is to be kept by the provider.
    """

    body: dict[str, Any]
    by_tool: bool
    caches: bool

    @property
    def longest_answer(self) -> int:
        """The most tokens that an answer may have, thinking included."""
        limit: int = self.body["max_tokens"]
        return limit


def head_of(model: str, tools: Sequence[ToolSpec], options: Mapping[str, Any], *, max_tokens: int) -> Head:
    """What tools and options say.

    `seed` has no word here, and sampling none in newer models or beside thinking: those are left out. What is none of
    `Generation`'s fields goes into the request as it is, and so does `extra`.

    Args:
        max_tokens: The longest answer when the options do not say, thinking apart.
    Raises:
        InvalidRequestError: `strict_effort`, and the model cannot.
    """
    given = {name: value for name, value in options.items() if value is not None}
    taken = takes(model)
    output: OutputSchema | None = given.get("output_schema")
    form = output_format(output, taken) if output is not None else None
    by_tool = output is not None and form is None
    choice = _choice(given, tools, by_tool=by_tool)
    forced = choice["type"] in ("any", "tool")
    thought = thinking(given.get("effort"), taken, given.get("max_tokens"), forced=forced)
    if given.get("strict_effort") and thought.missed:
        raise InvalidRequestError(
            f"model {model!r} has no effort={given['effort']!r} (strict_effort): {thought.missed}", provider="anthropic"
        )
    if by_tool and not forced and thought.config is None and taken.forced_tools:
        choice |= {"type": "any"} if tools and choice["type"] == "auto" else {"type": "tool", "name": OUTPUT_TOOL}

    body: dict[str, Any] = {"model": model, "max_tokens": given.get("max_tokens") or max_tokens + thought.room}
    if offered := [*map(_tool, tools), *([output_tool(output)] if output is not None and by_tool else ())]:
        body["tools"] = offered
        if choice != {"type": "auto"}:
            body["tool_choice"] = choice
    if thought.config is not None:
        body["thinking"] = thought.config
    if config := _output_config(thought, form):
        body["output_config"] = config
    if given.get("stop"):
        body["stop_sequences"] = list(given["stop"])
    others = {name: value for name, value in given.items() if name not in _OURS}
    if taken.sampling and thought.config is None:  # the SDK's arguments have these no more, the API has
        others |= {name: given[name] for name in _SAMPLING if name in given}
    others |= given.get("extra", {})
    if others:
        body["extra_body"] = others
    return Head(body, by_tool, bool(given.get("prompt_caching")))


def request_of(head: Head, messages: Sequence[Message]) -> Request:
    """The request for one call."""
    system, turns = conversation(messages, head.body["model"])
    body = {**head.body, "messages": turns}
    if system:
        body["system"] = system
    if "tools" not in body and (called := _called(messages)):
        body["tools"], body["tool_choice"] = called, {"type": "none"}
    if head.caches:
        _cache(body)
    else:
        body["messages"] = brief(turns)
    return Request(body, head.by_tool)


def _output_config(thought: Thinking, form: Mapping[str, Any] | None) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if thought.effort:
        config["effort"] = thought.effort
    if form is not None:
        config["format"] = form
    return config


def _called(messages: Sequence[Message]) -> list[Block]:
    """The tools of the history: its calls must be of some that are defined, also where none may be called any more."""
    called = {call.tool: None for message in messages for call in message.tool_calls}
    return [{"name": name, "input_schema": {"type": "object"}} for name in called]


def _choice(given: Mapping[str, Any], tools: Sequence[ToolSpec], *, by_tool: bool) -> dict[str, Any]:
    """`tool_choice`, as far as the options say."""
    if not tools:
        return {"type": "auto" if by_tool else "none"}
    said = given.get("tool_choice", "auto")
    choice: dict[str, Any] = (
        {"type": {"required": "any"}.get(said, said)}
        if said in ("auto", "none", "required")
        else {"type": "tool", "name": said}
    )
    if given.get("parallel_tool_calls") is False and said != "none":
        choice["disable_parallel_tool_use"] = True
    return choice


def _tool(tool: ToolSpec) -> Block:
    made: Block = {"name": tool.name, "input_schema": msgspec.json.decode(tool.parameters)}
    if tool.description:
        made["description"] = tool.description
    return made


def _cache(body: dict[str, Any]) -> None:
    """Ask to keep what stays the same: the tools, the system prompt, and the conversation so far."""
    mark = {"cache_control": {"type": "ephemeral"}}
    if "tools" in body:
        *others, last_tool = body["tools"]
        body["tools"] = [*others, last_tool | mark]
    if "system" in body:
        body["system"] = [{"type": "text", "text": body["system"]} | mark]
    last: Block | None = body["messages"][-1]["content"][-1] if body["messages"] else None
    if last is not None and not last["type"].endswith("thinking"):  # which takes no mark
        last |= mark
