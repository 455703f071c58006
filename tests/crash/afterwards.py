"""What must hold when the last process has ended: the journal tells the story of a run that was never killed.

`tell` reduces a journal to what does not depend on crashes: no take-overs, no repeated intents, no questions that only
a crash raises, run ids by their order, events of one stream in one order. Two histories came to the same when their
stories are equal.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from treadle.events.budget import Released, Reserved, Settled, TimeSpent
from treadle.events.envelope import Recorded, encode_event
from treadle.events.event import Event
from treadle.events.model_step import ModelAttemptFailed, ModelRequested
from treadle.events.run import CLOSING_TAGS, RecordCopied, RunSuspended, RunTakenOver, ValueRecorded
from treadle.events.session import RunOpened
from treadle.events.tool_step import (
    ApprovalDecided,
    ApprovalRequested,
    ToolCompleted,
    ToolFailed,
    ToolOutcomeUnknown,
    ToolRequested,
)
from treadle.events.verify import verify
from treadle.gateways.journals import open_journal

from .ledger import Effect, Ledger
from .programs import LEDGER, journal_in

ONCE = frozenset({"charge", "wipe"})
"""Tools whose effect may be there once and no more: the idempotent one and the destructive one."""
IN_LEDGER = ONCE | {"post", "look"}

_WITHOUT = ("owner", "attempt", "digest", "duration_ms", "forked_at")

Story = dict[str, list[str]]


class Broken(AssertionError):
    """Something that must hold does not; `directory` has the journal, the ledger and the log."""

    def __init__(self, what: str, directory: Path) -> None:
        super().__init__(f"{what}\nin {directory}")


async def read(directory: Path) -> list[Recorded]:
    """The whole journal.

    Raises:
        Broken: A chain does not hold, or a version is missing.
    """
    journal = await open_journal(journal_in(directory))
    try:
        problems = await verify(journal)
        if problems:
            raise Broken("\n".join(map(str, problems)), directory)
        events: list[Recorded] = []
        while page := await journal.read_all(events[-1].position if events else 0):
            events += page
        return events
    finally:
        await journal.close()


async def afterwards(directory: Path, never_killed: Story | None = None) -> Story:
    """Check what a program left behind.

    Raises:
        Broken: The journal is damaged, an effect is missing, was repeated, or has no intent; or the story differs
            from that of a program that was never killed.
    """
    events = await read(directory)
    story = tell(events)
    if never_killed is not None and story != never_killed:
        raise Broken(f"another story:\n{_difference(never_killed, story)}", directory)
    for stream, recorded in _by_stream(events).items():
        if stream.startswith("run-"):
            ends = [event.version for event in recorded if event.type in CLOSING_TAGS]
            if recorded[0].type != "run.started" or ends != [len(recorded)]:
                raise Broken(f"{stream} begins with {recorded[0].type} and has its end at {ends}", directory)
    _check_effects(events, Ledger(directory / LEDGER).effects(), directory)
    _check_budgets(events, directory)
    return story


def _check_budgets(events: Sequence[Recorded], directory: Path) -> None:
    held: set[tuple[str, str]] = set()
    for recorded in events:
        match recorded.event:
            case Reserved(call_id):
                held.add((recorded.stream, call_id))
            case Settled(call_id) | Released(call_id):
                held.discard((recorded.stream, call_id))
            case _:
                pass
    if held:
        raise Broken(f"held by calls that have ended: {sorted(held)}", directory)


def _check_effects(events: Sequence[Recorded], effects: Sequence[Effect], directory: Path) -> None:
    done: defaultdict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        done[effect.call_id].append(effect)
    tools: dict[str, str] = {}
    intents: set[tuple[str, int]] = set()
    for event in (recorded.event for recorded in events):
        if isinstance(event, ToolRequested) and event.tool in IN_LEDGER:
            tools[event.call_id] = event.tool
            intents.add((event.call_id, event.attempt))
    for call_id, tool in tools.items():
        its = done.pop(call_id, [])
        attempts = [effect.attempt for effect in its]
        if not its:
            raise Broken(f"{tool} {call_id} has an intent and an end, and no effect", directory)
        if tool in ONCE and len(its) > 1:
            raise Broken(f"{tool} {call_id} happened {len(its)} times: {its}", directory)
        if tool != "look" and (missing := [attempt for attempt in attempts if (call_id, attempt) not in intents]):
            raise Broken(f"{tool} {call_id} happened in attempts {missing} without an intent", directory)
        if tool == "post" and attempts != sorted(set(attempts)):
            raise Broken(f"{tool} {call_id} could not tell its attempts apart: {attempts}", directory)
    # A reader may read before its run is on disk; whatever has an effect may not begin then.
    unknown = [effect for its in done.values() for effect in its if effect.tool != "look"]
    if unknown:
        raise Broken(f"effects that no journal knows: {unknown}", directory)


def tell(events: Sequence[Recorded]) -> Story:
    """The story: stream by stream, what happened in it."""
    names = [recorded.event.run_id for recorded in events if isinstance(recorded.event, RunOpened)]
    questions: dict[str, str] = {}
    tools: dict[str, str] = {}
    story: defaultdict[str, list[str]] = defaultdict(list)
    for recorded in events:
        event = recorded.event.record if isinstance(recorded.event, RecordCopied) else recorded.event
        match event:
            case RunTakenOver() | RunSuspended() | TimeSpent():
                continue
            case ModelRequested(attempt=attempt) if attempt > 1:
                continue
            case ModelAttemptFailed(kind="lost"):
                continue
            case Reserved() | Released():
                continue  # an attempt whose answer was lost gives back what it held; see `_check_budgets`
            case ValueRecorded(name="first"):
                continue  # which of two nodes of a workflow ended first is the scheduler's affair, until it is recorded
            case ToolRequested():
                tools[event.call_id] = event.tool
                if event.attempt > 1:
                    continue
            case ApprovalRequested():
                questions[event.call_id] = event.reason
                if event.reason == "unknown_outcome":
                    continue
            case ApprovalDecided(call_id) if questions[call_id] == "unknown_outcome":
                continue
            case _:
                pass
        story[recorded.stream].append(_say(recorded.type, event, tools))
    text = msgspec.json.encode({stream: sorted(told) for stream, told in story.items()}).decode()
    for number, name in enumerate(names, 1):
        text = text.replace(name, f"<run {number}>")
    told: Story = msgspec.json.decode(text)
    return dict(sorted((stream, sorted(lines)) for stream, lines in told.items()))


def _say(tag: str, event: Event, tools: dict[str, str]) -> str:
    match event:
        case ToolCompleted(call_id) | ToolFailed(call_id) | ToolOutcomeUnknown(call_id) if tools[call_id] == "wipe":
            # Whoever was asked whether to wipe again knew that it had been done: the effect is there either way.
            return f"wipe {call_id} has ended"
        case _:
            said: dict[str, Any] = {"type": tag, "record": event.event_tag, **msgspec.json.decode(encode_event(event))}
            if isinstance(event, Settled):
                said["call_id"] = event.call_id.partition(".")[0]  # whichever attempt it was
            if tag == "session.signal_received":
                said["signal"]["at"] = None
            if said.get("fork"):
                del said["fork"]["position"]  # what was begun twice stands before it as well
            return msgspec.json.encode({key: value for key, value in said.items() if key not in _WITHOUT}).decode()


def _by_stream(events: Sequence[Recorded]) -> dict[str, list[Recorded]]:
    streams: defaultdict[str, list[Recorded]] = defaultdict(list)
    for recorded in events:
        streams[recorded.stream].append(recorded)
    return streams


def _difference(expected: Story, found: Story) -> str:
    lines: list[str] = []
    for stream in sorted({*expected, *found}):
        before, now = Counter(expected.get(stream, [])), Counter(found.get(stream, []))
        lines += [f"  - {stream} {line}" for line in (before - now).elements()]
        lines += [f"  + {stream} {line}" for line in (now - before).elements()]
    return "\n".join(lines)
