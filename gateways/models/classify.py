"""What an SDK raises, in the words of Treadle: for programs that call one themselves, in a model of their own say."""

from collections.abc import Callable

from ...actors.model_errors import ModelError
from ...actors.tool import say


def classify_model_error(exc: Exception) -> ModelError:
    """The error of the taxonomy that `exc` means, by the table of the SDK that raised it; no SDK is imported for it.

    What no table knows is a plain `ModelError` of its class' name: nothing is known of it, and it is not tried again.
    """
    if isinstance(exc, ModelError):
        return exc
    packages = {base.__module__.partition(".")[0] for base in type(exc).__mro__}
    for package, error_of in _TABLES.items():
        if package in packages and (found := error_of(exc)) is not None:
            return found
    return ModelError(say(exc), type(exc).__name__)


def _of_anthropic(exc: Exception) -> ModelError | None:
    from .anthropic.errors import error_of

    return error_of(exc)


def _of_litellm(exc: Exception) -> ModelError | None:
    from .litellm.errors import error_of

    return error_of(exc)


def _of_openai(exc: Exception) -> ModelError | None:
    from .openai.errors import translated

    return translated(exc, "openai", "the model")


_TABLES: dict[str, Callable[[Exception], ModelError | None]] = {
    "anthropic": _of_anthropic,
    "litellm": _of_litellm,  # before OpenAI's, of which its errors are made
    "openai": _of_openai,
    "httpx": _of_openai,
    "httpx2": _of_openai,
}
