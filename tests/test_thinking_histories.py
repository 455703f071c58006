"""Today's architectures and workflows ask what earlier versions asked: else a run that was left open could not go on.

A test that fails here says that a prompt, or the order of questions, has changed: runs that began with the former words
diverge.
"""

from pathlib import Path
from typing import Any

import pytest
from histories.thinkers import THINKERS, Makes
from msgspec import structs

from treadle import FunctionModel, Image, ReplayDivergence, RunResult
from treadle.actors.run import RunActivation
from treadle.actors.run_history import RunRequest
from treadle.actors.strategies import self_refine
from treadle.events.envelope import EMPTY, Meta, Recorded, StreamName, read_stored, verify_chain
from treadle.events.event import UnknownEvent
from treadle.events.journal import Append
from treadle.events.run import RunCompleted, RunStarted
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.node import Node

PATHS = sorted(Path(__file__).with_name("histories").glob("*/thinking/*.jsonl"))
each = pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parts[-3]}/{path.stem}")


def load(path: Path) -> list[Recorded]:
    return [read_stored(line, number) for number, line in enumerate(path.read_bytes().splitlines(), 1)]


def nothing(*_: Any, **__: Any) -> Any:
    raise AssertionError("a replay called a model or a function")


async def replayed(name: str, events: list[Recorded], images: tuple[Image, ...] = ()) -> RunResult:
    """What today's code makes of a run, of which all but the end is recorded."""
    first, started = events[0], events[0].event
    assert isinstance(started, RunStarted)
    node = Node(MemoryJournal())
    await node.start()
    try:
        meta = Meta(user_id=first.user_id, session_id=first.session_id, run_id=first.run_id, epoch=1)
        facts = [structs.replace(started, images=images), *(recorded.event for recorded in events[1:])]
        await node.journal.append(Append(StreamName(first.stream), EMPTY, facts, meta, first.at))
        thinker = THINKERS[name](Makes(FunctionModel(nothing), nothing))
        thinker.bind(node, started.agent)
        spec = structs.replace(thinker.spec, name=started.agent)
        request = RunRequest(
            run_id=first.run_id, prompt=started.prompt, user_id=first.user_id, session_id=first.session_id
        )
        run = RunActivation(spec, node.services, request)
        assert await run.continue_("replay")
        return await run.drive()
    finally:
        await node.close()


def test_there_is_a_history_of_each() -> None:
    assert {path.stem for path in PATHS} == set(THINKERS)


@each
def test_a_recorded_thought_still_reads_and_verifies(path: Path) -> None:
    events = load(path)
    assert verify_chain(events).version == len(events)
    assert not [recorded.type for recorded in events if isinstance(recorded.event, UnknownEvent)]


@each
async def test_a_run_cut_before_its_end_comes_to_the_same_without_any_call(path: Path) -> None:
    *before, last = load(path)
    ended = last.event
    assert isinstance(ended, RunCompleted)
    result = await replayed(path.stem, before)
    assert (result.output, result.turns) == (ended.output, ended.turns)


async def test_a_run_with_pictures_that_its_members_were_not_shown_yet_goes_on() -> None:
    """They were not, in the first team runs that had any."""
    (path,) = [path for path in PATHS if path.match("0.1/thinking/actor_critic.jsonl")]
    result = await replayed("actor_critic", load(path)[:-1], images=(Image(url="https://example.com/tide.png"),))
    assert result.output == "The moon."


async def test_other_words_to_a_critic_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert self_refine.SelfRefine.__init__.__kwdefaults__ is not None
    changed = {**self_refine.SelfRefine.__init__.__kwdefaults__, "critic_prompt": "What is wrong with it?"}
    monkeypatch.setattr(self_refine.SelfRefine.__init__, "__kwdefaults__", changed)
    (path,) = [path for path in PATHS if path.match("0.1/thinking/self-refine.jsonl")]
    with pytest.raises(ReplayDivergence):
        await replayed("self-refine", load(path)[:-1])
