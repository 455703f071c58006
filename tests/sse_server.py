"""A server on loopback that answers with the bytes that a test gives it: for what no mock of a provider can say."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, TypeAlias

import msgspec

Answer: TypeAlias = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]
"""Writes an answer; the connection is closed after it."""


class Asked(msgspec.Struct):
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: Any


class SseServer:
    """Answers one request after the other, each on a connection of its own; the last answer again and again.

    Attributes:
        asked: The requests so far.
        left: Set when a client has gone away, before its answer had ended or after.
    """

    def __init__(self, *answers: Answer) -> None:
        self.asked: list[Asked] = []
        self.left = asyncio.Event()
        self._answers = answers
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            request, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            answer = self._answers[min(len(self.asked), len(self._answers) - 1)]
            self.asked.append(Asked(request.split(" ")[1], headers, json.loads(body) if body else None))
            answering = asyncio.create_task(answer(writer))
            leaving = asyncio.create_task(self._until_left(reader))
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        finally:
            writer.close()

    async def _until_left(self, reader: asyncio.StreamReader) -> None:
        try:
            while await reader.read(1024):
                pass
        finally:
            self.left.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def __aenter__(self) -> "SseServer":
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._stack.callback(server.close)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def sends(*pieces: bytes) -> Answer:
    """An answer of these bytes; each piece is a write of its own."""

    async def send(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return send


def sends_and_hangs(*pieces: bytes) -> Answer:
    """These bytes, and then nothing more."""

    async def send(writer: asyncio.StreamWriter) -> None:
        await sends(*pieces)(writer)
        await asyncio.Event().wait()

    return send


def cuts_after(*pieces: bytes) -> Answer:
    """These bytes, and then a reset."""

    async def send(writer: asyncio.StreamWriter) -> None:
        await sends(*pieces)(writer)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return send


def stream_head(*headers: str, status: str = "200 OK") -> bytes:
    """The head of a stream of events whose end is the connection's."""
    return _head(status, "content-type: text/event-stream", *headers)


def events(*data: object, done: bool = True) -> list[bytes]:
    """Events of a stream; a text goes as it is, anything else as JSON."""
    lines = [each if isinstance(each, str) else json.dumps(each) for each in data]
    return [f"data: {line}\n\n".encode() for line in (*lines, *(["[DONE]"] if done else []))]


def streams(*data: object, headers: Sequence[str] = (), done: bool = True) -> Answer:
    """An answer of these events."""
    return sends(stream_head(*headers), *events(*data, done=done))


def answers(body: object, *headers: str, status: str = "200 OK") -> Answer:
    """An answer in one piece; a text goes as it is, anything else as JSON."""
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    return sends(_head(status, "content-type: application/json", f"content-length: {len(content)}", *headers), content)


def _head(status: str, *headers: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "connection: close", "", "")).encode()
