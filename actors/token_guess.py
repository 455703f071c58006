"""A guess at tokens, for models that cannot count them and for providers that do not tell: four letters a token.

Of other scripts than ASCII each character counts as a token. That is about right for Chinese, and too much for Greek or
Russian; too little would let a budget be passed.
"""

from collections.abc import Sequence

import msgspec

from ..events.message import Message, ModelReply, OutputFormat, ToolSpec, Usage

IMAGE_TOKENS = 1600
"""What providers charge for a large picture, about."""

_OVERHEAD = 16
"""Of a message, and of a call in it; in quarters of a token, as all below."""


def guessed_input(
    messages: Sequence[Message], tools: Sequence[ToolSpec] = (), output: OutputFormat | None = None
) -> int:
    """The tokens of `messages`, of the tools that are offered with them and of the schema that is asked for, about."""
    quarters = sum(_quarters(message.content) + _OVERHEAD for message in messages)
    quarters += sum(_of_call(call.args) for message in messages for call in message.tool_calls)
    quarters += sum(_quarters(tool.name + tool.description) + _of_json(tool.parameters) for tool in tools)
    if output is not None:
        quarters += _of_json(output.schema)
    images = sum(len(message.images) for message in messages)
    return quarters // 4 + 1 + images * IMAGE_TOKENS


def guessed_usage(messages: Sequence[Message], tools: Sequence[ToolSpec], reply: ModelReply) -> Usage:
    """What an answer has used of which the provider tells nothing, about."""
    answered = _quarters(reply.text) + _quarters(reply.thinking) + sum(_of_call(call.args) for call in reply.tool_calls)
    return Usage(guessed_input(messages, tools), answered // 4 + 1)


def _quarters(text: str) -> int:
    if text.isascii():
        return len(text)
    return 4 * len(text) - 3 * len(text.encode("ascii", "ignore"))


def _of_call(args: object) -> int:
    return _OVERHEAD + _of_json(args)


def _of_json(value: object) -> int:
    return _quarters(_encode(value).decode())


_encode = msgspec.json.Encoder().encode
