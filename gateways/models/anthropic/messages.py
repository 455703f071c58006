"""A conversation as the Messages API has it: the system prompt apart, tool results in the user's messages."""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from ....events.message import Image, Message, ToolCall
from ..seals import seal

Block: TypeAlias = dict[str, Any]
CARRIED = "anthropic"
"""Where an answer's own blocks are, in `ModelReply.carried`: see `carried_of`."""


def conversation(messages: Sequence[Message], model: str) -> tuple[str, list[dict[str, Any]]]:
    """The system prompt, and the messages of the user and the assistant by turns, as `model` takes them.

    What follows one another on one side is one message: the results of parallel tool calls must be.
    """
    system = "\n\n".join(message.content for message in messages if message.role == "system" and message.content)
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message, model)
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


def carried_of(blocks: Sequence[Block | str | int], text: str, model: str) -> dict[str, Any]:
    """What has to come back with an answer, if anything: its blocks in their order.

    Signed thinking comes back unchanged and in its place, else the provider refuses a tool's result. What the message
    has anyway is only pointed at: a number is so many characters of its text, a string the id of a tool call.

    Args:
        text: Of the answer.
        model: That was asked: another one may not take what this has signed.
    """
    own = [block for block in blocks if isinstance(block, dict)]
    if not own:
        return {}
    return {CARRIED: {"model": model, "blocks": [*blocks], "fits": {"text": seal(text), "blocks": seal(own)}}}


def _blocks(message: Message, model: str) -> list[Block]:
    if message.role == "assistant":
        return _answer(message, model)
    images = [_image(image) for image in message.images]
    if message.role != "tool":
        return images + _text(message.content)
    content = [*_text(message.content), *images] if images else message.content
    return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": content}]


def _answer(message: Message, model: str) -> list[Block]:
    text, calls = message.content, {call.id: call for call in message.tool_calls}
    blocks: list[Block] = []
    for block in _carried(message, model):
        if isinstance(block, int):
            blocks += _text(text[:block])
            text = text[block:]
        elif isinstance(block, str):
            if (call := calls.pop(block, None)) is not None:
                blocks.append(_tool_use(call))
        else:
            blocks.append(dict(block))
    return [*blocks, *_text(text), *map(_tool_use, calls.values())]


def _carried(message: Message, model: str) -> Sequence[Block | str | int]:
    """The blocks of an answer, as far as they still fit it: a secret may have been masked in them, or in its text."""
    carried: Any = message.carried.get(CARRIED, [])
    if isinstance(carried, list):  # as it was carried before there were seals
        blocks = cast("Sequence[Block | str | int]", carried)
        whole = sum(block for block in blocks if isinstance(block, int)) == len(message.content)
    else:
        blocks, fits = cast("Sequence[Block | str | int]", carried["blocks"]), carried["fits"]
        own = [block for block in blocks if isinstance(block, dict)]
        if carried["model"] != model or seal(own) != fits["blocks"]:
            blocks = [block for block in blocks if not isinstance(block, dict)]
        whole = seal(message.content) == fits["text"]
    return blocks if whole else _with_text_in_one(blocks, len(message.content))


def _with_text_in_one(blocks: Sequence[Block | str | int], length: int) -> list[Block | str | int]:
    """Nobody knows where its pieces end: all of it stands where the first of them was."""
    first = next((at for at, block in enumerate(blocks) if isinstance(block, int)), 0)
    others = [[block for block in part if not isinstance(block, int)] for part in (blocks[:first], blocks[first:])]
    return [*others[0], length, *others[1]]


def _tool_use(call: ToolCall) -> Block:
    return {"type": "tool_use", "id": call.id, "name": call.tool, "input": call.args}


def _text(text: str) -> list[Block]:
    """The provider refuses a block without a text."""
    return [{"type": "text", "text": text}] if text and not text.isspace() else []


def _image(image: Image) -> Block:
    if image.url:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": image.data}}
