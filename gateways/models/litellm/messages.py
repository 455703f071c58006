"""A conversation in the form of chat completions, which LiteLLM says again in each provider's own."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ....events.message import Image, Message, ToolSpec
from ..seals import seal

CARRIED = "litellm"
"""Where signed thinking is, in `ModelReply.carried`."""


def conversation(messages: Sequence[Message], provider: str) -> list[dict[str, Any]]:
    """The messages as `provider` takes them: what another has signed it would refuse."""
    return [_message(message, provider) for message in messages]


def carried_of(blocks: Sequence[Any], provider: str) -> dict[str, Any]:
    """Thinking that `provider` has signed, and wants back."""
    if not blocks:
        return {}
    return {CARRIED: {"provider": provider, "thinking_blocks": [*blocks], "fits": seal([*blocks])}}


def tools_of(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": msgspec.json.decode(tool.parameters),
            },
        }
        for tool in tools
    ]


def _message(message: Message, provider: str) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.images:
        text = [{"type": "text", "text": message.content}] if message.content else []
        made["content"] = [*text, *map(_image, message.images)]
    if message.role == "tool":
        made["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        made["content"] = message.content or None
        made["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.tool, "arguments": msgspec.json.encode(call.args).decode()},
            }
            for call in message.tool_calls
        ]
    match message.carried.get(CARRIED):
        # Not when a secret in it is masked; before there were seals, none was carried.
        case {"provider": by, "thinking_blocks": blocks, **more} if by == provider:
            if more.get("fits") in (None, seal(blocks)):
                made["thinking_blocks"] = blocks
        case _:
            pass
    return made


def _image(image: Image) -> dict[str, Any]:
    url = image.url or f"data:{image.media_type};base64,{image.data}"
    return {"type": "image_url", "image_url": {"url": url}}
