"""What is recorded of a run from before, and was not asked for again yet: the strategy has to come by all of it.

A step that is asked for is answered from the history, and one that differs is noticed there. A step that is no longer
asked for is noticed here: before a new step is recorded that cannot have been begun while the other was still to come,
and when the strategy ends. The names of steps tell their order: steps of one place follow one another, by number. Who
runs parts of a place beside one another says which of them may be slower than others (`beside`), and which were left in
the middle (`left`), so that nobody asks for the rest of them.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import NamedTuple, TypeAlias

from ..events.child_step import ChildRequested
from ..events.errors import ReplayDivergence
from ..events.event import Event
from ..events.model_step import ModelRequested
from ..events.run import Run, ValueRecorded
from ..events.tool_step import ApprovalRequested, ToolRequested

MODEL, TOOL, VALUE, AGENT = "a model call", "a tool call", "a value", "a question to an agent"
"""What a step can be."""

MayCome: TypeAlias = Callable[[str, str], bool]
"""Whether the first step may still be asked for when the second is new; both without their place."""

_BEGINS = (ModelRequested, ToolRequested, ApprovalRequested, ChildRequested, ValueRecorded)


class Replay:
    """The recorded steps of a run, while its strategy goes through them again.

    Args:
        whole: They are a beginning of what the strategy did; else they are picked out of it, and it may leave them out.
    """

    def __init__(self, run_id: str, state: Run, *, whole: bool = True) -> None:
        self._run_id = run_id
        self._known = _steps_of(run_id, state)
        self._unasked = dict(self._known) if whole else {}
        self._beside: dict[str, MayCome] = {}

    def asked(self, step: str, what: str) -> None:
        """The strategy asks for a step.

        Raises:
            ReplayDivergence: Something of another kind is recorded there.
        """
        if self._known.get(step, what) != what:
            raise ReplayDivergence(self._run_id, step, self._known[step], what)
        self._unasked.pop(step, None)

    def beside(self, place: str, may_come: MayCome) -> None:
        """Parts of a place go on beside one another."""
        self._beside[place] = may_come

    def left(self, place: str) -> None:
        """Who was at work there was told to leave: what is recorded of it need not be asked for again."""
        for step in [step for step in self._unasked if step.startswith(place)]:
            del self._unasked[step]

    def unasked(self, place: str) -> Sequence[str]:
        """The steps of a place that nobody has asked for again, without the place."""
        return [step.removeprefix(place) for step in self._unasked if step.startswith(place)]

    def begin(self, events: Sequence[Event]) -> None:
        """What is about to be recorded.

        Raises:
            ReplayDivergence: A new step is in it, and one that is recorded cannot come any more.
        """
        if not self._unasked:
            return
        for event in events:
            if isinstance(event, _BEGINS) and event.step not in self._known and not self._by_tool(event):
                for step in self._unasked:
                    if not self._may_come(step, event.step):
                        raise self.missing(step, f"the new step {event.step!r}")

    def end(self, how: str = "", *, failed: bool = False) -> None:
        """The strategy has come to its end.

        Args:
            failed: Parts that have names may have been left then, by a strategy that runs them beside one another.
        Raises:
            ReplayDivergence: It has not asked for a recorded step.
        """
        for step in self._unasked:
            if not failed or step.replace("-", "").isdecimal():
                raise self.missing(step, how or "the end of the run")

    def missing(self, step: str, instead: str) -> ReplayDivergence:
        """The error for a step that is recorded and not asked for any more."""
        return ReplayDivergence(self._run_id, step, f"{self._known[step]} that is not asked for any more", instead)

    def _by_tool(self, event: Event) -> bool:
        """Whether the code of a tool asks an agent: its place is the call, which the strategy has asked for."""
        return isinstance(event, ChildRequested) and event.call_id != _own_call(self._run_id, event.step)

    def _may_come(self, step: str, new: str) -> bool:
        parts, others = step.split("-"), new.split("-")
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(parts, others, strict=False)))
        if same == min(len(parts), len(others)):
            return False  # a step is a part now, or the other way round
        place = "".join(f"{part}-" for part in parts[:same])
        may_come = self._beside.get(place)
        if may_come is not None:
            return may_come(step.removeprefix(place), new.removeprefix(place))
        return not (parts[same].isdecimal() and others[same].isdecimal())


class Rest(NamedTuple):
    """What is left of one place of the strategy."""

    replay: Replay
    place: str

    @property
    def unasked(self) -> Sequence[str]:
        """Its recorded steps that nobody has asked for again, without the place."""
        return self.replay.unasked(self.place)

    def beside(self, may_come: MayCome) -> None:
        """Its parts go on beside one another."""
        self.replay.beside(self.place, may_come)

    def left(self) -> None:
        """Who was at work there was told to leave."""
        self.replay.left(self.place)

    def missing(self, step: str, instead: str) -> ReplayDivergence:
        """The error for one of `unasked` that will not come."""
        return self.replay.missing(f"{self.place}{step}", instead)


def _steps_of(run_id: str, state: Run) -> dict[str, str]:
    steps = dict.fromkeys(state.models, MODEL)
    steps |= {step: VALUE for step, value in state.values.items() if isinstance(value, ValueRecorded)}  # not its memory
    for tool in state.tools.values():
        asked = tool.requested or tool.approval
        if asked is not None:
            steps[asked.step] = TOOL
    for call_id, child in state.children.items():
        if call_id == _own_call(run_id, child.requested.step):
            steps[child.requested.step] = AGENT
    return steps


def _own_call(run_id: str, step: str) -> str:
    return f"{run_id}_{step}_0"
