"""What the Anthropic SDK raises, as our errors: one table, that a test keeps complete."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final

from ....actors.model_errors import (
    AuthenticationError,
    BadReply,
    ConnectionFailed,
    InvalidRequestError,
    ModelError,
    ModelTimeout,
    OverloadedError,
    PermanentModelError,
    QuotaExceeded,
    RateLimitError,
    ServerError,
    TransientModelError,
    UnknownModel,
)
from ....events.message import Usage
from ..retry_after import retry_after_s
from ..transport_errors import UNKNOWN_END, transport_error, words_of
from .reading import Reading

TABLE: Final[Mapping[str, type[ModelError]]] = {
    # Codes, where they say something else than their status does.
    "contract_spend_limit_reached": QuotaExceeded,
    "enforced_spend_limit_reached": QuotaExceeded,
    "linked_organization_billing_unavailable": QuotaExceeded,
    "linked_organization_spend_limit_reached": QuotaExceeded,
    "organization_on_hold": AuthenticationError,
    "file_expired": InvalidRequestError,
    "thread_not_found": InvalidRequestError,
    # Types. An error in the middle of a stream has nothing else: its status is the 200 that the stream began with.
    "invalid_request_error": InvalidRequestError,
    "authentication_error": AuthenticationError,
    "billing_error": QuotaExceeded,
    "permission_error": AuthenticationError,
    "not_found_error": UnknownModel,
    "request_too_large": InvalidRequestError,
    "rate_limit_error": RateLimitError,
    "timeout_error": ModelTimeout,
    "api_error": ServerError,
    "overloaded_error": OverloadedError,
    "memory_precondition_failed_error": InvalidRequestError,
    "memory_path_conflict_error": InvalidRequestError,
    "conflict_error": TransientModelError,
    # Classes: their statuses, for proxies that have types of their own.
    "BadRequestError": InvalidRequestError,
    "AuthenticationError": AuthenticationError,
    "PaymentRequiredError": QuotaExceeded,
    "PermissionDeniedError": AuthenticationError,
    "NotFoundError": UnknownModel,
    "RequestTimeoutError": ModelTimeout,
    "ConflictError": TransientModelError,
    "PreconditionFailedError": InvalidRequestError,
    "ContentTooLargeError": InvalidRequestError,
    "UnprocessableEntityError": InvalidRequestError,
    "RateLimitError": RateLimitError,
    "RequestHeaderFieldsTooLargeError": InvalidRequestError,
    "ClientClosedRequestError": ConnectionFailed,
    "HTTPNotImplementedError": InvalidRequestError,
    "ServiceUnavailableError": OverloadedError,
    "GatewayTimeoutError": ModelTimeout,
    "OverloadedError": OverloadedError,
    "InternalServerError": ServerError,
    # Classes without a status of their own.
    "APIResponseValidationError": BadReply,
    "APIWebhookValidationError": BadReply,
    "APITimeoutError": ModelTimeout,
    "APIConnectionError": ConnectionFailed,
    "CredentialsError": AuthenticationError,
    "IdentityTokenFileError": AuthenticationError,
    "WorkloadIdentityError": AuthenticationError,
    "RetryableError": TransientModelError,
    "APIError": ServerError,
    "AnthropicError": PermanentModelError,
}
"""By the code or the type that the provider gives, or else by the SDK's class or what it derives from."""

_NO_CREDIT: Final = "credit balance is too low"


@contextmanager
def translated(reading: Reading) -> Generator[None]:
    """What the SDK raises in here becomes a `ModelError`, with what `reading` knows to be charged."""
    try:
        yield
    except ModelError:
        raise
    except Exception as exc:
        found = error_of(exc, reading.charged)
        if found is None:
            raise
        found.request_id = found.request_id or reading.request_id
        raise found from exc


def error_of(exc: Exception, charged: Usage | None = None) -> ModelError | None:
    """Our error for what the SDK raised, or let through; None for what has nothing to do with it.

    Args:
        charged: What the provider said before it happened.
    """
    response = getattr(exc, "response", None)
    status: int = getattr(exc, "status_code", None) or 0
    wire = transport_error(exc)
    made = _made_of(exc, status)
    if wire is not None and (made is None or status == 0):
        made = wire[0]
    if made is None:
        return None
    if wire is not None:
        may_be_charged = wire[1]
    elif status:  # a refusal costs nothing; in the middle of a stream, or behind a gateway, nobody knows
        may_be_charged = status < 400 or status in UNKNOWN_END
    else:
        may_be_charged = issubclass(made, (ConnectionFailed, ModelTimeout))
    return made(
        f"anthropic: {_said(exc, status)}",
        provider="anthropic",
        status=status,
        request_id=getattr(exc, "request_id", None) or "",
        retry_after_s=retry_after_s(response.headers) if response is not None else None,
        usage=charged,
        may_be_charged=may_be_charged,
    )


def _made_of(exc: Exception, status: int) -> type[ModelError] | None:
    if _NO_CREDIT in str(getattr(exc, "api_message", None) or exc):
        return QuotaExceeded  # an `invalid_request_error` by its type
    for key in (getattr(exc, "error_code", None), getattr(exc, "type", None)):
        if isinstance(key, str) and key in TABLE:
            return TABLE[key]
    for base in type(exc).__mro__:
        if base.__module__.startswith("anthropic") and base.__name__ in TABLE:
            return TABLE[base.__name__]
        if base.__name__ == "APIStatusError":
            return InvalidRequestError if 400 <= status < 500 else ServerError
    return None


def _said(exc: Exception, status: int) -> str:
    """The status, the type and the provider's own words, or the exception's."""
    told = (getattr(exc, "type", None), getattr(exc, "api_message", None))
    kind, words = (each if isinstance(each, str) else "" for each in told)
    if not words:
        why = exc if status or exc.__cause__ is None else exc.__cause__
        words = words_of(why) or type(why).__name__
    return " ".join(part for part in (str(status) if status else "", kind, words) if part)
