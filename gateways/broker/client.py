"""The NATS client with the repairs that a system which never gives up needs.

Each override closes a hole of nats-py 2.16 that a test in `tests/gateways/broker/test_client.py` shows:

* any `-ERR` of the server but two closes the client for good (`_process_err`);
* an exception while parsing ends the read loop, and the client looks connected for ever (`_read_loop`);
* so does an answer to a ping whose waiter was cancelled (`_process_pong`);
* a ping overtakes what was written before it, so that `flush` proves nothing (`_send_ping`);
* a request under way waits for its whole timeout when the connection is lost (`fail_requests`);
* a task that is cancelled while it sends or asks goes on, and hangs in what it does next (`_heeded`);
* a connection to a server that has stopped reading is closed only when it has read the rest: never, perhaps,
  with other servers there to go to (`_process_op_err`);
* keys need a package that signs with a library of its own (`identify`).

Above that, short pings find a connection that is dead without knowing it: nobody answers them, or nobody
reads the answers.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

from nats import errors
from nats.aio.client import Client as BaseClient
from nats.aio.client import Server
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport

from ...events.logs import get_logger
from .credentials import Credentials

logger = get_logger("treadle.nats")

PING_INTERVAL_S = 5
"""Two pings without an answer, and the client connects anew."""

FLUSH_TIMEOUT_S = 5.0
"""How long a sender waits for a full socket; nats-py's default is for ever, even after the connection is lost."""

_PUSHED_BYTES = 64 * 1024  # more may be more than the socket takes; the flusher waits for it
_PING = b"PING\r\n"
_FIRST_DELAY_S = 0.05
_LONGEST_DELAY_S = 5.0


class Client(BaseClient):
    """nats-py's client, repaired."""

    async def listen(
        self, subject: str, receive: Callable[[Msg], Awaitable[None]], queue: str = "", limit: int = 65_536
    ) -> Subscription:
        """Subscribe; `receive` must not wait, for it holds up what comes behind. `subscribe`, fully typed."""
        subscribe: Callable[..., Awaitable[Subscription]] = cast(Any, super()).subscribe
        return await subscribe(subject, queue=queue, cb=receive, pending_msgs_limit=limit)

    def identify(self, credentials: Credentials) -> dict[str, Any]:
        """Answer the server's question who we are, now and whenever we connect anew: options for `connect`."""
        self._auth_configured = True
        self._public_nkey = credentials.key.public
        options: dict[str, Any] = {"signature_cb": credentials.key.sign}
        if credentials.jwt:
            options["user_jwt_cb"] = lambda: credentials.jwt.encode()
        return options

    @property
    def cluster(self) -> str:
        """The name of the cluster that the server is in; empty when it is alone."""
        return self._told("cluster")

    @property
    def version(self) -> str:
        """The version of the server, as it says it."""
        return self._told("version")

    def push(self) -> None:
        """Hand what was sent to the socket now; the flusher does it when it has its turn, behind everything else."""
        if self.is_connected and 0 < self._pending_data_size <= _PUSHED_BYTES:
            pending, self._pending, self._pending_data_size = self._pending, [], 0
            cast(Any, self)._transport.writelines(pending)

    def fail_requests(self, error: Exception) -> None:
        """The connection is lost: end every request that is waiting for an answer with `error`."""
        waiting: dict[str, asyncio.Future[Msg]] = cast(Any, self)._resp_map
        for future in list(waiting.values()):
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waited for it may have been cancelled: then nobody is to be told
        # Their answers would be taken for those of the pings on the next connection.
        self._pending_data_size -= len(_PING) * self._pending.count(_PING)
        self._pending = [command for command in self._pending if command != _PING]

    async def drain_subscription(self, subscription: Subscription) -> None:
        """Take no more, and wait until what was sent by then has been received."""
        await cast(Any, subscription).drain()

    def _told(self, name: str) -> str:
        """What the server said of itself when we connected."""
        info: dict[str, Any] = cast(Any, self)._server_info
        return str(info.get(name, ""))

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        with _heeded():
            return await super().request(subject, payload, timeout, old_style, headers)

    async def flush(self, timeout: int = 10) -> None:
        with _heeded():
            await super().flush(timeout)

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        with _heeded():
            return await super()._flush_pending(force_flush)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        if not self.is_connected:
            # nats-py would send to a socket that is gone, fail, and leave the rest of it open.
            self._pending, self._pending_data_size = [], 0
        await super()._close(status, do_cbs)

    async def _process_err(self, err_msg: str) -> None:
        if "permissions violation" in err_msg.lower():
            await super()._process_err(err_msg)  # concerns one subject, the connection stays
            return
        error = errors.Error(f"nats: {err_msg}")
        await self._error_cb(error)
        await self._process_op_err(error)

    async def _process_op_err(self, e: Exception) -> None:
        if self.is_connected:
            if isinstance(self._transport, TcpTransport):
                cast(Any, self._transport)._io_writer.transport.abort()
            if self._current_server is not None:
                self._current_server.reconnects += 1  # `back_off` tries the others first
        await super()._process_op_err(e)

    async def _send_ping(self, future: "asyncio.Future[bool] | None" = None) -> None:
        waiting: list[asyncio.Future[bool]] = cast(Any, self)._pongs
        waiting.append(future or asyncio.get_running_loop().create_future())
        await self._send_command(_PING)
        await self._flush_pending()

    async def _process_pong(self) -> None:
        waiting: list[asyncio.Future[bool]] = cast(Any, self)._pongs
        if waiting and waiting[0].done():
            waiting.pop(0)
            self._pings_outstanding = 0
            return
        await super()._process_pong()

    async def _read_loop(self) -> None:
        transport = self._transport
        await super()._read_loop()
        # A loop that ends while the client counts as connected has died: neither a reconnect nor a close ended it.
        if self._status == BaseClient.CONNECTED and self._transport is transport:
            await self._process_op_err(errors.StaleConnectionError())


@contextmanager
def _heeded() -> Generator[None]:
    """Raise the cancellation of the task that nats-py, or `asyncio.wait_for` of Python 3.11, has swallowed within."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


def back_off(servers: list[Server], _info: dict[str, Any]) -> tuple[Server, float]:
    """The next server to try, those that failed least first, and how many seconds to wait before."""
    server = min(servers, key=lambda server: server.reconnects)
    return server, delay_s(server.reconnects)


def delay_s(failures: int) -> float:
    """Twice as long after each failure, up to a bound, and never in step with other clients."""
    longest: float = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(failures, 16))
    return longest * random.uniform(0.5, 1.0)
