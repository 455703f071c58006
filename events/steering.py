"""What a run is told while it goes on. In the stream of `run.py`; each model call says how much of it it was shown.

A steering is taken by the first step that begins after it, and it is for the run alone: those that the run asks are
steered by their own ids. Which step that was is a part of that step's record, so a replay is told at the same place.
"""

from typing import TYPE_CHECKING

from .errors import Refused
from .event import Event

if TYPE_CHECKING:
    from .run import Run

LONGEST_STEERING = 100_000
"""Characters that a run may be told at once."""


class RunSteered(Event, tag="run.steered"):
    """Somebody told the run something.

    Attributes:
        steering_id: Unique in the run: telling it twice tells it once.
        by: Who did.
        now: It is not to wait for the answer of the model: calls that are going on are cut short.
    """

    steering_id: str
    text: str
    by: str = ""
    now: bool = False


class OtherSteering(Refused):
    """The run was told something else under this id."""

    def __init__(self, run_id: str, steering_id: str) -> None:
        super().__init__(f"run {run_id!r} was told something else as {steering_id!r}; use another id")
        self.run_id = run_id
        self.steering_id = steering_id


def known_steering(run_id: str, steered: RunSteered, state: "Run") -> bool:
    """Whether the run was told this before.

    Raises:
        OtherSteering: It was told something else under this id.
    """
    known = next((each for each in state.steerings if each.steering_id == steered.steering_id), None)
    if known is not None and known.text != steered.text:
        raise OtherSteering(run_id, steered.steering_id)
    return known is not None
