"""What LiteLLM raises, as our errors: one table, that a test keeps complete.

Its classes derive from OpenAI's and say more or less, by provider: one's 403 is an `APIError`, another's 529 an
`InternalServerError`. So the status of what it wrapped counts before its general classes, and what went wrong on the
wire before the status that it makes up for that.
"""

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from ....actors.model_errors import (
    AuthenticationError,
    BadReply,
    ConnectionFailed,
    ContentFilterError,
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
from ..openai.errors import CODES
from ..retry_after import retry_after_s
from ..transport_errors import TRANSPORT, UNKNOWN_END, quotes_header, transport_error
from .reading import Reading

TABLE: Final[Mapping[str, type[ModelError]]] = {
    "AuthenticationError": AuthenticationError,
    "PermissionDeniedError": AuthenticationError,
    "PaymentRequiredError": QuotaExceeded,
    "BudgetExceededError": QuotaExceeded,
    "RateLimitError": RateLimitError,
    "NotFoundError": UnknownModel,
    "LiteLLMUnknownProvider": UnknownModel,
    "ModelNotMappedError": UnknownModel,
    "ContextWindowExceededError": InvalidRequestError,
    "ContentPolicyViolationError": ContentFilterError,
    "RejectedRequestError": ContentFilterError,
    "GuardrailRaisedException": ContentFilterError,
    "BlockedPiiEntityError": ContentFilterError,
    "ModifyResponseException": ContentFilterError,
    "SensitiveDataRouteException": ContentFilterError,
    "UnprocessableEntityError": InvalidRequestError,
    "UnsupportedParamsError": InvalidRequestError,
    "InvalidRequestError": InvalidRequestError,
    "ImageFetchError": InvalidRequestError,
    "VectorStoreSearchError": InvalidRequestError,
    "Timeout": ModelTimeout,
    "APIResponseValidationError": BadReply,
    "JSONSchemaValidationError": BadReply,
    "ToolLoopMaxRoundsExceeded": PermanentModelError,
    "RouterRateLimitError": RateLimitError,
    "RouterRateLimitErrorBasic": RateLimitError,
}
"""By the name of a class that says what happened."""

GENERAL: Final[Mapping[str, type[ModelError]]] = {
    "BadRequestError": InvalidRequestError,
    "MidStreamFallbackError": ServerError,
    "ServiceUnavailableError": OverloadedError,
    "BadGatewayError": ServerError,
    "InternalServerError": ServerError,
    "APIConnectionError": ConnectionFailed,
    "APIError": ServerError,
    "MockException": ServerError,
    "OpenAIError": PermanentModelError,
}
"""By the name of a class that is also raised for what it had no better one for: only when there is no status."""

STATUSES: Final[Mapping[int, type[ModelError]]] = {
    401: AuthenticationError,
    402: QuotaExceeded,
    403: AuthenticationError,
    404: UnknownModel,
    408: ModelTimeout,
    409: TransientModelError,
    429: RateLimitError,
    503: OverloadedError,
    504: ModelTimeout,
    529: OverloadedError,
}
"""By the status of the provider's answer; others by their hundreds."""

_UNREADABLE: Final = "Invalid response object"
"""What LiteLLM says, as of a lost connection, when it cannot read an answer."""

_NO_KEY: Final = re.compile(
    r"missing (credentials|[\w ]{0,20}(api|jwt) key)|unable to locate credentials|credentials were not found"
    r"|api[_ ]key[^.]{0,40} (required|not set|not provided|not found)",
    re.IGNORECASE,
)
"""What LiteLLM, and those by whom it asks, say of a key that they look for and do not find: as of a server that failed,
for many a provider. Only where nobody has answered: a provider may quote whatever it was sent."""

_NO_CREDIT: Final = tuple(code for code, made in CODES.items() if made is QuotaExceeded)


@contextmanager
def translated(reading: Reading) -> Generator[None]:
    """What LiteLLM raises in here becomes a `ModelError`, with what `reading` knows to be charged."""
    try:
        yield
    except ModelError:
        raise
    except Exception as exc:
        found = error_of(exc, reading.charged)
        if found is None:
            raise
        raise found from exc


def error_of(exc: Exception, charged: Usage | None = None) -> ModelError | None:
    """Our error for what LiteLLM raised, or let through; None for what has nothing to do with it."""
    chain = list(_chain(exc))
    headers = next((found for each in chain if (found := getattr(each, "litellm_response_headers", None))), None)
    answered = bool(headers)
    # The statuses of what it wrapped: its own classes have one each, whatever the provider's was.
    statuses = [status for each in reversed(chain) if isinstance(status := getattr(each, "status_code", None), int)]
    status = statuses[0] if statuses and answered else 0
    wire = None if answered else next((found for each in chain if (found := _wire(each)) is not None), None)
    named = next((TABLE[base.__name__] for base in type(exc).__mro__ if base.__name__ in TABLE), None)
    general = next((GENERAL[base.__name__] for base in type(exc).__mro__ if base.__name__ in GENERAL), None)
    if not type(exc).__module__.startswith(("litellm", "openai")) and wire is None:
        return None
    if wire is None and _UNREADABLE in str(exc):
        named = BadReply
    elif wire is None and not answered and (unsent := _unsent(chain)) is not None:
        named = unsent
    if status == 429 and any(map(_tells_of_no_credit, chain)):
        named = QuotaExceeded
    made = named or (wire[0] if wire is not None else None) or (_by(status) if status else None) or general
    if made is None:
        return None
    if wire is not None:
        may_be_charged = wire[1]
    else:
        may_be_charged = (
            status in UNKNOWN_END if answered else issubclass(made, (ModelTimeout, ConnectionFailed, ServerError))
        )
    return made(
        _said(chain),
        provider=getattr(exc, "llm_provider", None) or "litellm",
        status=status,
        request_id=_request_id(headers),
        retry_after_s=retry_after_s(headers),
        usage=charged,
        may_be_charged=may_be_charged,
    )


def _said(chain: Sequence[BaseException]) -> str:
    if any(map(quotes_header, chain)):
        return f"{type(chain[0]).__name__}: {type(chain[-1]).__name__}"
    return str(chain[0]).partition("\n")[0]  # what follows is its traceback, and how to report it to LiteLLM


def _by(status: int) -> type[ModelError] | None:
    if status < 400:
        return None
    return STATUSES.get(status) or (ServerError if status >= 500 else InvalidRequestError)


def _unsent(chain: Sequence[BaseException]) -> type[ModelError] | None:
    """What was found out before there was a request: there is no key, or no package that the provider needs."""
    if isinstance(chain[-1], ImportError):
        return PermanentModelError
    return AuthenticationError if any(_NO_KEY.search(str(each).partition("\n")[0]) for each in chain) else None


def _tells_of_no_credit(exc: BaseException) -> bool:
    """OpenAI's code for that comes with the status of too many calls. The body is parsed, or the error's text."""
    body: Any = getattr(exc, "body", None) or str(exc)
    return any(f"{quote}{code}{quote}" in str(body) for code in _NO_CREDIT for quote in "'\"")


def _wire(exc: BaseException) -> tuple[type[ModelError], bool] | None:
    if not any(base.__name__ in TRANSPORT for base in type(exc).__mro__):
        return None
    found = transport_error(exc)
    # LiteLLM's transport has one word for a connection that was never made and for one that was lost.
    lost = type(exc.__cause__).__name__ == "ClientOSError"
    return None if found is None else (found[0], found[1] or lost)


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """The exception and what it was raised in the place of: LiteLLM wraps without saying `from`."""
    at: BaseException | None = exc
    while at is not None:
        yield at
        at = at.__cause__ or at.__context__


def _request_id(headers: Any) -> str:
    names = ("x-request-id", "request-id", "llm_provider-x-request-id", "llm_provider-request-id")
    return next((headers[name] for name in names if headers and headers.get(name)), "")
