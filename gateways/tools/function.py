"""`@tool`: makes a tool of a Python function; its schema comes from the resolved type hints, checked by pydantic.

Arguments that a model sends are untrusted: what does not fit is a `BadArguments` that the model is told about, never
a value passed through.
"""

import functools
import inspect
import re
import sys
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import msgspec

from ...actors.tool import BadArguments, Tool
from ...events.errors import ConfigError
from ...events.message import ToolSpec

if TYPE_CHECKING:
    from pydantic import BaseModel


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    destructive: bool = False,
    read_only: bool = False,
    idempotent: bool = False,
    concurrency_safe: bool = True,
    requires_permission: bool = False,
    ends_turn: bool = False,
    timeout_s: float | None = 300.0,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Callable[..., Any] | None = None, /, **flags: Any) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function, synchronous (it runs in a thread) or not.

    Args:
        name: Default: the function's.
        description: Default: the docstring's first paragraph. Its `Args:` section describes the parameters.
        destructive: Cannot be undone: asks for approval, and after a crash is not repeated without asking.
        read_only: Changes nothing: may be repeated, and needs no wait for the disk.
        idempotent: Doing it twice with one call id (see `current_call`) does it once: repeated after a crash.
        timeout_s: Seconds until its outcome is given up as unknown; None waits for ever.
    Raises:
        ConfigError: A parameter cannot be described to a model.
    """
    # Hints may name things that are local to the function in which the tool is defined.
    namespace = sys._getframe(1).f_locals  # pyright: ignore[reportPrivateUsage]
    if function is not None:
        return _make(function, namespace, {})

    def make(function: Callable[..., Any]) -> Tool:
        return _make(function, namespace, dict(flags))

    return make


def as_tool(value: Any) -> Tool:
    """A tool of a tool or a plain function."""
    if isinstance(value, Tool):
        return value
    if callable(value):
        return _make(value, {}, {})
    raise ConfigError(f"{value!r} is no tool: pass functions, or what @tool made of them")


def by_name(tools: Sequence[Any]) -> dict[str, Tool]:
    """Tools, as `Agent(tools=…)` takes them, by their names.

    Raises:
        ConfigError: Two have one name.
    """
    named: dict[str, Tool] = {}
    for given in tools:
        made = as_tool(given)
        if made.name in named:
            raise ConfigError(f"two tools are called {made.name!r}; give one another name: @tool(name=…)")
        named[made.name] = made
    return named


def check_tool_name(name: str) -> None:
    """Refuse what models cannot call.

    Raises:
        ConfigError: Says what can be.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.\-]{1,64}", name):
        raise ConfigError(f"tool name {name!r} must be 1 to 64 letters, digits, '_', '-' and '.'; set name=")


def _make(function: Callable[..., Any], namespace: Mapping[str, Any], flags: dict[str, Any]) -> Tool:
    named, code = _named(function), _code(function)
    name = flags.pop("name", None) or getattr(named, "__name__", type(named).__name__)
    if inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code):
        raise ConfigError(f"tool {name!r} is a generator; a tool returns one result: collect it, or return a list")
    check_tool_name(name)
    arguments = _arguments(function, name, namespace)
    schema = _schema(arguments, name)
    schema.pop("title", None)
    spec = ToolSpec(
        name=name,
        description=flags.pop("description", None) or summary(named),
        parameters=msgspec.Raw(msgspec.json.encode({"properties": {}} | schema)),
        **flags,
    )
    if spec.destructive and spec.read_only:
        raise ConfigError(f"tool {name!r} is said to be destructive and read_only; it can be one of them")
    aliases = {field.alias or field_name: field_name for field_name, field in arguments.model_fields.items()}

    def bind(args: Mapping[str, Any]) -> Mapping[str, Any]:
        from pydantic import ValidationError

        if set(args) == {"_invalid"}:
            raise BadArguments(f"the arguments are not a JSON object: {args['_invalid']}")
        try:
            given = arguments.model_validate(args)
        except ValidationError as exc:
            problems = "; ".join(
                f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}" for problem in exc.errors()
            )
            raise BadArguments(f"the arguments do not fit {name}{inspect.signature(function)}: {problems}") from exc
        return {alias: getattr(given, field) for alias, field in aliases.items() if field in given.model_fields_set}

    return Tool(spec, function, inspect.iscoroutinefunction(code), bind)


