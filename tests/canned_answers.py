"""A provider's server that sends given bytes, for answers and faults that the mock servers do not have.

It knows nothing of any protocol: the first request gets the first answer, and so on. What it was sent is kept.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from msgspec import Struct


class Canned(Struct, frozen=True):
    """An answer.

    Attributes:
        then: After the body: `close` it in order, `cut` it without the end that was promised, `hang`; or `drop` the
            connection before anything is answered.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = {}
    then: str = "close"


def json_answer(body: Any, status: int = 200, **headers: str) -> Canned:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Canned(json.dumps(body).encode(), status, {"content-type": "application/json", **named})


def events(*sent: Mapping[str, Any], then: str = "close", **headers: str) -> Canned:
    """A stream of server-sent events, as Anthropic names them."""
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in sent)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Canned(body.encode(), 200, {"content-type": "text/event-stream", **named}, then)


class CannedServer:
    """Listens on loopback while it is entered."""

    def __init__(self, *answers: Canned) -> None:
        self._answers = list(answers)
        self._server: asyncio.Server | None = None
        self._hanging = asyncio.Event()
        self._lost = asyncio.Event()
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.url = ""

    async def __aenter__(self) -> "CannedServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def bodies(self) -> Sequence[Any]:
        return [body for _, _, body in self.requests]

    async def hanging(self) -> None:
        """Wait until an answer hangs."""
        await asyncio.wait_for(self._hanging.wait(), 5)

    async def client_gone(self) -> None:
        """Wait until a client has closed its connection in the middle of an answer that hangs."""
        await asyncio.wait_for(self._lost.wait(), 5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append((head[0], headers, json.loads(body) if body else None))
            answer = self._answers.pop(0)
            if answer.then == "drop":
                return
            length = {} if answer.then == "hang" else {"content-length": str(len(answer.body) + (answer.then == "cut"))}
            said = {**answer.headers, **length, "connection": "close"}
            lines = [f"HTTP/1.1 {answer.status} Canned", *(f"{name}: {value}" for name, value in said.items())]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body)
            await writer.drain()
            if answer.then == "hang":
                self._hanging.set()
                await reader.read()
                self._lost.set()
        finally:
            writer.close()
