"""A conversation as the Messages API has it: the system prompt apart, tool results in the user's messages."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from ....events.message import Image, Message, ToolCall

Block: TypeAlias = dict[str, Any]
CARRIED = "anthropic"
"""Where an answer's own blocks are, in `ModelReply.carried`: see `carried_of`."""


def conversation(messages: Sequence[Message]) -> tuple[str, list[dict[str, Any]]]:
    """The system prompt, and the messages of the user and the assistant by turns.

    What follows one another on one side is one message: the results of parallel tool calls must be.
    """
    system = "\n\n".join(message.content for message in messages if message.role == "system" and message.content)
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        else:
            turns.append({"role": role, "content": blocks})
    return system, turns


def brief(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, where one text is all that a message has: as that text, which is less work for the SDK."""
    for turn in turns:
        if len(turn["content"]) == 1 and turn["content"][0].keys() == {"type", "text"}:
            turn["content"] = turn["content"][0]["text"]
    return turns


def carried_of(blocks: Sequence[Block | str | int]) -> dict[str, Any]:
    """What has to come back with an answer, if anything: its blocks in their order.

    Signed thinking comes back unchanged and in its place, else the provider refuses a tool's result. What the message
    has anyway is only pointed at: a number is so many characters of its text, a string the id of a tool call.
    """
    return {CARRIED: list(blocks)} if any(isinstance(block, dict) for block in blocks) else {}


def _blocks(message: Message) -> list[Block]:
    if message.role == "assistant":
        return _answer(message)
    images = [_image(image) for image in message.images]
    if message.role != "tool":
        return images + _text(message.content)
    content = [*_text(message.content), *images] if images else message.content
    return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": content}]


def _answer(message: Message) -> list[Block]:
    text, calls = message.content, {call.id: call for call in message.tool_calls}
    blocks: list[Block] = []
    for block in message.carried.get(CARRIED, ()):
        if isinstance(block, int):
            blocks += _text(text[:block])
            text = text[block:]
        elif isinstance(block, str):
            if (call := calls.pop(block, None)) is not None:
                blocks.append(_tool_use(call))
        else:
            blocks.append(dict(block))
    return [*blocks, *_text(text), *map(_tool_use, calls.values())]


def _tool_use(call: ToolCall) -> Block:
    return {"type": "tool_use", "id": call.id, "name": call.tool, "input": call.args}


def _text(text: str) -> list[Block]:
    """The provider refuses a block without a text."""
    return [{"type": "text", "text": text}] if text and not text.isspace() else []


def _image(image: Image) -> Block:
    if image.url:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": image.data}}