def _named(function: Callable[..., Any]) -> Callable[..., Any]:
    """What has the name and the docstring: of a `partial` and a `staticmethod` what they are made of."""
    while isinstance(function, functools.partial | staticmethod):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    return function


def _code(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is called in the end, with its type hints: of an object its `__call__`."""
    named = _named(function)
    return named if inspect.isroutine(named) or inspect.isclass(named) else getattr(named, "__call__", named)  # noqa: B004


def _schema(arguments: "type[BaseModel]", name: str) -> dict[str, Any]:
    from pydantic import PydanticUserError
    from pydantic.json_schema import PydanticJsonSchemaWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PydanticJsonSchemaWarning)
            return arguments.model_json_schema()
    except (PydanticUserError, PydanticJsonSchemaWarning) as exc:
        raise ConfigError(f"tool {name!r}: a parameter cannot be described to a model: {exc}") from exc


def _arguments(function: Callable[..., Any], name: str, namespace: Mapping[str, Any]) -> "type[BaseModel]":
    from pydantic import ConfigDict, Field, PydanticUserError, create_model

    try:
        hints = typing.get_type_hints(_code(function), localns=dict(namespace), include_extras=True)
    except (NameError, TypeError) as exc:
        raise ConfigError(f"tool {name!r}: {exc}; its type hints must be resolvable where it is defined") from exc
    descriptions = _parameter_descriptions(_named(function))
    fields: dict[str, Any] = {}
    for place, parameter in enumerate(inspect.signature(function).parameters.values()):
        if place == 0 and parameter.name in ("self", "cls") and parameter.name not in hints:
            raise ConfigError(f"tool {name!r} is a method without its object; pass the bound one: tool(thing.{name})")
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigError(
                f"tool {name!r}: parameter {parameter.name!r} is {parameter.kind.description}; "
                "a model passes arguments by name, so give each parameter one"
            )
        hint = hints.get(parameter.name, Any)
        default = ... if parameter.default is parameter.empty else parameter.default
        # Field names of their own, since pydantic reserves some that functions may use.
        fields[f"p_{parameter.name}"] = (
            hint,
            Field(default, alias=parameter.name, description=descriptions.get(parameter.name)),
        )
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields)
    except PydanticUserError as exc:
        raise ConfigError(f"tool {name!r}: a parameter cannot be described to a model: {exc.message}") from exc


def summary(function: Callable[..., Any]) -> str:
    """The first paragraph of a docstring."""
    text = inspect.getdoc(function) or ""
    return " ".join(text.split("\n\n")[0].split())


_ARGS = re.compile(r"^(?:Args|Arguments|Parameters):\s*$\n(?P<body>(?:^[ \t]+.*\n?|^\s*\n)+)", re.MULTILINE)
_ARG = re.compile(r"^[ \t]+\*{0,2}(?P<name>\w+)(?:\s*\([^)]*\))?:\s*(?P<text>.+)$")


def _parameter_descriptions(function: Callable[..., Any]) -> dict[str, str]:
    """The `Args:` section of a docstring: text by parameter, continuation lines joined."""
    found = _ARGS.search(inspect.getdoc(function) or "")
    if found is None:
        return {}
    lines = found["body"].splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    descriptions: dict[str, str] = {}
    current = ""
    for line in lines:
        entry = _ARG.match(line)
        if entry is not None and len(line) - len(line.lstrip()) == indent:
            current = entry["name"]
            descriptions[current] = entry["text"].strip()
        elif current and line.strip():
            descriptions[current] += " " + line.strip()
    return descriptions
