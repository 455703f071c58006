"""Treadle's loggers: no record of theirs holds a secret, whoever handles it.

The filter is on each logger. On the one above it would see none of their records, and on handlers not those of others.
"""

import logging
from typing import Final

from .redaction import redact, redaction

_traceback: Final = logging.Formatter().formatException


class _Redacting(logging.Filter):
    """Masks what a record says. One that holds no secret keeps its parts, as handlers may want them."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not redaction.is_on:
            return True
        said = record.getMessage()
        if (masked := redact(said)) != said:
            record.msg, record.args = masked, None
        if record.exc_info:
            text = _traceback(record.exc_info)
            if (masked := redact(text)) != text:
                # As a `QueueHandler` leaves it: handlers take the text where there is no exception.
                record.exc_info, record.exc_text = None, masked
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


_redacting: Final = _Redacting()


def get_logger(name: str) -> logging.Logger:
    """The logger of this name, which is `treadle` or begins with `treadle.`; all of Treadle's are made here."""
    made = logging.getLogger(name)
    made.addFilter(_redacting)
    return made
