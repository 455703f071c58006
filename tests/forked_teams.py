"""A team of twenty actors that always says the same, and what has to hold of every fork of it, by its events alone."""

import asyncio
import hashlib
import json
import random
from collections.abc import Sequence

from msgspec import Struct
from turns import Turn, delegates, hands_over, results, taken

from treadle import Agent, FunctionModel, Message, ModelReply, Team, ToolSpec, Usage
from treadle.architecture import BlackboardArchitecture, MultiAgentDebate, Supervisor, Swarm
from treadle.events.blackboard import Posted, blackboard_stream
from treadle.events.child_step import ChildEnded, ChildRequested
from treadle.events.envelope import Recorded
from treadle.events.journal import Journal
from treadle.events.model_step import ModelCompleted
from treadle.events.run import CLOSING_TAGS, RecordCopied, RunStarted, ValueRecorded, run_stream
from treadle.events.session import RunEnded, RunOpened

ACTORS = 20


class Twenty:
    """A chief; a newspaper whose reporters remember; peers that hand over; a laboratory at a board; a panel.

    Args:
        chance: How long each model call takes, in turns of the loop: what goes on beside one another is mixed by it.

    Attributes:
        calls: How many model calls there were.
    """

    def __init__(self, chance: random.Random) -> None:
        self.calls = 0
        self._chance = chance
        press = Team.supervisor(
            workers={name: self._says(name) for name in ("ada", "ben", "cyd", "dan")},
            instructions="You edit.",
            model=self._mind(
                delegates(ada="the facts", ben="the voices", cyd="the pictures"),
                delegates(ada="more facts", dan="the title"),
                results,
            ),
        )
        swarm = Swarm(
            {
                "front": Agent("You open.", model=self._mind(hands_over("clerk", "It is for the clerk."))),
                "clerk": Agent("You look.", model=self._mind(hands_over("boss", "It is for the boss."))),
                "boss": self._says("boss"),
            },
            entry_agent="front",
        )
        board = BlackboardArchitecture(
            {name: self._says(name) for name in ("guesser", "critic", "tester")},
            coordinator=Agent("You pick.", model=self._mind(_next_at_the_board)),
            decider=self._says("decider"),
            max_rounds=5,
        )
        debate = MultiAgentDebate([self._says("pro"), self._says("con")], judge=self._says("judge"), rounds=1)
        workers = {"press": press}
        workers |= {
            name: Agent(f"You are the {name}.", model=self._mind("not asked"), architecture=architecture)
            for name, architecture in (("desk", swarm), ("lab", board), ("panel", debate))
        }
        turns = (delegates(press="Report.", desk="Refund."), delegates(lab="Why?", panel="Is it?"), results)
        self.agent = Agent("You lead.", model=self._mind(*turns), name="chief", architecture=Supervisor(workers))

    def _mind(self, *turns: Turn) -> FunctionModel:
        """Its first turn, its second …, the same after a crash and in a fork."""

        async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
            self.calls += 1
            for _ in range(self._chance.randrange(6)):
                await asyncio.sleep(0)
            turn = turns[min(taken(messages), len(turns) - 1)]
            reply = turn if isinstance(turn, str | ModelReply) else turn(messages)
            calls = reply.tool_calls if isinstance(reply, ModelReply) else ()
            return ModelReply(reply if isinstance(reply, str) else "", calls, Usage(10, 5))

        return FunctionModel(answer)

    def _says(self, name: str) -> Agent:
        """Says what nobody could say who was shown anything else."""
        return Agent(f"You are {name}.", model=self._mind(lambda messages: f"{name} {_digest(messages)}"))


def _next_at_the_board(messages: Sequence[Message]) -> str:
    said = messages[-1].content
    turn = next((name for name in ("guesser", "critic", "tester") if f"contribution of {name}" not in said), "")
    return f'{{"next_agent": "{turn}", "instruction": "Go on."}}' if turn else '{"terminate": true}'


def _digest(messages: Sequence[Message]) -> str:
    said = "|".join(f"{message.role} {message.content}" for message in messages)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


# --- what has to hold ------------------------------------------------------------------------------------------------


class Shared(Struct):
    """What a run of a fork has of the run whose beginning it shares.

    Attributes:
        records: What is shared, as it stands here.
        ended: Whether that run's end is shared too.
    """

    run_id: str
    session_id: str
    started: RunStarted
    records: list[RecordCopied]
    ended: bool


async def all_events(journal: Journal, after: int = 0) -> list[Recorded]:
    """The events above a position."""
    found: list[Recorded] = []
    while page := await journal.read_all(found[-1].position if found else after, limit=5000):
        found += page
    return found


