"""What the journal says when all is over, and what must hold of it.

Each check returns what does not hold, in words. None of them asks a node: the journal, the ledger outside, and what the
load had confirmed are enough.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence

from treadle.events.budget import Released, Reserved, Settled
from treadle.events.envelope import Recorded
from treadle.events.message import Usage
from treadle.events.model_step import ModelCompleted, ModelRequested, attempt_id
from treadle.events.run import CLOSING_TAGS, RunCompleted, RunStarted, RunTakenOver
from treadle.events.tool_step import ToolCompleted, ToolRequested

from .agents import DESTRUCTIVE, IDEMPOTENT, PLAIN
from .ledger import Effect

EFFECTS = frozenset({PLAIN, IDEMPOTENT, DESTRUCTIVE})


class History:
    """A whole journal, by stream."""

    def __init__(self, events: Sequence[Recorded]) -> None:
        self.events = events
        self.streams: defaultdict[str, list[Recorded]] = defaultdict(list)
        for recorded in events:
            self.streams[recorded.stream].append(recorded)
        self.runs = {name: events for name, events in self.streams.items() if name.startswith("run-")}

    def count(self, *kinds: type) -> int:
        """How many events of these kinds there are."""
        return sum(isinstance(recorded.event, kinds) for recorded in self.events)

    @property
    def repeated(self) -> int:
        """How many calls of models and tools were begun again."""
        return sum(getattr(recorded.event, "attempt", 1) > 1 for recorded in self.events)

    def ended_at(self) -> dict[str, float]:
        """When the run of each signal ended, in seconds since the epoch."""
        found: dict[str, float] = {}
        for events in self.runs.values():
            started = events[0].event
            if isinstance(started, RunStarted) and started.signal_id and events[-1].type in CLOSING_TAGS:
                found[started.signal_id] = events[-1].at.timestamp()
        return found


def runs_that_did_not_end(history: History) -> Iterator[str]:
    for stream, events in history.runs.items():
        ends = [recorded.version for recorded in events if recorded.type in CLOSING_TAGS]
        if not isinstance(events[0].event, RunStarted) or ends != [len(events)]:
            yield f"{stream} has {len(events)} events, begins with {events[0].type}, and has its end at {ends}"
        elif not isinstance(events[-1].event, RunCompleted):
            yield f"{stream} ended otherwise: {events[-1].event}"


def signals_that_did_not_lead_to_one_run(history: History, signals: Collection[str]) -> Iterator[str]:
    runs = Counter[str]()
    for events in history.runs.values():
        if isinstance(started := events[0].event, RunStarted) and started.signal_id:
            runs[started.signal_id] += 1
    for signal in {*signals, *runs}:
        if runs[signal] != 1 or signal not in signals:
            yield f"{signal} led to {runs[signal]} runs"


def effects_that_should_not_be(history: History, effects: Sequence[Effect]) -> Iterator[str]:
    """Too many, too few, without an intent, after their outcome, or by somebody whose run it was not any more."""
    done: defaultdict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        done[effect.call_id].append(effect)
    for stream, events in history.runs.items():
        for call in _calls(events).values():
            for complaint in call.complaints(done.pop(call.call_id, [])):
                yield f"{complaint}, in {stream}"
    for call_id, its in done.items():
        yield f"{call_id} has effects and no intent: {its}"


class _Call:
    """One tool call: its attempts, who made each, and until when that was the owner.

    Attributes:
        begun: By attempt, the owner, and when somebody else took the run over.
        completed: When its outcome was known.
    """

    def __init__(self, call_id: str, tool: str) -> None:
        self.call_id = call_id
        self.tool = tool
        self.begun: dict[int, tuple[str, float]] = {}
        self.completed = float("inf")

    def complaints(self, effects: Sequence[Effect]) -> Iterator[str]:
        what = f"{self.tool} {self.call_id}"
        twice = [attempt for attempt, count in Counter(effect.attempt for effect in effects).items() if count > 1]
        if twice:
            yield f"{what} happened more than once in attempts {twice}"
        if len(effects) > 1 and self.tool != PLAIN:
            yield f"{what} happened {len(effects)} times: {effects}"
        if not effects and self.completed < float("inf"):
            yield f"{what} has an outcome and no effect"
        for effect in effects:
            if effect.at > self.completed:
                yield f"{what} happened after its outcome: {effect}"
            if effect.attempt not in self.begun:
                yield f"{what} happened without an intent: {effect}"
                continue
            owner, until = self.begun[effect.attempt]
            if f":{effect.pid}:" not in owner:
                yield f"{what} was {owner}'s to do, and somebody else did it: {effect}"
            if effect.at > until:
                yield f"{what} was done by a former owner {effect.at - until:.3f} s after the take-over: {effect}"


def _calls(events: Sequence[Recorded]) -> dict[str, _Call]:
    calls: dict[str, _Call] = {}
    owner = ""
    for recorded in events:
        match recorded.event:
            case RunStarted():
                owner = recorded.event.owner
            case RunTakenOver():
                if recorded.event.owner != owner:
                    at = recorded.at.timestamp()
                    for call in calls.values():
                        call.begun = {
                            attempt: (who, min(until, at) if who == owner else until)
                            for attempt, (who, until) in call.begun.items()
                        }
                owner = recorded.event.owner
            case ToolRequested(call_id=call_id, tool=tool, attempt=attempt) if tool in EFFECTS:
                calls.setdefault(call_id, _Call(call_id, tool)).begun[attempt] = (owner, float("inf"))
            case ToolCompleted(call_id) if call_id in calls:
                calls[call_id].completed = recorded.at.timestamp()
            case _:
                pass
    return calls


class Charges:
    """What the budgets were told of each model call.

    A call is charged once; when its answer was lost and it was made again, as `attempt` says, perhaps once more. A
    former owner that was paused while it reserved may still do so when it wakes, or give back what its successor has
    reserved: then a call is charged twice, or not at all, or holds a reservation for ever.

    Attributes:
        wrong: What does not hold, in words.
        after_take_over: How many calls were charged wrongly by owners who did not know that they were former ones.
    """

    def __init__(self, history: History) -> None:
        self.wrong: list[str] = []
        self.after_take_over = 0
        attempts, answered, taken_over = Counter[str](), dict[str, Usage](), set[str]()
        for events in history.runs.values():
            for event in (recorded.event for recorded in events):
                match event:
                    case ModelRequested(call_id=call_id, attempt=attempt):
                        attempts[call_id] = max(attempts[call_id], attempt)
                    case ModelCompleted(call_id=call_id, reply=reply):
                        answered[attempt_id(call_id, attempts[call_id])] = reply.usage
                    case _:
                        pass
            if any(isinstance(recorded.event, RunTakenOver) for recorded in events):
                taken_over.add(events[0].run_id)
        # By call and budget: what a child spends is charged to its own and to those of all that led to it.
        charged, held = Counter[tuple[str, str]](), set[tuple[str, str]]()
        for recorded in history.events:
            match recorded.event:
                case Reserved(call_id):
                    held.add((call_id, recorded.stream))
                case Released(call_id):
                    held.discard((call_id, recorded.stream))
                case Settled(call_id, usage):
                    held.discard((call_id, recorded.stream))
                    charged[call_id, recorded.stream] += 1
                    if usage != answered.get(call_id):
                        self.wrong.append(f"call {call_id} was charged {usage} and used {answered.get(call_id)}")
                case _:
                    pass
        uncharged = answered.keys() - {call_id for call_id, _ in charged}
        found = [
            *((call_id, "still holds a reservation") for call_id, _ in held),
            *((call_id, "was charged 0 times") for call_id in uncharged),
            *((call_id, f"was charged {times} times") for (call_id, _), times in charged.items() if times != 1),
        ]
        for call_id, complaint in found:
            if call_id.rpartition("_")[0] in taken_over:
                self.after_take_over += 1
            else:
                self.wrong.append(f"call {call_id} {complaint}")
