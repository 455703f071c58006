"""An error crosses the bus as what its receiver should do next."""

import pytest

from treadle.events.bus import BusMessage, answer, error_answer
from treadle.events.errors import (
    BudgetExceeded,
    ConfigError,
    Refused,
    TreadleError,
    Unavailable,
    Undecodable,
    VersionConflict,
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BudgetExceeded("user alice", "100 USD", 3, 2), Refused),
        (Undecodable("no JSON"), Undecodable),
        (ConfigError("no such model"), ConfigError),
        (VersionConflict("run-1", 1, 2), TreadleError),
        (KeyError("x"), TreadleError),
    ],
)
def test_an_error_answer_raises_its_kind_with_its_message(error: Exception, kind: type[TreadleError]) -> None:
    data, headers = error_answer(error)
    with pytest.raises(kind) as told:
        answer(BusMessage("treadle.ask.run", data, headers))
    assert type(told.value) is kind
    assert str(error) in str(told.value)


def test_an_outage_behind_a_service_names_the_service_and_the_outage() -> None:
    data, headers = error_answer(Unavailable("journal", "disk full"))
    with pytest.raises(Unavailable, match=r"'treadle\.ask\.run' is unavailable: journal: disk full; retry after 1 s"):
        answer(BusMessage("treadle.ask.run", data, headers))


def test_an_error_without_a_message_is_named() -> None:
    assert error_answer(ValueError())[0] == b"ValueError"
