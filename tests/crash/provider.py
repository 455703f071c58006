"""A provider of a model: a server outside the processes that are killed, and its own account of what it was asked.

It answers by a rule, and bills a request as soon as it has it whole, whether anybody takes the answer or not. It tells
first that it is at it (102), so that a client can die knowing that the provider has its request.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from treadle import Message, ModelReply, ToolSpec, Usage

CENTS = 0.01
"""What a token costs, in US dollars."""
MOST_OUT = 200
"""How long an answer may get, in tokens."""

Rule = Callable[[Sequence[Message], Sequence[ToolSpec]], ModelReply]


class Asked(NamedTuple):
    """One line of the provider's account."""

    call_id: str
    attempt: int
    usage: Usage


class Question(msgspec.Struct, frozen=True):
    """A request."""

    call_id: str
    attempt: int
    messages: tuple[Message, ...]


def tokens_in(messages: Sequence[Message]) -> int:
    """What a question counts as: a character is a token."""
    return sum(1 + len(message.content) for message in messages)


def usage_of(tokens_in: int, tokens_out: int) -> Usage:
    return Usage(tokens_in, tokens_out, cost_usd=(tokens_in + tokens_out) * CENTS)


class Provider:
    """The server. The first part of a request's path names the account."""

    def __init__(self, rule: Rule) -> None:
        self._accounts: defaultdict[str, list[Asked]] = defaultdict(list)
        accounts = self._accounts

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                asked = msgspec.json.decode(body, type=Question)
                reply = rule(asked.messages, ())
                usage = usage_of(tokens_in(asked.messages), 10 + len(reply.text))
                accounts[self.path.strip("/")].append(Asked(asked.call_id, asked.attempt, usage))
                answer = msgspec.json.encode(msgspec.structs.replace(reply, usage=usage))
                self.close_connection = True
                try:
                    self.send_response_only(102)
                    self.end_headers()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except ConnectionError:
                    return  # nobody waits any more; it is billed all the same

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="provider")

    def url(self, account: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{account}"

    def account(self, account: str) -> list[Asked]:
        """What it was asked, in order."""
        return list(self._accounts[account])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
