"""Closing the connections of models that nobody on this event loop asks any more."""

from collections.abc import Iterable, Iterator

from ...actors.model import Model
from ...events.logs import get_logger

_log = get_logger("treadle")


async def close_models(models: Iterable[Model], *, but: Iterable[Model] = ()) -> None:
    """Close the connections of `models`, and of those that are asked in their place; what goes wrong is logged.

    Args:
        but: Models that others on this loop still ask.
    """
    kept = {id(model) for model in _asked(but)}
    for model in {id(model): model for model in _asked(models) if id(model) not in kept}.values():
        aclose = getattr(model, "aclose", None)
        if aclose is None:
            continue
        try:
            await aclose()
        except Exception:  # it may be anybody's model, and the others are to be closed all the same
            _log.exception("model %r was not closed", model.name)


def _asked(models: Iterable[Model]) -> Iterator[Model]:
    for model in models:
        yield getattr(model, "primary", model)
        yield from getattr(model, "alternatives", ())
