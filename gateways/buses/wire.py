"""What may be sent: checked before sending, since NATS answers some of it by closing the connection.

Both adapters check the same, so that what works in one process works over NATS too.
"""

import re
from collections.abc import Mapping

from ...events.errors import ConfigError, TooLarge
from ...events.subjects import is_literal, is_pattern

MAX_PAYLOAD_BYTES = 1024 * 1024
"""NATS' default for one message, headers included."""

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_LINE_BREAK = re.compile(r"[\r\n]")


def check_message(subject: str, data: bytes, headers: Mapping[str, str] | None, limit_bytes: int) -> None:
    """Refuse what could not be sent, or would arrive as something else.

    Raises:
        ConfigError: `subject` is not a subject, or a header would not survive the wire.
        TooLarge: Data and headers are more than `limit_bytes`.
    """
    if not is_literal(subject):
        raise ConfigError(f"{subject!r} is not a subject to send to: tokens with dots between, no spaces, no wildcards")
    size = len(data) + (headers_size(headers) if headers else 0)
    if size > limit_bytes:
        raise TooLarge(f"message to {subject!r}", size, limit_bytes)


def check_pattern(pattern: str) -> None:
    """Refuse what one cannot listen to.

    Raises:
        ConfigError: `pattern` is neither a subject nor a pattern.
    """
    if not is_pattern(pattern):
        raise ConfigError(f"{pattern!r} is not a subject or pattern: `*` is one token, `>` at the end one or more")


def headers_size(headers: Mapping[str, str]) -> int:
    """How many bytes `headers` take in a NATS message.

    Raises:
        ConfigError: A name is not a token, or a value has line breaks or spaces around it, which NATS drops.
    """
    size = len("NATS/1.0\r\n") + len("\r\n")
    for name, value in headers.items():
        if not _HEADER_NAME.match(name):
            raise ConfigError(f"{name!r} is not a header name: letters, digits and -_.!#$%&'*+^`|~")
        if value != value.strip() or _LINE_BREAK.search(value):
            raise ConfigError(f"header {name!r} has line breaks or outer spaces, which NATS drops: {value!r}")
        size += len(name) + len(value.encode("utf-8")) + len(": \r\n")
    return size
