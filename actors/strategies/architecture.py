"""What an architecture is, and what it may be given as."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

from msgspec import structs

from ...events.errors import ConfigError, TreadleError
from ..children import Asked
from ..json_form import recordable
from ..spec import AgentSpec
from ..steps import Steps
from ..tool import Tool


@runtime_checkable
class Architecture(Protocol):
    """How an agent thinks.

    It may also have `tools`: a sequence of `Tool` that its model is shown beside the agent's own; `base`: the
    architecture that it is made of, for its picture; and `calls_tools`, which is False where it calls none.
    """

    @property
    def name(self) -> str:
        """What it is called: `reflexion`. Recorded with each run."""
        ...

    async def run(self, steps: Steps) -> str:
        """The answer to the run's prompt. Touches the world only through `steps`, and asks in the same order again."""
        ...

    def declared_workers(self) -> Mapping[str, Asked]:
        """The agents that it asks, by their roles."""
        ...


GivenArchitecture: TypeAlias = "str | Architecture | Callable[[Steps], Awaitable[str]]"
"""What `architecture=` and `base=` take: a name, an architecture, or async code over `Steps`."""


class NoText(TreadleError):
    """An architecture came to something that is no text, which is no answer."""


async def answer_by(architecture: Architecture, steps: Steps) -> str:
    """What an architecture came to: its types alone do not hold code of others to a text that can be recorded.

    Raises:
        NoText, Unrecordable: It is none.
    """
    answer = await architecture.run(steps)
    if not isinstance(answer, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        what = "None" if answer is None else f"a value of type {type(answer).__name__}"
        raise NoText(f"architecture {architecture.name!r} returned {what}; run(steps) returns the answer's text")
    text: str = recordable(str.__str__(answer), f"the answer of architecture {architecture.name!r}")
    return text


class Function:
    """Async code over `Steps`, as an architecture."""

    def __init__(self, function: Callable[[Steps], Awaitable[str]]) -> None:
        self._function = function
        self.name: str = getattr(function, "__name__", "custom")

    async def run(self, steps: Steps) -> str:
        return await self._function(steps)

    def declared_workers(self) -> Mapping[str, Asked]:
        return {}


def tools_of(architecture: Architecture) -> Sequence[Tool]:
    """The tools that it brings."""
    found: Sequence[Tool] = getattr(architecture, "tools", ())
    return found


def calls_tools(architecture: Architecture) -> bool:
    """Whether it calls the run's tools, or lets its model call them."""
    return bool(getattr(architecture, "calls_tools", True))


def equipped(spec: AgentSpec) -> AgentSpec:
    """`spec`, with the tools that its architecture brings now: those of a team are made of the workers it has."""
    brought = {tool.name: tool for tool in tools_of(spec.architecture)}
    if not brought:
        return spec
    return structs.replace(spec, tools={name: brought.get(name, tool) for name, tool in spec.tools.items()})


def architecture_of(given: Any, named: Mapping[str, Callable[[], Architecture]]) -> Architecture:
    """What `given` means.

    Args:
        named: Those that can be named, made with what they are made of where nobody says otherwise.
    Raises:
        ConfigError: It is none; the message lists the names.
    """
    if isinstance(given, str):
        if given not in named:
            raise ConfigError(f"there is no architecture {given!r}; there are: {', '.join(sorted(named))}")
        return named[given]()
    if isinstance(given, type):
        raise ConfigError(f"architecture={given.__name__} is a class; make one of it: {given.__name__}(…)")
    if isinstance(given, Architecture):
        _check_async(f"run(steps) of the architecture {given.name!r}", given.run)
        return given
    if callable(given):
        _check_async(f"architecture={getattr(given, '__name__', repr(given))}", given)
        return Function(cast("Callable[[Steps], Awaitable[str]]", given))
    raise ConfigError(f"an architecture is a name, an object with run(steps), or async code over steps, not {given!r}")


def _check_async(what: str, code: Callable[..., object]) -> None:
    """Refuse what nobody can await.

    A decorator may be a plain function around async code, as long as it says what it wraps (`functools.wraps`).
    """
    inside: Any = inspect.unwrap(code)
    while isinstance(inside, partial):
        inside = inspect.unwrap(inside.func)
    if not (inspect.iscoroutinefunction(inside) or inspect.iscoroutinefunction(getattr(inside, "__call__", None))):  # noqa: B004
        raise ConfigError(f"{what} must be async code: async def that takes steps and returns the answer's text")


def base_of(given: GivenArchitecture) -> Architecture:
    """What `base=` means: the architecture that another one is made of.

    Raises:
        ConfigError: It is none.
    """
    from . import ARCHITECTURES  # late: those that can be named are made of this module

    return architecture_of(given, ARCHITECTURES)


class Around:
    """An architecture around another one: it brings the tools of that, and asks whom that asks.

    An answer of the base that becomes its own takes along why it is less than was meant (`Steps.shortfall`).
    """

    def __init__(self, base: GivenArchitecture) -> None:
        self._base = base_of(base)

    @property
    def base(self) -> Architecture:
        return self._base

    @property
    def tools(self) -> Sequence[Tool]:
        return tools_of(self._base)

    @property
    def calls_tools(self) -> bool:
        return calls_tools(self._base)

    def declared_workers(self) -> Mapping[str, Asked]:
        return self._base.declared_workers()
