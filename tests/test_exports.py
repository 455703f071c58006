"""The public names: written down, lazy, and all there."""

import importlib
import typing
from types import FunctionType

import pytest

import treadle


def test_every_public_name_loads() -> None:
    missing = [name for name in treadle.__all__ if not hasattr(treadle, name)]
    assert not missing


def test_every_lazy_name_is_public_and_every_public_name_is_declared() -> None:
    assert sorted(treadle.__all__) == sorted(treadle._MODULE_OF)  # pyright: ignore[reportPrivateUsage]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Nonsense"):
        getattr(treadle, "Nonsense")  # noqa: B009 - a checker would find the attribute missing


def test_public_classes_and_functions_say_what_they_are() -> None:
    classes = [value for name in treadle.__all__ if isinstance(value := getattr(treadle, name), type | FunctionType)]
    silent = [value.__name__ for value in classes if not value.__doc__]
    assert not silent


def test_packages_name_what_they_export() -> None:
    for package in ("actors.runtime", "actors.strategies", "gateways.models", "gateways.tools", "projections"):
        module = importlib.import_module(f"treadle.{package}")
        assert module.__doc__
        assert all(hasattr(module, name) for name in typing.cast("list[str]", module.__all__))
