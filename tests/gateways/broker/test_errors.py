"""The table of NATS' errors is complete, and each error is in it once."""

import inspect
from types import ModuleType

import pytest
from nats import errors
from nats.js import errors as js_errors

from treadle.events.errors import ConfigError, Refused, Unavailable, Undecodable
from treadle.gateways.broker.errors import CONFIG, REFUSED, UNAVAILABLE, UNDECODABLE, translate, translated

TABLE = (UNAVAILABLE, CONFIG, REFUSED, UNDECODABLE)


def raised_by(module: ModuleType) -> list[type[Exception]]:
    found = [value for _, value in inspect.getmembers(module, inspect.isclass) if issubclass(value, Exception)]
    return [value for value in found if value.__module__ == module.__name__]


@pytest.mark.parametrize("error", [*raised_by(errors), *raised_by(js_errors)], ids=lambda error: error.__qualname__)
def test_every_error_of_nats_has_its_place(error: type[Exception]) -> None:
    assert [error in kinds for kinds in TABLE].count(True) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.NoRespondersError(), Unavailable),
        (errors.AuthorizationError(), ConfigError),
        (errors.MaxPayloadError(), Refused),
        (errors.JsonParseError(), Undecodable),
        (ConnectionRefusedError(111, "refused"), Unavailable),
        (TimeoutError(), Unavailable),
        (type("NewError", (js_errors.NotFoundError,), {})(), Refused),
    ],
)
def test_an_error_is_translated_by_what_to_do_next(error: Exception, kind: type[Exception]) -> None:
    assert type(translate(error, "the stream")) is kind
    with pytest.raises(kind) as told, translated("the stream"):
        raise error
    assert told.value.__cause__ is error


def test_other_errors_pass_untouched() -> None:
    with pytest.raises(ZeroDivisionError), translated("the stream"):
        raise ZeroDivisionError
