"""A tool as a run uses it: its specification and the function behind it. `gateways/tools/` makes them of functions."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from ..events.errors import TreadleError
from ..events.message import ToolSpec
from ..events.redaction import redact


class BadArguments(TreadleError):
    """The model's arguments do not fit the tool; it is told why and may try again."""


class Tool(msgspec.Struct, frozen=True):
    """A tool.

    Attributes:
        run: Called with the validated arguments. Synchronous functions are called in a thread.
        bind: The model's arguments as `run` takes them; raises `BadArguments`.
    """

    spec: ToolSpec
    run: Callable[..., Any | Awaitable[Any]]
    is_async: bool
    bind: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict

    @property
    def name(self) -> str:
        return self.spec.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function itself, for code that wants to call it directly."""
        return self.run(*args, **kwargs)


def as_text(output: Any) -> str:
    """What a recorded output looks like to a model."""
    return output if isinstance(output, str) else msgspec.json.encode(output).decode()


def say(exc: BaseException) -> str:
    """An exception as it is recorded: its class and what it says, redacted."""
    try:
        text = redact(str(exc).encode("utf-8", "backslashreplace").decode())
    except Exception as unsayable:
        text = f"it cannot say what: its text raises {type(unsayable).__name__}"
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
