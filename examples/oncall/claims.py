"""What the demonstration promises, and whether it held. Each claim is judged on what the others left behind."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import NamedTuple

from treadle import RunState
from treadle.events.memory import FactAsserted
from treadle.events.run import RunStarted
from treadle.events.tool_step import ToolCompleted, ToolFailed, ToolOutcomeUnknown, ToolRequested

from .demo import OPEN_AT_A_KILL, alive
from .evidence import Evidence
from .place import AGENT, USER

_OUTCOMES = (ToolCompleted, ToolFailed, ToolOutcomeUnknown)

KILLS = 2
LIMIT_S = 60.0


class Claim(NamedTuple):
    """One promise. `found` is what was counted."""

    text: str
    held: bool
    found: str


def judge(evidence: Evidence, audit_code: int) -> list[Claim]:
    """All claims, in the order of the story.

    Args:
        audit_code: What `treadle audit verify` ended with.
    """
    judged = [Claim(*judgement(evidence)) for judgement in _JUDGEMENTS]
    return [*judged, Claim("the audit is verified against the journal", audit_code == 0, f"exit code {audit_code}")]


_Judgement = tuple[str, bool, str]


def _facts(e: Evidence) -> list[FactAsserted]:
    return [event.event for event in e.events if isinstance(event.event, FactAsserted)]


def _desk(e: Evidence) -> set[str]:
    """The runs that signals led to."""
    return {run.run_id for run in e.runs if run.agent == AGENT}


def _signals(e: Evidence) -> _Judgement:
    accepted = [line["id"] for line in e.published if line["what"] == "accepted"]
    begun = Counter(
        event.event.signal_id for event in e.events if isinstance(event.event, RunStarted) and event.event.signal_id
    )
    held = bool(accepted) and set(accepted) == set(begun) and set(begun.values()) == {1}
    return "every signal led to one run", held, f"{len(accepted)} signals, {begun.total()} runs"


def _completed(e: Evidence) -> _Judgement:
    states = Counter(run.state for run in e.runs)
    held = set(states) == {RunState.COMPLETED}
    return "every run was completed", held, ", ".join(f"{count} {state}" for state, count in states.items())


def _killed(e: Evidence) -> _Judgement:
    """SIGKILL in the middle, and every run that was open then came to its end."""
    state = {run.run_id: run.state for run in e.runs}
    cut = [run_id for kill in e.kills for run_id in kill.open_runs]
    enough = len(e.kills) == KILLS and all(len(kill.open_runs) >= OPEN_AT_A_KILL for kill in e.kills)
    went_on = all(state.get(run_id) == RunState.COMPLETED for run_id in cut)
    taken = sum(event.type == "run.taken_over" for event in e.events)
    found = f"{len(e.kills)} kills, {len(cut)} runs cut off, {taken} takeovers"
    return "runs that SIGKILL cut off went on to their end", enough and went_on and taken > 0, found


def _while_dead(e: Evidence) -> _Judgement:
    handled = {event.event.signal_id for event in e.events if isinstance(event.event, RunStarted)}
    seen = [kill.observed for kill in e.kills]
    held = bool(seen) and all(seen) and all(signals <= handled for signals in seen)
    return "signals seen while it was dead were handled", held, f"{sum(map(len, seen))} signals"


def _effects(e: Evidence) -> _Judgement:
    pages = Counter(line["run_id"] for line in e.ledger if line["what"] == "paged")
    repeated = pages.total() - len(pages)
    held = set(pages) == _desk(e) and repeated == 0
    return "every run paged once, no page was repeated", held, f"{pages.total()} effects, {repeated} repeated"


def _retried(e: Evidence) -> _Judgement:
    """The hardest moment: the page was sent, and the process died before it could say so."""
    tries = Counter(
        line["call_id"] for line in e.ledger if (line["what"], line["tool"]) == ("executed", "page_on_call")
    )
    sent = Counter(line["call_id"] for line in e.ledger if line["what"] == "paged")
    again = [call_id for call_id, count in tries.items() if count > 1]
    held = bool(again) and all(sent[call_id] == 1 for call_id in again)
    return "a page cut off was tried again, and not sent again", held, f"{len(again)} tried again"


def _no_repeats(e: Evidence) -> _Judgement:
    """An execution that began after the call's outcome was on record would be a repetition."""
    outcome = {event.event.call_id: event.at.timestamp() for event in e.events if isinstance(event.event, _OUTCOMES)}
    executed = [line for line in e.ledger if line["what"] == "executed"]
    late = [line for line in executed if line["at"] > outcome.get(line["call_id"], float("inf"))]
    outcomes = Counter(event.event.call_id for event in e.events if isinstance(event.event, _OUTCOMES))
    held = not late and set(outcomes.values()) == {1}
    found = f"{len(executed)} executions of {len({line['call_id'] for line in executed})} calls, {len(late)} repeated"
    return "no tool ran again that had an outcome", held, found


