"""What goes wrong below a provider's SDK, on the wire.

SDKs wrap what httpx raises while a request is sent, and let it through while an answer is streamed. The names are the
same in httpx and httpx2, so the table has names, and no client library is imported for it.
"""

from collections.abc import Mapping
from typing import Final

from ...actors.model_errors import BadReply, ConnectionFailed, InvalidRequestError, ModelError, ModelTimeout

TRANSPORT: Final[Mapping[str, tuple[type[ModelError], bool]]] = {
    "ConnectTimeout": (ModelTimeout, False),
    "PoolTimeout": (ModelTimeout, False),
    "TimeoutException": (ModelTimeout, True),
    "ConnectError": (ConnectionFailed, False),
    "ProxyError": (ConnectionFailed, False),
    "TransportError": (ConnectionFailed, True),
    "RequestError": (ConnectionFailed, True),
    "DecodingError": (BadReply, True),
    "TooManyRedirects": (BadReply, False),
    "UnsupportedProtocol": (InvalidRequestError, False),
    "LocalProtocolError": (InvalidRequestError, False),
    "InvalidURL": (InvalidRequestError, False),
    "StreamError": (ConnectionFailed, True),
    "UnicodeEncodeError": (InvalidRequestError, False),
    "UnicodeDecodeError": (BadReply, True),
    "JSONDecodeError": (BadReply, True),
}
"""By the name of an exception or of what it derives from: our error, and whether the request may be charged."""


UNKNOWN_END: Final = (502, 504, 524)
"""Statuses by which a gateway tells that it does not know what became of the request: it may be charged."""


def transport_error(exc: BaseException) -> tuple[type[ModelError], bool] | None:
    """Our error for what httpx raised, or for what it was that an SDK wrapped; None when it is something else."""
    at: BaseException | None = exc
    while at is not None:
        for base in type(at).__mro__:
            if (found := TRANSPORT.get(base.__name__)) is not None:
                return found
        at = at.__cause__
    return None


def quotes_header(exc: BaseException) -> bool:
    """Whether a header that is refused stands in its words: that may be the key."""
    return type(exc).__name__ == "LocalProtocolError"


def words_of(exc: BaseException) -> str:
    """What it says, as far as that may be told."""
    return "" if quotes_header(exc) else str(exc)
