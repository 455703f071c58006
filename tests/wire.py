"""A provider's server that has been asked before, and whose wire breaks in the place that a test says.

What it answers was recorded from a server that nobody here wrote (`model_servers.py`). Which fault a request meets it
knows by the model that the request names, so one server breaks for everybody at once, each in its own way.
"""

import asyncio
import http.client
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

REQUEST_ID = "req-1"
"""What every answer is called by, in the headers of both SDKs."""


class Answer(NamedTuple):
    """A whole answer, as it was recorded: its kind of content and its body."""

    content_type: str
    body: bytes

    @property
    def streamed(self) -> bool:
        return self.content_type.startswith("text/event-stream")

    @property
    def events(self) -> list[bytes]:
        """The events of a stream, each with the empty line after it."""
        return [event + b"\n\n" for event in self.body.split(b"\n\n") if event.strip()]

    @property
    def named(self) -> bool:
        """Its events have names, and one without is none."""
        return self.body.startswith(b"event: ")

    def events_before(self, word: bytes) -> list[bytes]:
        """The events before the first one that has `word` in it."""
        events = self.events
        at = next(number for number, event in enumerate(events) if word in event)
        return events[:at]


def record(url: str, body: Mapping[str, Any]) -> Answer:
    """What the server at `url` answers."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=20)
    try:
        headers = {"content-type": "application/json", "authorization": "Bearer key", "anthropic-version": "2023-06-01"}
        connection.request("POST", where.path, json.dumps(body), {**headers, "x-api-key": "key"})
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said
        return Answer(answer.headers["content-type"], said)
    finally:
        connection.close()


class Peer:
    """One request, and the connection on which it came.

    Attributes:
        answer: What a server that works would say.
        model: The model that is asked.
    """

    def __init__(self, answer: Answer, model: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.answer = answer
        self.model = model
        self._reader = reader
        self._writer = writer

    async def head(self, status: int = 200, **headers: str) -> None:
        """The status and the headers; those that are given stand in for the usual ones."""
        usual = {"content_type": self.answer.content_type, "x_request_id": REQUEST_ID, "request_id": REQUEST_ID}
        lines = [f"HTTP/1.1 {status} Wire", "connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in {**usual, **headers}.items()]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def whole(self, body: bytes, status: int = 200, **headers: str) -> None:
        """An answer in one piece."""
        await self.head(status, content_length=str(len(body)), **headers)
        await self.send(body)

    async def chunks(self, *pieces: bytes, end: bool = True) -> None:
        """A body in chunks; with its end, or without."""
        for piece in pieces:
            await self.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if end:
            await self.send(b"0\r\n\r\n")

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def hang(self) -> None:
        """Say nothing more, until the client has gone."""
        await self._reader.read()

    def reset(self) -> None:
        """Drop the connection as a machine does that has died."""
        connection: socket.socket = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Play = Callable[[Peer], Awaitable[None]]
"""How a request ends."""


class Wire:
    """The server. It has a thread of its own: whoever is asked to hurry shall not be late because its client is.

    Attributes:
        asked: How often, by model.
    """

    def __init__(self, answers: Mapping[str, tuple[Answer, Play]]) -> None:
        self._answers = answers
        self._opened: Future[str] = Future()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(),), name="wire")
        self.asked: Counter[str] = Counter()
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = self._opened.result(5)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    async def _live(self) -> None:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20) as server:
            self._opened.set_result(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            await self._ended.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().splitlines()
            length = next(line.partition(":")[2] for line in head if line.startswith("content-length:"))
            model = json.loads(await reader.readexactly(int(length)))["model"]
            self.asked[model] += 1
            answer, play = self._answers[model]
            await play(Peer(answer, model, reader, writer))
        except ConnectionError:
            return  # a client that has had enough
        finally:
            writer.close()


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