def _delegated(e: Evidence) -> _Judgement:
    parents = Counter(run.parent_run_id for run in e.runs if run.agent == "prober")
    held = set(parents) == _desk(e) and set(parents.values()) == {1}
    return "every run had the prober measure once", held, f"{parents.total()} delegated runs"


def _posted(e: Evidence) -> _Judgement:
    """An entry has the id of the call that posted it."""
    requests = [event.event for event in e.events if isinstance(event.event, ToolRequested)]
    calls = {request.call_id for request in requests if request.tool == "post_to_ops"}
    held = sorted(entry.entry_id for entry in e.board) == sorted(calls) and len(calls) == len(_desk(e))
    return "every run posted to the blackboard once", held, f"{len(e.board)} entries"


def _remembered(e: Evidence) -> _Judgement:
    """What is said again is no news, so there are fewer facts than runs; the last one said is the one believed."""
    told = {(fact.subject, fact.predicate): fact.object for fact in _facts(e)}
    believed = {(fact.subject, fact.predicate): fact.object for fact in e.facts if fact.valid_until is None}
    found = f"{len(believed)} facts believed, of {len(_facts(e))} told"
    return "the newest facts that were told are believed", bool(told) and told == believed, found


def _watched(e: Evidence) -> _Judgement:
    verdict = e.verdict
    held = verdict.events > 0 and not (verdict.gaps or verdict.doubles or verdict.differing or verdict.unfinished)
    found = f"{len(verdict.gaps)} gaps, {len(verdict.doubles)} doubles, {verdict.reconnects} reconnects"
    return "the watcher saw every stream whole", held, found


def _history(e: Evidence) -> _Judgement:
    held = sorted(e.verdict.compared) == sorted(run.run_id for run in e.runs)
    return "each run's history is what was watched", held, f"{len(e.verdict.compared)} runs compared"


def _same(e: Evidence) -> _Judgement:
    """Byte by byte, in order, for everything of this user."""
    journal: dict[str, list[bytes]] = defaultdict(list)
    for event in e.events:
        if event.user_id == USER:
            journal[event.stream].append(event.stored)
    found = f"{sum(map(len, journal.values()))} events in {len(journal)} streams"
    return "NATS told what the journal holds, byte by byte", dict(journal) == e.watched, found


def _ended(e: Evidence) -> _Judgement:
    servers = [int(file.read_text("utf-8")) for file in e.place.directory.rglob("nats-server.pid")]
    left = [pid for pid in servers if alive(pid)]
    held = not left and set(e.codes.values()) == {0} and len(e.codes) == 3
    found = ", ".join(f"{name} {code}" for name, code in e.codes.items())
    return "every process ended well, none is left", held, found


def _in_time(e: Evidence) -> _Judgement:
    return f"all of it in under {LIMIT_S:g} s", e.took_s < LIMIT_S, f"{e.took_s:.1f} s"


_JUDGEMENTS: tuple[Callable[[Evidence], _Judgement], ...] = (
    _signals,
    _completed,
    _delegated,
    _posted,
    _remembered,
    _killed,
    _while_dead,
    _effects,
    _retried,
    _no_repeats,
    _watched,
    _history,
    _same,
    _ended,
    _in_time,
)
