"""NATS' errors in our words: one table, which a test keeps complete.

What the caller does next decides: wait (`Unavailable`), fix the program or the server's configuration
(`ConfigError`), take no for an answer (`Refused`), or park it (`Undecodable`).
"""

from collections.abc import Generator
from contextlib import contextmanager

from nats import errors
from nats.js import errors as js_errors

from ...events.errors import ConfigError, Refused, TreadleError, Unavailable, Undecodable

UNAVAILABLE: frozenset[type[Exception]] = frozenset(
    {
        errors.ConnectionClosedError,
        errors.ConnectionDrainingError,
        errors.ConnectionReconnectingError,
        errors.DrainTimeoutError,
        errors.Error,
        errors.FlushTimeoutError,
        errors.NoRespondersError,
        errors.NoServersError,
        errors.OutboundBufferLimitError,
        errors.ProtocolError,
        errors.SlowConsumerError,
        errors.StaleConnectionError,
        errors.TimeoutError,
        errors.UnexpectedEOF,
        js_errors.ConsumerSequenceMismatchError,
        js_errors.Error,
        js_errors.FetchTimeoutError,
        js_errors.NoStreamResponseError,
        js_errors.ServerError,
        js_errors.ServiceUnavailableError,
        js_errors.TooManyStalledMsgsError,
    }
)

CONFIG: frozenset[type[Exception]] = frozenset(
    {
        errors.AuthorizationError,
        errors.BadHeaderError,
        errors.BadSubjectError,
        errors.BadSubscriptionError,
        errors.BadTimeoutError,
        errors.InvalidCallbackTypeError,
        errors.InvalidUserCredentialsError,
        errors.MsgAlreadyAckdError,
        errors.NotJSMessageError,
        errors.SecureConnFailedError,
        errors.SecureConnRequiredError,
        errors.SecureConnWantedError,
        errors.ServerNotInPoolError,
        js_errors.BadBucketError,
        js_errors.BucketNotFoundError,
        js_errors.ConsumerInvalidResetError,
        js_errors.InvalidBucketNameError,
        js_errors.InvalidKeyError,
        js_errors.InvalidObjectNameError,
        js_errors.KeyHistoryTooLargeError,
        js_errors.KeyValueLimitMarkerTTLNotSupportedError,
        js_errors.LinkIsABucketError,
    }
)

REFUSED: frozenset[type[Exception]] = frozenset(
    {
        errors.MaxPayloadError,
        js_errors.APIError,
        js_errors.BadRequestError,
        js_errors.KeyDeletedError,
        js_errors.KeyNotFoundError,
        js_errors.KeyValueError,
        js_errors.KeyWrongLastSequenceError,
        js_errors.NoKeysError,
        js_errors.NotFoundError,
        js_errors.ObjectAlreadyExists,
        js_errors.ObjectDeletedError,
        js_errors.ObjectNotFoundError,
    }
)

UNDECODABLE: frozenset[type[Exception]] = frozenset(
    {
        errors.JsonParseError,
        js_errors.BadObjectMetaError,
        js_errors.DigestMismatchError,
    }
)


def translate(error: Exception, what: str) -> TreadleError:
    """`error` of NATS or of the socket below it, while `what` was tried."""
    for kind in type(error).__mro__:
        if kind in CONFIG:
            return ConfigError(f"{what}: {error}")
        if kind in REFUSED:
            return Refused(f"{what}: {error}")
        if kind in UNDECODABLE:
            return Undecodable(f"{what}: {error}")
        if kind in UNAVAILABLE:
            break
    return Unavailable(what, str(error) or type(error).__name__)


@contextmanager
def translated(what: str) -> Generator[None]:
    """Nothing of NATS' leaves this block; `what` names what was tried, for the message."""
    try:
        yield
    except (errors.Error, OSError) as error:
        raise translate(error, what) from error
