"""What may go wrong on the wire between an adapter and its provider, each as a few lines of a server."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal, NamedTuple

from wire import Peer, Play

Mode = Literal["whole", "streamed"]

REFUSED = "nobody listens"
TOO_LONG = "429 with a `Retry-After` of a day"


PROMISED = 1_000_000
"""A length that no answer has."""


class Fault(NamedTuple):
    """A fault.

    Attributes:
        kinds: What it is to end as (`ModelError.kind`), as a whole answer and streamed; empty where there is no such
            fault.
        hangs: The client has to give up.
        sent: The request may be charged: nobody has refused it.
        litellm: What it ends as with LiteLLM, where that hides what the provider said or has its own idea of it.
    """

    name: str
    play: Play
    kinds: Mapping[Mode, str]
    hangs: bool = False
    sent: bool = True
    litellm: Mapping[Mode, str] = {}

    def kind(self, mode: Mode, api: str) -> str:
        """What it is to end as."""
        return self.litellm.get(mode, self.kinds[mode]) if api == "LiteLLM" else self.kinds[mode]


def both(kind: str) -> dict[Mode, str]:
    return {"whole": kind, "streamed": kind}


def streams(kind: str) -> dict[Mode, str]:
    return {"streamed": kind}


def whole(kind: str) -> dict[Mode, str]:
    return {"whole": kind}


# --- the connection --------------------------------------------------------------------------------------------------


async def _answers(peer: Peer) -> None:
    if peer.answer.streamed:
        await peer.head(transfer_encoding="chunked")
        await peer.chunks(*peer.answer.events)
    else:
        await peer.whole(peer.answer.body)


async def _says_nothing(peer: Peer) -> None:
    return


async def _resets(peer: Peer) -> None:
    peer.reset()


async def _half_a_head(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: appl")


async def _no_http(peer: Peer) -> None:
    await peer.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


async def _hangs(peer: Peer) -> None:
    await peer.hang()


async def _hangs_in_its_head(peer: Peer) -> None:
    await _half_a_head(peer)
    await peer.hang()


async def _hangs_after_its_head(peer: Peer) -> None:
    await peer.head(content_length=str(PROMISED))
    await peer.hang()


async def _half_a_body(peer: Peer) -> None:
    body = peer.answer.body
    await peer.head(content_length=str(len(body)))
    await peer.send(body[: len(body) // 2])


async def _half_a_body_and_hangs(peer: Peer) -> None:
    await _half_a_body(peer)
    await peer.hang()


# --- lengths and encodings -------------------------------------------------------------------------------------------


async def _promises_more(peer: Peer) -> None:
    await peer.head(content_length=str(PROMISED))
    await peer.send(peer.answer.body)


async def _promises_less(peer: Peer) -> None:
    body = peer.answer.body
    await peer.head(content_length=str(len(body) // 2))
    await peer.send(body)


async def _no_chunks(peer: Peer) -> None:
    await peer.head(transfer_encoding="chunked")
    await peer.send(b"zz\r\n" + peer.answer.body)


async def _breaks_a_chunk(peer: Peer) -> None:
    await peer.head(transfer_encoding="chunked")
    begun = _begun(peer) if peer.answer.streamed else [peer.answer.body[:20]]
    await peer.chunks(*begun, end=False)
    await peer.send(b"zz\r\n")


async def _no_gzip(peer: Peer) -> None:
    await peer.whole(peer.answer.body, content_encoding="gzip")


# --- the contents ----------------------------------------------------------------------------------------------------


def body(data: bytes, content_type: str = "") -> Play:
    """An answer with this body, in a right frame."""

    async def play(peer: Peer) -> None:
        await peer.whole(data, content_type=content_type or peer.answer.content_type)

    return play


async def _half_a_json(peer: Peer) -> None:
    await peer.whole(peer.answer.body[: len(peer.answer.body) // 2])


def _begun(peer: Peer) -> list[bytes]:
    """The stream up to the first piece of text, and that."""
    events = peer.answer.events
    return events[: len(peer.answer.events_before(b"morning")) + 1]


def stream(*data: bytes, end: bool = True, hang: bool = False) -> Play:
    """The stream up to its first piece of text, then events with this, then its end in order, a cut, or nothing."""

    async def play(peer: Peer) -> None:
        name = _begun(peer)[-1].partition(b"\n")[0] + b"\n" if peer.answer.named else b""
        await peer.head(transfer_encoding="chunked")
        await peer.chunks(*_begun(peer), *(name + b"data: " + each + b"\n\n" for each in data), end=end)
        if hang:
            await peer.hang()

    return play


async def _half_an_event(peer: Peer) -> None:
    begun = _begun(peer)
    following = peer.answer.events[len(begun)]
    await peer.head(transfer_encoding="chunked")
    await peer.chunks(*begun, following[: len(following) // 2], end=False)


async def _without_its_end(peer: Peer) -> None:
    """All the text, and then the end of the stream, without the event that ends the answer."""
    ends = (b'"finish_reason":"stop"', b'"response.completed"', b'"message_delta"')
    (word,) = [word for word in ends if word in peer.answer.body]
    await peer.head(transfer_encoding="chunked")
    await peer.chunks(*peer.answer.events_before(word))


async def _error_event(peer: Peer) -> None:
    """As each of the protocols has it."""
    said = {"type": "server_error", "code": "server_error", "message": "It broke."}
    if b"event: message_start" in peer.answer.body:
        told: dict[str, Any] = {"type": "error", "error": {"type": "api_error", "message": "It broke."}}
    elif peer.answer.named:
        told = {**said, "type": "error", "sequence_number": 9}
    else:
        told = {"error": said}
    name = b"event: error\n" if peer.answer.named else b""
    await peer.head(transfer_encoding="chunked")
    await peer.chunks(*_begun(peer), name + b"data: " + json.dumps(told).encode() + b"\n\n")


# --- statuses --------------------------------------------------------------------------------------------------------

HTML = b"<!DOCTYPE html><html><body><h1>Bad gateway</h1></body></html>"


def status(code: int, **headers: str) -> Play:
    """A refusal, in words that OpenAI's and Anthropic's protocols share."""

    async def play(peer: Peer) -> None:
        why = f"There is no {peer.model}." if code == 404 else "No."
        told = {"type": "error", "error": {"type": _TYPES.get(code, "invalid_request_error"), "message": why}}
        await peer.whole(json.dumps(told).encode(), code, content_type="application/json", **headers)

    return play


_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def page(code: int) -> Play:
    """A page for people, as proxies have them."""

    async def play(peer: Peer) -> None:
        await peer.whole(HTML, code, content_type="text/html")

    return play


async def _busy_until(peer: Peer) -> None:
    until = datetime.now(UTC) + timedelta(seconds=30)
    await status(429, retry_after=format_datetime(until, usegmt=True))(peer)


WELL = Fault("nothing", _answers, both(""))
"""What every adapter must answer to."""

FAULTS = [
    Fault(REFUSED, _says_nothing, both("connection"), sent=False),
    Fault("the connection is closed before the first byte", _says_nothing, both("connection")),
    Fault("the connection is reset before the first byte", _resets, both("connection")),
    Fault("the connection is closed in the headers", _half_a_head, both("connection")),
    Fault("the server speaks no HTTP", _no_http, both("connection")),
    Fault("nothing comes", _hangs, both("timeout"), hangs=True),
    Fault("nothing comes after half the headers", _hangs_in_its_head, both("timeout"), hangs=True),
    Fault("nothing comes after the headers", _hangs_after_its_head, both("timeout"), hangs=True),
    Fault("nothing comes after half the body", _half_a_body_and_hangs, both("timeout"), hangs=True),
    Fault("the connection is closed in the middle of the body", _half_a_body, both("connection")),
    Fault("`Content-Length` is longer than the body", _promises_more, whole("connection")),
    Fault(
        "`Content-Length` is shorter than the body",
        _promises_less,
        {"whole": "bad_reply", "streamed": "truncated"},
        litellm=both("connection"),
    ),
    Fault("the body is not in chunks, as it says", _no_chunks, both("connection")),
    Fault("a chunk in the middle is none", _breaks_a_chunk, both("connection")),
    Fault("the body is not compressed, as it says", _no_gzip, both("bad_reply")),
    Fault("the body is empty", body(b""), both("bad_reply"), litellm=streams("truncated")),
    Fault("garbage instead of JSON", body(b"\x00\xff not json {"), both("bad_reply")),
    Fault("half the JSON", _half_a_json, whole("bad_reply")),
    Fault("JSON that is no object", body(b'"Good morning."'), whole("bad_reply"), litellm=whole("server_error")),
    Fault("JSON that is `null`", body(b"null"), whole("bad_reply"), litellm=whole("server_error")),
    Fault("an object without the fields of an answer", body(b"{}"), whole("bad_reply"), litellm=whole("server_error")),
    Fault(
        "a page in HTML with 200",
        body(HTML, "text/html"),
        both("bad_reply"),
        litellm={"whole": "server_error", "streamed": "truncated"},
    ),
    Fault("an event with garbage instead of JSON", stream(b"{not json"), streams("bad_reply")),
    Fault(
        "an event that is no object", stream(b'"Good morning."'), streams("bad_reply"), litellm=streams("server_error")
    ),
    Fault("bytes that are no text in an event", stream(b"\xff\xfe"), streams("bad_reply")),
    Fault("the connection is closed between two events", stream(end=False), streams("connection")),
    Fault("the connection is closed in the middle of an event", _half_an_event, streams("connection")),
    Fault("nothing comes between two events", stream(end=False, hang=True), streams("timeout"), hangs=True),
    Fault("the stream ends between two events", stream(), streams("truncated")),
    Fault("the stream ends before its last event", _without_its_end, streams("truncated")),
    Fault("an error between two events", _error_event, streams("server_error")),
    Fault("400", status(400), both("invalid_request"), sent=False),
    Fault("401", status(401), both("authentication"), sent=False),
    Fault("402", status(402), both("quota"), sent=False),
    Fault("403", status(403), both("authentication"), sent=False),
    Fault("404", status(404), both("unknown_model"), sent=False),
    Fault("408", status(408), both("timeout"), sent=False),
    Fault("409", status(409), both("transient"), sent=False),
    Fault("413", status(413), both("invalid_request"), sent=False),
    Fault("422", status(422), both("invalid_request"), sent=False),
    Fault("429", status(429), both("rate_limited"), sent=False),
    Fault("429 with `Retry-After` in seconds", status(429, retry_after="7"), both("rate_limited"), sent=False),
    Fault("429 with `Retry-After` as a date", _busy_until, both("rate_limited"), sent=False),
    Fault("429 with `retry-after-ms`", status(429, retry_after_ms="1500"), both("rate_limited"), sent=False),
    Fault(TOO_LONG, status(429, retry_after="86400"), both("rate_limited"), sent=False),
    Fault("500", status(500), both("server_error"), sent=False),
    Fault("502", status(502), both("server_error")),
    Fault("502 with a page in HTML", page(502), both("server_error")),
    Fault("503", status(503), both("overloaded"), sent=False),
    Fault("503 with a page in HTML", page(503), both("overloaded"), sent=False),
    Fault("504", status(504), both("timeout")),
    Fault("529", status(529), both("overloaded"), sent=False),
]
