"""What can go wrong with a model call, grouped by whether the same call may succeed later.

    ModelError                       unknown: what a model of somebody's own raised; not retried
    ├── TransientModelError          the same call may succeed later: retried before the first chunk
    │   ├── RateLimitError           rate_limited: too many calls; `retry_after_s` when the provider said so
    │   ├── OverloadedError          overloaded: the provider has no room (503, 529)
    │   ├── ServerError              server_error: the provider failed (5xx)
    │   ├── ConnectionFailed         connection: never connected, or cut
    │   ├── ModelTimeout             timeout: no answer in time
    │   └── CircuitOpen              circuit_open: not sent, because the calls before it failed
    └── PermanentModelError          the same call fails again: never retried
        ├── AuthenticationError      authentication: the key is missing, wrong or may not do this
        ├── QuotaExceeded            quota: the account is out of credit
        ├── InvalidRequestError      invalid_request: the provider refuses the request as it is
        │   └── UnknownModel         unknown_model: the provider has no such model
        ├── ContentFilterError       content_filter: the answer, or the question, was filtered
        │   └── RequestRefused       refused: the model declined to answer
        ├── TruncatedAnswer          truncated: the answer ended in its middle
        ├── BadReply                 bad_reply: the answer is not what the protocol says
        └── OutputValidationError    output_validation: the answer does not fit `output_schema=`

`kind` is what is recorded (`run.model_failed`), and `model_error` makes the same error of it again. Adapters translate
what their SDK raises by one table each (`gateways/models/`); a model of one's own may raise these too.
"""

from typing import Any, ClassVar

from ..events.errors import TreadleError
from ..events.message import Usage
from ..events.redaction import redact
from .surrogates import mended


class ModelError(TreadleError):
    """A model call came to nothing.

    Attributes:
        kind: The word that is recorded.
        provider: Who was asked: `openai`, `anthropic` …
        status: The HTTP status; 0 without one.
        request_id: The provider's id of the request, for asking them.
        retry_after_s: How long the provider asks to wait; None when it does not say.
        usage: What the provider is known to charge for it all the same.
        may_be_charged: The request was sent, and nobody knows what the provider charges for it; with `usage`, what it
            charges beyond that.
    """

    KIND: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        kind: str = "",
        *,
        provider: str = "",
        status: int = 0,
        request_id: str = "",
        retry_after_s: float | None = None,
        usage: Usage | None = None,
        may_be_charged: bool = False,
    ) -> None:
        # Providers quote the key that they refuse, and what they were sent, cut anywhere: within a character too.
        super().__init__(redact(mended(message)))
        self.kind = mended(kind) or self.KIND
        self.provider = provider
        self.status = status
        self.request_id = mended(request_id)
        self.retry_after_s = retry_after_s
        self.usage = usage
        self.may_be_charged = may_be_charged

    @property
    def details(self) -> dict[str, Any]:
        """What it says beside its message, for `model_error`."""
        told = {
            "provider": self.provider,
            "status": self.status,
            "request_id": self.request_id,
            "retry_after_s": self.retry_after_s,
        }
        return {name: value for name, value in told.items() if value}


class TransientModelError(ModelError):
    """The same call may succeed later."""

    KIND = "transient"


class RateLimitError(TransientModelError):
    """Too many calls. `retry_after_s` when the provider says how long to wait."""

    KIND = "rate_limited"


class OverloadedError(TransientModelError):
    """The provider has no room for the call."""

    KIND = "overloaded"


class ServerError(TransientModelError):
    """The provider failed."""

    KIND = "server_error"


class ConnectionFailed(TransientModelError):
    """There was no connection, or it was cut."""

    KIND = "connection"


class ModelTimeout(TransientModelError):
    """There was no answer in time."""

    KIND = "timeout"


class OutOfTime(ModelTimeout):
    """It took longer than the agent waits (`model_timeout_s`). Others may be more patient."""


class CircuitOpen(TransientModelError):
    """Not sent: the calls before it failed one after the other. `retry_after_s` is when the next one may try."""

    KIND = "circuit_open"


class PermanentModelError(ModelError):
    """The same call fails again."""

    KIND = "permanent"


class AuthenticationError(PermanentModelError):
    """The key is missing, wrong, or may not do this."""

    KIND = "authentication"


class QuotaExceeded(PermanentModelError):
    """The account is out of credit."""

    KIND = "quota"


class InvalidRequestError(PermanentModelError):
    """The provider refuses the request as it is."""

    KIND = "invalid_request"


class UnknownModel(InvalidRequestError):
    """The provider has no such model."""

    KIND = "unknown_model"


class ContentFilterError(PermanentModelError):
    """The question or its answer was filtered."""

    KIND = "content_filter"


class RequestRefused(ContentFilterError):
    """The model declined to answer."""

    KIND = "refused"


class TruncatedAnswer(PermanentModelError):
    """The answer ended in its middle."""

    KIND = "truncated"


class BadReply(PermanentModelError):
    """The answer is not what the protocol says."""

    KIND = "bad_reply"


class OutputValidationError(PermanentModelError):
    """The model's answer does not fit what was asked for, and neither did its corrections.

    Attributes:
        raw: The last answer.
        schema: The JSON Schema that it should fit.
        cause: What does not fit, as the model was told.
    """

    KIND = "output_validation"

    def __init__(self, message: str, *, raw: str = "", schema: Any = None, cause: str = "") -> None:
        super().__init__(message)
        self.raw = raw
        self.schema = schema
        self.cause = cause

    @property
    def details(self) -> dict[str, Any]:
        return {"raw": self.raw, "cause": self.cause}


def _kinds(cls: type[ModelError]) -> dict[str, type[ModelError]]:
    # One without a word of its own, somebody's subclass, must not stand for those that are recorded with it.
    found = {cls.KIND: cls} if "KIND" in vars(cls) else {}
    for below in cls.__subclasses__():
        found |= _kinds(below)
    return found


def model_error_class(kind: str) -> type[ModelError]:
    """The class of the errors that are recorded with this `kind`; `ModelError` when it is none of ours."""
    return _kinds(ModelError).get(kind, ModelError)


def model_error(message: str, kind: str, **details: Any) -> ModelError:
    """The error that was recorded with this `kind`, and with these of its `details`."""
    made = model_error_class(kind)
    if issubclass(made, OutputValidationError):
        return made(message, **details)
    return made(message, kind, **details)
