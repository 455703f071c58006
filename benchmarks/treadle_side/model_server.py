"""A server that speaks just enough of a provider's protocol to be asked again and again: answers are ready-made bytes.

A process of its own, so that its work is in no contender's processor time. It prints its address, and ends with its
standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

CHUNKS = 100
TEXT = "A word is told, "
USAGE = {"prompt_tokens": 500, "completion_tokens": 400, "total_tokens": 900}


def _answer(kind: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def _events(*events: dict[str, Any], named: bool = False, done: bool = False) -> bytes:
    lines = [(f"event: {each['type']}\n" if named else "") + f"data: {json.dumps(each)}\n\n" for each in events]
    return _answer("text/event-stream", "".join((*lines, "data: [DONE]\n\n" if done else "")).encode())


def _whole(body: dict[str, Any]) -> bytes:
    return _answer("application/json", json.dumps(body).encode())


def _chat() -> tuple[bytes, bytes]:
    def chunk(finish: str | None = None, **delta: str) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**head, "object": "chat.completion.chunk", "choices": [choice], "usage": None}

    head = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o", "system_fingerprint": "fp_1"}
    message = {"role": "assistant", "content": TEXT * CHUNKS, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    pieces = [chunk(content=TEXT) for _ in range(CHUNKS)]
    last = {**chunk(), "choices": [], "usage": USAGE}
    return (
        _whole({**head, "object": "chat.completion", "choices": [choice], "usage": USAGE}),
        _events(chunk(role="assistant", content=""), *pieces, chunk("stop"), last, done=True),
    )


def _responses() -> tuple[bytes, bytes]:
    said = {"type": "output_text", "text": TEXT * CHUNKS, "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [said]}
    usage = {
        "input_tokens": 500, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 400, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 900,
    }  # fmt: skip
    head: dict[str, Any] = {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-4o", "parallel_tool_calls": True,
        "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None, "metadata": {},
    }  # fmt: skip
    begun = {**head, "status": "in_progress", "output": [], "usage": None}
    ended = {**head, "status": "completed", "output": [item], "usage": usage}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    pieces = [{"type": "response.output_text.delta", **where, "delta": TEXT, "logprobs": []} for _ in range(CHUNKS)]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        *pieces,
        {"type": "response.output_text.done", **where, "text": TEXT * CHUNKS, "logprobs": []},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": ended},
    ]
    return _whole(ended), _events(*({**event, "sequence_number": n} for n, event in enumerate(events)), named=True)


def _messages() -> tuple[bytes, bytes]:
    usage = {"input_tokens": 500, "output_tokens": 400}
    head: dict[str, Any] = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_sequence": None,
    }  # fmt: skip
    content = [{"type": "text", "text": TEXT * CHUNKS}]
    begun = {**head, "content": [], "stop_reason": None, "usage": usage}
    delta = {"type": "text_delta", "text": TEXT}
    return (
        _whole({**head, "content": content, "stop_reason": "end_turn", "usage": usage}),
        _events(
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for _ in range(CHUNKS)),
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 400},
            },
            {"type": "message_stop"},
            named=True,
        ),
    )


ANSWERS = {b"/chat/completions": _chat(), b"/responses": _responses(), b"/messages": _messages()}
"""By the end of the path: whole, and streamed."""


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
            body = await reader.readexactly(int(fields[b"content-length"]))
            path = head.split(b" ", 2)[1].partition(b"?")[0]
            whole, streamed = next(answer for end, answer in ANSWERS.items() if path.endswith(end))
            writer.write(streamed if json.loads(body).get("stream") else whole)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client has closed the connection
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def model_server() -> AsyncGenerator[str]:
    """The address of a server, for as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, Path(__file__), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
