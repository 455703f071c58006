"""A guess at tokens, for models that cannot count them and for providers that do not tell: four characters a token."""

from collections.abc import Sequence

import msgspec

from ..events.message import Message, ModelReply, ToolSpec, Usage

IMAGE_TOKENS = 1600
"""What providers charge for a large picture, about."""

_OVERHEAD_CHARS = 16
"""Of a message, and of a call in it."""


def guessed_input(messages: Sequence[Message]) -> int:
    """The tokens of `messages`, about."""
    chars = sum(len(message.content) + _OVERHEAD_CHARS * (1 + len(message.tool_calls)) for message in messages)
    images = sum(len(message.images) for message in messages)
    return chars // 4 + 1 + images * IMAGE_TOKENS


def guessed_usage(messages: Sequence[Message], tools: Sequence[ToolSpec], reply: ModelReply) -> Usage:
    """What an answer has used of which the provider tells nothing, about."""
    offered = sum(len(tool.name) + len(tool.description) + len(tool.parameters) for tool in tools)
    called = sum(len(_encode(call.args)) for message in messages for call in message.tool_calls)
    answered = (
        len(reply.text)
        + len(reply.thinking)
        + sum(_OVERHEAD_CHARS + len(_encode(call.args)) for call in reply.tool_calls)
    )
    return Usage(guessed_input(messages) + (offered + called) // 4, answered // 4 + 1)


_encode = msgspec.json.Encoder().encode
