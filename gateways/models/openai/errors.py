"""What the OpenAI SDK raises and what a provider answers, as errors of the taxonomy (`actors/model_errors.py`).

What goes wrong below the SDK is in `transport_errors.py`. Exceptions are known by their names, so that the SDK is not
imported for this; a test holds the tables against all that the installed one exports.
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

from ....actors.model_errors import (
    AuthenticationError,
    BadReply,
    ConnectionFailed,
    ContentFilterError,
    InvalidRequestError,
    ModelError,
    ModelTimeout,
    OverloadedError,
    QuotaExceeded,
    RateLimitError,
    ServerError,
    TransientModelError,
    TruncatedAnswer,
    UnknownModel,
)
from ..retry_after import retry_after_s
from ..transport_errors import UNKNOWN_END, transport_error, words_of

CODES: Mapping[str, type[ModelError]] = {
    "insufficient_quota": QuotaExceeded,
    "billing_hard_limit_reached": QuotaExceeded,
    "billing_not_active": QuotaExceeded,
    "model_not_found": UnknownModel,
    "DeploymentNotFound": UnknownModel,
    "invalid_api_key": AuthenticationError,
    "rate_limit_exceeded": RateLimitError,
    "server_is_overloaded": OverloadedError,
    "slow_down": OverloadedError,
    "server_error": ServerError,
    "internal_error": ServerError,
    "vector_store_timeout": ServerError,
    "context_length_exceeded": InvalidRequestError,
    "data_residency_mismatch": InvalidRequestError,
    "content_filter": ContentFilterError,
    "content_policy_violation": ContentFilterError,
    "image_content_policy_violation": ContentFilterError,
    "misalignment_policy_violation": ContentFilterError,
    "bio_policy": ContentFilterError,
    "invalid_prompt": ContentFilterError,  # "flagged as potentially violating our usage policy"
    "data_inspection_failed": ContentFilterError,  # Qwen's word
    "invalid_image": InvalidRequestError,
    "invalid_image_format": InvalidRequestError,
    "invalid_base64_image": InvalidRequestError,
    "invalid_image_url": InvalidRequestError,
    "invalid_image_mode": InvalidRequestError,
    "image_too_large": InvalidRequestError,
    "image_too_small": InvalidRequestError,
    "image_parse_error": InvalidRequestError,
    "image_file_too_large": InvalidRequestError,
    "image_file_not_found": InvalidRequestError,
    "unsupported_image_media_type": InvalidRequestError,
    "empty_image_file": InvalidRequestError,
    "failed_to_download_image": InvalidRequestError,
}
"""By the `code` of an error's body, or a `type` that is none of the general ones: more exact than its status."""

STATUSES: Mapping[int, type[ModelError]] = {
    401: AuthenticationError,
    402: QuotaExceeded,
    403: AuthenticationError,
    408: ModelTimeout,
    409: TransientModelError,  # "another request is using the resource"
    429: RateLimitError,
    498: OverloadedError,  # Groq: no capacity
    503: OverloadedError,
    504: ModelTimeout,
    529: OverloadedError,
}
"""By the status of an answer; any other from 500 on is a ServerError, any below that an InvalidRequestError."""

TYPES: Mapping[str, type[ModelError]] = {
    "authentication_error": AuthenticationError,
    "permission_error": AuthenticationError,
    "invalid_request_error": InvalidRequestError,
    "not_found_error": InvalidRequestError,
    "rate_limit_error": RateLimitError,
    "overloaded_error": OverloadedError,
    "server_error": ServerError,
}
"""By the general `type` of an error inside of an answer, which has no status of its own."""

