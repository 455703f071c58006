"""The answer in a model's text, with or without the wrapper that it was asked to put around it."""

from collections.abc import Callable
from typing import TypeVar

from ...actors.output import DoesNotFit, Given, given_in

T = TypeVar("T")


def fitting(text: str, wrapped: bool, parse: Callable[[Given], T]) -> T:
    """What `parse` makes of the answer.

    An object whose only key is `value` is the wrapper; when what it holds does not fit, it may be the answer itself,
    of a type that has this one field.

    Raises:
        DoesNotFit: It is neither; says why what it holds does not fit.
    """
    given = given_in(text, wrapped)
    try:
        return parse(given)
    except DoesNotFit as inside:
        whole = given_in(text, wrapped=False)
        if whole == given:
            raise
        try:
            return parse(whole)
        except DoesNotFit:
            raise inside from None
