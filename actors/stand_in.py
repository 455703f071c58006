"""Who answers in the place of models: nobody, unless somebody was put there (`gateways/cassettes/`).

One place for the whole process, asked at the moment of a call: agents are made when modules are imported, and their
runs go on in other threads and event loops than the test that began them.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import Model

StandIn = Callable[["Model"], "Model"]
"""What answers in the place of a model, which is not asked unless the stand-in does."""

_stand_in: StandIn | None = None
_expected = False


def expect_stand_ins() -> None:
    """Models of this process may never be asked themselves: what they need to be is missed at their first call."""
    global _expected
    _expected = True


def stand_ins_expected() -> bool:
    """Whether a model may be made that could not be asked here."""
    return _expected or _stand_in is not None


@contextmanager
def standing_in(stand_in: StandIn) -> Generator[None]:
    """`stand_in` says who answers the model calls of this process; whoever stood there before is back afterwards."""
    global _stand_in
    before, _stand_in = _stand_in, stand_in
    try:
        yield
    finally:
        _stand_in = before


def who_answers(model: "Model") -> "Model":
    """`model`, or what answers in its place."""
    return model if _stand_in is None else _stand_in(model)
