"""What `model=` may be: a model, or the name of one."""

from typing import Any

from ...actors.model import Model
from ...events.errors import ConfigError
from .echo import EchoModel

_HERE = "model='echo', a ScriptedModel or FunctionModel, or any object with `name` and `stream(messages, *, tools)`"


def resolve_model(model: Any) -> Model:
    """The model that `model` means.

    Raises:
        ConfigError: Nothing, or nothing that can answer; the message lists what would work. Never a made-up model.
    """
    if model is None:
        raise ConfigError(f"an agent needs model=; what works: {_HERE}")
    if isinstance(model, str):
        if model == "echo":
            return EchoModel()
        raise ConfigError(f"model {model!r} has no adapter in this version of Treadle; what works: {_HERE}")
    if isinstance(model, type):
        raise ConfigError(f"model={model.__name__} is a class; pass an instance: {model.__name__}(…)")
    if isinstance(getattr(model, "name", None), str) and callable(getattr(model, "stream", None)):
        found: Model = model
        return found
    raise ConfigError(f"{type(model).__name__} is no model; what works: {_HERE}")