def check_fork(
    before: Sequence[Recorded], after: Sequence[Recorded], root: str, fork: str, position: int, *, of: str = ""
) -> int:
    """Hold a fork to what every fork has to be; how many model calls it shares the answers of.

    Args:
        before: All events that there were when it was forked, of a journal that holds nothing but one run's tree.
        after: Those that there are since.
        of: The fork of the run that this one was forked from, at a moment of the run itself: it is to be as if it was
            forked from the run.
    """
    origins, streams = _by_stream(before), _by_stream(after)
    shared = {found.run_id: found for stream in streams.values() if (found := _shared(stream)) is not None}
    assert fork in shared
    for found in shared.values():
        forked_from = found.started.forked_from.replace(of or root, root, 1)
        assert found.run_id.replace(fork, root, 1) == forked_from
        origin = origins[run_stream(forked_from)]
        line = sum(recorded.position <= position for recorded in origin) if of else found.started.forked_at
        _check_bytes(found, origin, line, root, fork, position)
        _check_received(found, shared, streams, fork)
    return sum(isinstance(copy.record, ModelCompleted) for found in shared.values() for copy in found.records)


def _by_stream(events: Sequence[Recorded]) -> dict[str, list[Recorded]]:
    streams: dict[str, list[Recorded]] = {}
    for recorded in events:
        streams.setdefault(recorded.stream, []).append(recorded)
    return streams


def _shared(stream: Sequence[Recorded]) -> Shared | None:
    started = stream[0].event
    if not isinstance(started, RunStarted) or not started.forked_from:
        return None
    records = [recorded.event for recorded in stream if isinstance(recorded.event, RecordCopied)]
    ended = len(stream) == len(records) + 2 and stream[-1].type in CLOSING_TAGS
    return Shared(stream[0].run_id, stream[0].session_id, started, records, ended)


def _check_bytes(found: Shared, origin: Sequence[Recorded], line: int, root: str, fork: str, position: int) -> None:
    """What is shared is, apart from ids, byte for byte all that was there and had an outcome by then."""
    assert all(recorded.position <= position for recorded in origin[:line])
    assert line == len(origin) or origin[line].position > position
    there = [recorded.event if isinstance(recorded.event, RecordCopied) else recorded for recorded in origin[:line]]
    done = {_call_of(first) for first in there if first.type in _OUTCOMES}
    wanted = [
        first
        for first in there
        if first.type not in {"run.started", "run.taken_over", "run.suspended", *CLOSING_TAGS}
        and (first.type not in _INTENTS or _call_of(first) in done)
    ]
    assert [copy.type for copy in found.records] == [first.type for first in wanted]
    for copy, first in zip(found.records, wanted, strict=True):
        assert bytes(copy.data).replace(fork.encode(), root.encode()) == bytes(first.data)
        assert (copy.at, copy.position) == (first.at, first.position)


_INTENTS = {"run.model_requested", "run.tool_requested"}
_OUTCOMES = {"run.model_completed", "run.model_failed", "run.tool_completed", "run.tool_failed"}


def _call_of(first: Recorded | RecordCopied) -> str:
    call_id: str = json.loads(bytes(first.data))["call_id"]
    return call_id


def _check_received(found: Shared, shared: dict[str, Shared], streams: dict[str, list[Recorded]], fork: str) -> None:
    """Nothing was received that was not sent."""
    asked: dict[str, str] = {}
    for copy in found.records:
        match copy.record:
            case ChildRequested(call_id=call_id, run_id=run_id):
                asked[call_id] = run_id
            case ChildEnded(call_id=call_id):
                assert shared[asked[call_id]].ended, "an answer of a run that has not ended"
            case ValueRecorded(name="blackboard.read", value=value):
                board = streams.get(blackboard_stream(found.run_id), [])
                left = {recorded.event.entry_id for recorded in board if isinstance(recorded.event, Posted)}
                assert {entry["entry_id"] for entry in value} <= left, "an entry that nobody has posted"
            case _:
                pass
    parent = found.started.parent_run_id
    if parent:
        questions = [copy.record for copy in shared[parent].records if isinstance(copy.record, ChildRequested)]
        assert found.run_id in {question.run_id for question in questions}, "a run that nobody has asked"
    if found.session_id != found.run_id:
        [session] = [
            each for name, each in streams.items() if name.endswith(f"/{found.started.agent}/{found.session_id}")
        ]
        before = [each.event for each in session]
        opened = [each.run_id for each in before if isinstance(each, RunOpened)]
        ended = [each.run_id for each in before if isinstance(each, RunEnded)]
        earlier = opened[: opened.index(found.run_id)]
        assert set(earlier) <= set(ended), "an answer that nobody has given"
        assert all(shared[run_id].ended for run_id in earlier if run_id.startswith(fork)), "an answer of nobody yet"
