"""The arguments of the tools that architectures bring: texts, described by hand, since actors know no pydantic."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from ..tool import BadArguments


def parameters(optional: Collection[str] = (), **described: Mapping[str, Any] | str) -> msgspec.Raw:
    """The JSON Schema of arguments that are texts.

    Args:
        described: Each argument with its description, or with what else its schema says.
    """
    properties = {
        name: {"type": "string", **({"description": said} if isinstance(said, str) else said)}
        for name, said in described.items()
    }
    required = [name for name in described if name not in optional]
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return msgspec.Raw(msgspec.json.encode(schema))


def texts(*required: str, optional: Collection[str] = ()) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """What takes a model's arguments when they are texts; an empty one says nothing, and is refused like none."""

    def bind(args: Mapping[str, Any]) -> Mapping[str, Any]:
        if set(args) == {"_invalid"}:
            raise BadArguments(f"the arguments are not a JSON object: {args['_invalid']}")
        wrong = [name for name in required if not isinstance(args.get(name), str) or not args[name].strip()]
        wrong += [name for name in optional if not isinstance(args.get(name, ""), str)]
        unknown = [name for name in args if name not in required and name not in optional]
        if wrong or unknown:
            problems = [f"{name} must be a text that says something" for name in wrong]
            problems += [f"there is no argument {name}" for name in unknown]
            raise BadArguments("; ".join(problems))
        return dict(args)

    return bind
