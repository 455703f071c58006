"""Models in a row: when one cannot answer, the next one is asked in its place."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeAlias, cast

from ...actors.model import Model, ModelChunk, collect, text_of
from ...actors.model_errors import (
    AuthenticationError,
    ContentFilterError,
    InvalidRequestError,
    ModelError,
    OutputValidationError,
    PermanentModelError,
    TransientModelError,
)
from ...actors.retry import RetryPolicy
from ...events.errors import ConfigError
from ...events.logs import get_logger
from ...events.message import Message, ModelReply, ToolSpec
from .resolver import resolve_model

FallOn: TypeAlias = type[ModelError] | tuple[type[ModelError], ...] | Callable[[ModelError], bool]
"""On which errors the next model is asked: classes, or a function of the error."""

_OURS = (AuthenticationError, InvalidRequestError, ContentFilterError, OutputValidationError)
"""What is wrong on our side: it must be seen and mended, and another model is no answer to it."""

_log = get_logger("treadle")


class FallbackModel:
    """The first of these models that can answer.

        FallbackModel(["claude-opus-4-7", "gpt-4o"])

    The next one is asked when one has failed for good: on transient errors, when all attempts have been made; at once
    when an account is out of credit, or an answer is broken. Never when a key is wrong, a request is refused, an answer
    was filtered, or something unknown happened. And only before the first chunk of an answer has been seen.

    In a run each attempt and each fall is an event, and the run's result is `degraded` and says who answered. On its
    own, `stream` and `complete` ask one model after the other, each once.

    Args:
        models: Models or names of models; at least one.
        fall_on: On which errors the next one is asked; None as above. After a function that raises it is not: what ends
            the call is the model's own error.
    Raises:
        ConfigError: A model is none, or `fall_on` names no error of a model's.
    """

    def __init__(self, models: Sequence[Any], fall_on: FallOn | None = None) -> None:
        given: Any = models
        if isinstance(given, str | Mapping) or not isinstance(given, Iterable):  # a text would be a row of letters
            one = f" {given!r}" if isinstance(given, str) else ""
            kind = type(cast("object", given)).__name__
            raise ConfigError(f"FallbackModel takes a list of models, not one {kind}{one}; write FallbackModel([…, …])")
        members = tuple(member for model in models for member in _members(resolve_model(model)))
        if not members:
            raise ConfigError("FallbackModel needs a model to ask first")
        self.primary, *rest = members
        self.alternatives = tuple(rest)
        self._fall_on = _default if fall_on is None else _predicate(fall_on)

    def __repr__(self) -> str:
        return f"FallbackModel([{', '.join(repr(model.name) for model in self._all)}])"

    @property
    def name(self) -> str:
        return self.primary.name

    @property
    def billed(self) -> bool:
        """Whether any of them costs money."""
        return any(getattr(model, "billed", False) for model in self._all)

    @property
    def native_output(self) -> bool:
        """Whether all of them keep to a schema by themselves: which one answers is not known before."""
        return all(getattr(model, "native_output", False) for model in self._all)

    @property
    def retry(self) -> RetryPolicy | None:
        """The policy that the first of them brings."""
        return getattr(self.primary, "retry", None)

    def falls_on(self, error: BaseException) -> bool:
        """Whether the next model is to be asked after this error."""
        try:
            return isinstance(error, ModelError) and self._fall_on(error)
        except Exception:
            _log.exception("fall_on raised, and no other model is asked; what the model had raised: %s", error)
            return False

    async def complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        for model in self._all:
            try:
                return await _complete(model, messages, tools, options)
            except ModelError as error:
                self._fall_or_raise(model, error)
        raise AssertionError("the last model neither answered nor failed")

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        for model in self._all:
            begun = False
            try:
                async for chunk in model.stream(messages, tools=tools, **options):
                    begun = True
                    yield chunk
                return
            except ModelError as error:
                if begun:
                    raise
                self._fall_or_raise(model, error)

    async def aclose(self) -> None:
        """Close the connections of all of them."""
        async with AsyncExitStack() as stack:
            for model in self._all:
                if (aclose := getattr(model, "aclose", None)) is not None:
                    stack.push_async_callback(aclose)

    @property
    def _all(self) -> tuple[Model, ...]:
        return (self.primary, *self.alternatives)

    def _fall_or_raise(self, model: Model, error: ModelError) -> None:
        """Called where `error` is being handled."""
        if model is self._all[-1] or not self.falls_on(error):
            raise error
        _log.warning("model %r failed, and the next one is asked: %s", model.name, error)


def _default(error: ModelError) -> bool:
    return isinstance(error, TransientModelError | PermanentModelError) and not isinstance(error, _OURS)


def _predicate(fall_on: object) -> Callable[[ModelError], bool]:
    given: Any = fall_on
    classes: tuple[Any, ...] = given if isinstance(fall_on, tuple) else (given,)
    if all(isinstance(each, type) and issubclass(each, ModelError) for each in classes):
        return lambda error: isinstance(error, classes)
    if callable(given) and not isinstance(given, type):
        return cast("Callable[[ModelError], bool]", given)
    raise ConfigError(
        f"FallbackModel(fall_on={fall_on!r}); it is a class of ModelError, a tuple of them, or a function of the error"
    )


def _members(model: Model) -> tuple[Model, ...]:
    """The models of a row within a row are asked one after the other, too."""
    if isinstance(model, FallbackModel):
        return (model.primary, *model.alternatives)
    return (model,)


async def _complete(
    model: Model, messages: Sequence[Message], tools: Sequence[ToolSpec], options: dict[str, Any]
) -> ModelReply:
    complete = getattr(model, "complete", None)
    if complete is None:
        return await collect(model.stream(messages, tools=tools, **options), model.name)
    return text_of(await complete(messages, tools=tools, **options), model.name)
