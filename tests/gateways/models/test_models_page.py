"""What the page of models says of errors is what becomes of them."""

import re
from pathlib import Path

from treadle import CircuitOpen, FallbackModel, ModelError, TransientModelError
from treadle.actors import model_errors

PAGE = Path(__file__).parents[3] / "docs" / "models.md"
_ROW = re.compile(r"^\| `(\w+)` \| `(\w+)`[^|]*\| (yes|no)[^|]*\| (yes|no) \|$", re.MULTILINE)
_GROUPS = {"TransientModelError", "PermanentModelError"}


def test_the_table_of_errors_says_what_is_tried_again_and_what_has_another_model_asked() -> None:
    falls_on = FallbackModel(["echo"]).falls_on
    want = {
        (
            error.KIND,
            name,
            "yes" if issubclass(error, TransientModelError) and error is not CircuitOpen else "no",
            "yes" if falls_on(error("…")) else "no",
        )
        for name, error in vars(model_errors).items()
        # One without a kind of its own is recorded as the error that it is one of.
        if isinstance(error, type) and issubclass(error, ModelError) and name not in _GROUPS and "KIND" in vars(error)
    }
    assert set(_ROW.findall(PAGE.read_text())) == want