EXCEPTIONS: Mapping[str, type[ModelError]] = {
    "OpenAIError": InvalidRequestError,
    "APIError": ServerError,
    "APIStatusError": InvalidRequestError,
    "BadRequestError": InvalidRequestError,
    "AuthenticationError": AuthenticationError,
    "OAuthError": AuthenticationError,
    "SubjectTokenProviderError": AuthenticationError,
    "PermissionDeniedError": AuthenticationError,
    "NotFoundError": InvalidRequestError,
    "ConflictError": TransientModelError,
    "UnprocessableEntityError": InvalidRequestError,
    "RateLimitError": RateLimitError,
    "InternalServerError": ServerError,
    "APIConnectionError": ConnectionFailed,
    "APITimeoutError": ModelTimeout,
    "APIResponseValidationError": BadReply,
    "LengthFinishReasonError": TruncatedAnswer,
    "ContentFilterFinishReasonError": ContentFilterError,
    "InvalidWebhookSignatureError": BadReply,
    "WebSocketConnectionClosedError": ConnectionFailed,
    "WebSocketQueueFullError": ConnectionFailed,
}
"""By an exception of the SDK, or what it derives from, when it tells nothing more."""


def translated(exc: Exception, provider: str, model: str) -> ModelError | None:
    """What a call raised, as an error of the taxonomy; None for what is not of the SDK, HTTP or JSON."""
    if wire := transport_error(exc):
        kind, may_be_charged = wire
        return kind(_say(exc, provider, model), provider=provider, may_be_charged=may_be_charged)
    names = (cls.__name__ for cls in type(exc).__mro__ if cls.__module__.partition(".")[0] == "openai")
    found = next((EXCEPTIONS[name] for name in names if name in EXCEPTIONS), None)
    if found is None:
        return None
    status = int(getattr(exc, "status_code", 0) or 0)
    if status and found is not BadReply:
        return _of_status(exc, status, provider, model)
    body: object = getattr(exc, "body", None)
    if _is_object(body):
        return told(body, provider)
    return found(_say(exc, provider, model), provider=provider, may_be_charged=True)


def told(error: Mapping[str, Any], provider: str) -> ModelError:
    """The error that stands inside of an answer in the place of its end."""
    code, kind = str(error.get("code") or ""), str(error.get("type") or "")
    status = int(code) if code.isdecimal() else 0  # some servers put the status there
    found = _coded(code, kind) or (by_status(status) if status else TYPES.get(kind, ServerError))
    why = error.get("message") or "it does not say why"
    text = f"{provider} ended its answer with an error{_named(code or kind)}: {why}"
    return found(text, provider=provider, status=status, may_be_charged=True)


def by_status(status: int) -> type[ModelError]:
    """What an answer of this status means when nothing more is told."""
    return STATUSES.get(status) or (ServerError if status >= 500 else InvalidRequestError)


def _of_status(exc: Any, status: int, provider: str, model: str) -> ModelError:
    body: Mapping[str, Any] = exc.body if _is_object(exc.body) else {}
    code, kind = str(body.get("code") or ""), str(body.get("type") or "")
    text = str(body.get("message") or exc.message)
    found = _coded(code, kind) or by_status(status)
    if status == 404 and model in text:
        found = UnknownModel  # servers that have no code for it name the model that they do not have
    return found(
        f"{provider} answered {status}{_named(code or kind)}: {text}",
        provider=provider,
        status=status,
        request_id=exc.response.headers.get("x-request-id", ""),
        retry_after_s=retry_after_s(exc.response.headers),
        may_be_charged=status in UNKNOWN_END,
    )


def _coded(code: str, kind: str) -> type[ModelError] | None:
    return CODES.get(code) or (None if kind in TYPES else CODES.get(kind))


def _say(exc: Exception, provider: str, model: str) -> str:
    """Why there was no answer; the SDK's own words are of less use than what it wraps."""
    cause: BaseException = exc.__cause__ or exc
    why = type(cause).__name__
    if text := words_of(cause):
        why = f"{why}: {text}"
    return f"{model!r} of {provider} gave no answer: {why}"


def _named(code: str) -> str:
    return f" ({code})" if code else ""


def _is_object(body: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(body, Mapping)
