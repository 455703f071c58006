"""What must hold of a lead and its workers when all is over, whatever was killed on the way."""

from collections import Counter
from collections.abc import Iterator, Sequence

from treadle.events.child_step import ChildEnded, ChildRequested
from treadle.events.envelope import Recorded
from treadle.events.model_step import ModelCompleted
from treadle.events.run import CLOSING_TAGS, RunCompleted, RunStarted
from treadle.events.worker import Worker, evolve

from .crew import LEAD, PAID, WORKERS
from .history import Charges, History, effects_that_should_not_be, runs_that_did_not_end
from .ledger import Effect


def lead_of(history: History) -> Sequence[Recorded]:
    """The events of the run that leads the others; none while it has not begun."""
    for events in history.runs.values():
        if isinstance(started := events[0].event, RunStarted) and started.agent == LEAD:
            return events
    return ()


def has_ended(history: History) -> bool:
    """Whether the lead has come to its end."""
    return any(recorded.type in CLOSING_TAGS for recorded in lead_of(history))


def complaints(history: History, effects: Sequence[Effect], expected: str) -> list[str]:
    """What does not hold, in words."""
    lead = lead_of(history)
    end = lead[-1].event if lead else None
    answer = end.output if isinstance(end, RunCompleted) else f"nothing: {end}"
    other = sorted(set(answer.split("; ")) - set(expected.split("; ")))
    broken = [] if answer == expected else [f"the lead's answer is not as it should be: {other}"]
    done = [effect for effect in effects if effect.tool != PAID]
    return [
        *broken,
        *runs_that_did_not_end(history),
        *_children_that_are_not_linked(history, lead),
        *_tasks_that_are_open(history),
        *effects_that_should_not_be(history, done),
        *([] if len(done) == len(WORKERS) else [f"{len(done)} effects of {len(WORKERS)} workers"]),
        *_calls_paid_after_their_answer(history, effects),
        *Charges(history).wrong,
    ]


def _children_that_are_not_linked(history: History, lead: Sequence[Recorded]) -> Iterator[str]:
    """Each worker has been asked once, its run knows by whom, and the lead knows what came of it."""
    asked = [recorded.event for recorded in lead if isinstance(recorded.event, ChildRequested)]
    ended = Counter(recorded.event.call_id for recorded in lead if isinstance(recorded.event, ChildEnded))
    if sorted(child.agent for child in asked) != list(WORKERS):
        yield f"asked were {sorted(child.agent for child in asked)}"
    if len(history.runs) != 1 + len(WORKERS):
        yield f"there are {len(history.runs)} runs for one lead and {len(WORKERS)} workers"
    for child in asked:
        if ended[child.call_id] != 1:
            yield f"{child.agent} has {ended[child.call_id]} ends in the lead's run"
        events = history.runs.get(f"run-{child.run_id}")
        started = events[0].event if events else None
        if not events or not isinstance(started, RunStarted):
            yield f"{child.agent} was asked, and has no run"
            continue
        links = (started.agent, started.parent_run_id, started.parent_call_id, started.depth)
        if links != (child.agent, lead[0].run_id, child.call_id, 1):
            yield f"the run of {child.agent} has the links {links}"
        whose = {(recorded.user_id, recorded.correlation_id) for recorded in events}
        if whose != {(lead[0].user_id, lead[0].correlation_id)}:
            yield f"the run of {child.agent} has events of {whose}"


def _tasks_that_are_open(history: History) -> Iterator[str]:
    for stream, events in history.streams.items():
        if stream.startswith("worker-"):
            state = Worker()
            for recorded in events:
                evolve(state, recorded.event)
            if state.open or state.total != 1:
                yield f"{stream} has {len(state.open)} open tasks of {state.total}"


def _calls_paid_after_their_answer(history: History, effects: Sequence[Effect]) -> Iterator[str]:
    """Model calls that were made although their answer was in the journal."""
    answered: dict[str, float] = {}
    for events in history.runs.values():
        replies = [recorded for recorded in events if isinstance(recorded.event, ModelCompleted)]
        for turn, recorded in enumerate(replies):
            answered[f"{recorded.run_id}/{turn}"] = recorded.at.timestamp()
    for effect in effects:
        if effect.tool == PAID and effect.at > answered.get(effect.call_id, float("inf")):
            late = effect.at - answered[effect.call_id]
            yield f"model call {effect.call_id} was paid again {late:.3f} s after its answer was recorded"
