"""Health over HTTP, for probes: `GET /healthz` and `GET /readyz`, 200 or 503, with the reasons as JSON.

Two fixed paths without a body to read need no web framework, which would be the heaviest dependency here. What is read
is bounded in size and time, and each connection answers one request.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import msgspec

from ...events.errors import ConfigError
from ...events.logs import get_logger
from .health import Health

HEAD_LIMIT_BYTES: Final = 8192
CONNECTIONS: Final = 32
"""How many may be open at once; further ones are closed unanswered."""

PATIENCE_S: Final = 5.0
"""How long a client may take for its request, and for taking the answer."""

_log = get_logger("treadle.health")


class HealthServer:
    """Answers probes while its context is open.

    Args:
        address: `HOST:PORT`; port 0 takes a free one.
        health: How well the node is.
    """

    def __init__(self, address: str, health: Callable[[], Awaitable[Health]]) -> None:
        self.host, self._port = parse_address(address)
        self._health = health
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self._port}"

    async def __aenter__(self) -> "HealthServer":
        try:
            self._server = await asyncio.start_server(self._accept, self.host, self._port, limit=HEAD_LIMIT_BYTES)
        except OSError as exc:
            raise ConfigError(f"health cannot be served on {self.host}:{self._port}: {exc.strerror or exc}") from exc
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is None:
            return
        self._server.close()
        serving = tuple(self._serving)
        for each in serving:
            each.cancel()
        if serving:
            await asyncio.wait(serving)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._serving) >= CONNECTIONS:
            writer.close()
            return
        serving = asyncio.create_task(self._serve(reader, writer), name="health probe")
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
            writer.write(await self._answer(head.partition(b"\r\n")[0].decode("latin-1")))
            async with asyncio.timeout(PATIENCE_S):
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as exc:
            _log.debug("a probe was not answered: %s", type(exc).__name__)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, request: str) -> bytes:
        method, _, rest = request.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if path not in ("/healthz", "/readyz"):
            return _response(HTTPStatus.NOT_FOUND, b'{"error":"there are /healthz and /readyz"}', method)
        if method not in ("GET", "HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, b'{"error":"GET or HEAD"}', method)
        health = await self._health()
        well = health.healthy if path == "/healthz" else health.ready
        return _response(HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE, msgspec.json.encode(health), method)


def _response(status: HTTPStatus, body: bytes, method: str) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)


def parse_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[IPv6]:PORT`.

    Raises:
        ConfigError: It is no such thing.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{address!r} is no address to serve health on; write HOST:PORT, as in 127.0.0.1:8080")
    return host, int(port)
