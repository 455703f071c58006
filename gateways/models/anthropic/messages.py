"""A conversation as the Messages API has it: the system prompt apart, tool results in the user's messages."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from ....events.message import Image, Message

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
        blocks = list(_blocks(message))
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


def _blocks(message: Message) -> Iterator[Block]:
    if message.role == "assistant":
        yield from _answer(message)
    elif message.role == "tool":
        content: str | list[Block] = message.content
        if message.images:
            content = [*_text(message.content), *map(_image, message.images)]
        yield {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": content}
    else:
        yield from map(_image, message.images)
        yield from _text(message.content)


def _answer(message: Message) -> Iterator[Block]:
    text, calls = message.content, {call.id: call for call in message.tool_calls}
    for block in message.carried.get(CARRIED, ()):
        if isinstance(block, int):
            yield from _text(text[:block])
            text = text[block:]
        elif isinstance(block, str):
            if (call := calls.pop(block, None)) is not None:
                yield {"type": "tool_use", "id": call.id, "name": call.tool, "input": call.args}
        else:
            yield dict(block)
    yield from _text(text)
    for call in calls.values():
        yield {"type": "tool_use", "id": call.id, "name": call.tool, "input": call.args}


def _text(text: str) -> Iterator[Block]:
    """The provider refuses a block without a text."""
    if text.strip():
        yield {"type": "text", "text": text}


def _image(image: Image) -> Block:
    if image.url:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": image.data}}
