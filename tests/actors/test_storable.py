"""Nothing that comes from outside makes an event that a journal cannot take, and so a run that never ends."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from treadle import Agent, Limits, Message, ModelReply, NothingToResume, RetryPolicy, RunError, ToolSpec, Usage, tool
from treadle.actors.clock import SYSTEM_CLOCK
from treadle.actors.entity import Entity
from treadle.actors.json_form import Unrecordable
from treadle.actors.memory import FOLD
from treadle.actors.model import ModelChunk
from treadle.actors.model_errors import InvalidRequestError, ModelError, ServerError
from treadle.actors.storable import storable
from treadle.events.envelope import Meta, StreamName
from treadle.events.event import Event, UnknownEvent
from treadle.events.memory import BlockUpdated
from treadle.events.message import ToolCall
from treadle.events.model_step import ModelCompleted, ModelFailed
from treadle.gateways.journals.memory import MemoryJournal

HALF = "x\ud83d"
WHOLE = "x\ufffd"


def failed(error: str = "", **more: Any) -> ModelFailed:
    return ModelFailed(step="s", call_id="c", error=error, **more)


def test_half_a_character_is_replaced_wherever_it_stands_in_an_event() -> None:
    reply = ModelReply(HALF, (ToolCall(HALF, "t", {HALF: [HALF, 1, None]}),), carried={"blocks": [{HALF: HALF}]})
    found = storable(ModelCompleted(step=HALF, call_id="c", reply=reply)).reply
    assert (found.text, found.tool_calls[0].id, found.tool_calls[0].args) == (WHOLE, WHOLE, {WHOLE: [WHOLE, 1, None]})
    assert found.carried == {"blocks": [{WHOLE: WHOLE}]}


def test_an_event_that_a_journal_takes_is_the_same_object() -> None:
    event = failed("läuft \U0001f600")
    assert storable(event) is event


def test_an_event_of_a_later_treadle_is_let_pass() -> None:
    event = UnknownEvent(type="run.later", schema=9, data=b'{"a":1}')  # type: ignore[arg-type]
    assert storable(event) is event


@pytest.mark.parametrize(
    "event",
    [
        failed(usage=Usage(12.5, 1)),  # type: ignore[arg-type]
        failed(usage=Usage(1, 1, cost_usd=float("nan"))),
        failed(status="five hundred"),
        ModelCompleted(step="s", call_id="c", reply=ModelReply(carried={"a": object()})),
    ],
)
def test_an_event_that_could_not_be_read_back_is_refused(event: Event) -> None:
    with pytest.raises(Unrecordable, match=f"{event.event_tag} cannot be recorded"):
        storable(event)


async def test_a_refused_event_leaves_state_and_stream_as_they_were() -> None:
    journal, stream = MemoryJournal(), StreamName("memory-alice")
    mine = Entity(journal, SYSTEM_CLOCK, stream, FOLD, Meta(epoch=1))
    good, bad = BlockUpdated(name="good", content="x"), BlockUpdated(name="bad", content=5)  # type: ignore[arg-type]
    with pytest.raises(Unrecordable):
        mine.record([good, bad])
    assert not mine.state.blocks
    mine.record([good])
    await mine.flush()
    assert (await journal.head(stream)).version == 1


async def test_what_is_mended_before_it_is_masked_has_no_secret_left() -> None:
    key = "sk-proj-4f9a1c77e2b04d3f9a1c77e2b04d"
    mine = Entity(MemoryJournal(), SYSTEM_CLOCK, StreamName("memory-alice"), FOLD, Meta(epoch=1))
    mine.record([BlockUpdated(name="b", content=f"{HALF} {key}")])
    assert key not in mine.state.blocks["b"]


def test_an_error_has_no_half_character() -> None:
    error = ModelError(HALF, HALF, request_id=HALF)
    assert (str(error), error.kind, error.request_id) == (WHOLE, WHOLE, WHOLE)


# --- runs ------------------------------------------------------------------------------------------------------------


class Says:
    """A model that answers so, or fails so, and then says that it is done."""

    name = "says"
    billed = True

    def __init__(self, turn: ModelReply | Exception) -> None:
        self._turn = turn
        self.asked = 0

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        self.asked += 1
        reply = self._turn if self.asked == 1 else ModelReply("done")
        if isinstance(reply, Exception):
            raise reply
        yield ModelChunk("text", reply.text)
        yield ModelChunk("thinking", reply.thinking)
        for call in reply.tool_calls:
            yield ModelChunk("tool_call", tool_call=call)
        yield ModelChunk(
            "finish", finish_reason=reply.finish_reason, carried=reply.carried, model=reply.model,
            request_id=reply.request_id, usage=Usage(3, 4),
        )  # fmt: skip


@tool
def echo(question: str) -> str:
    """Say it again."""
    return question


@tool
def torn() -> str:
    """Half a character."""
    return HALF


@tool
def tears() -> str:
    """Fail with half a character."""
    raise ValueError(HALF)


def calling(name: str, id: str = "c", **args: Any) -> ModelReply:
    return ModelReply("", (ToolCall(id, name, args),))


TURNS: dict[str, Callable[[], ModelReply | Exception]] = {
    "a refusal": lambda: InvalidRequestError(f"invalid text: {HALF}", status=400, request_id=HALF),
    "a failure with an unknown kind": lambda: ModelError(HALF, HALF),
    "an error of its own": lambda: ValueError(HALF),
    "text": lambda: ModelReply(HALF),
    "thinking": lambda: ModelReply("t", thinking=HALF),
    "finish_reason": lambda: ModelReply("t", finish_reason=HALF),
    "request_id": lambda: ModelReply("t", request_id=HALF),
    "model": lambda: ModelReply("t", model=HALF),
    "carried": lambda: ModelReply("t", carried={"a": HALF}),
    "a name in carried": lambda: ModelReply("t", carried={HALF: 1}),
    "a tool's name": lambda: calling(HALF),
    "a call's id": lambda: calling("echo", HALF, question="q"),
    "an argument": lambda: calling("echo", question=HALF),
    "an argument's name": lambda: calling("echo", **{HALF: "q"}),
    "a result": lambda: calling("torn"),
    "a tool's failure": lambda: calling("tears"),
}


@pytest.mark.parametrize("watched", [False, True], ids=["whole", "watched"])
@pytest.mark.parametrize("turn", TURNS)
async def test_a_run_ends_whatever_has_half_a_character(turn: str, watched: bool) -> None:
    model = Says(TURNS[turn]())
    agent = Agent(
        model=model,
        tools=[echo, torn, tears],
        retry_policy=RetryPolicy.disabled(),
        budget=Limits(max_tokens=10**6),
    )
    session = agent.session("conv-1")
    try:
        if watched:
            events = [event.type async for event in session.stream("Go")]
            assert events[-1] in ("run.completed", "run.failed")
        else:
            await session.run("Go")
    except (RunError, ModelError) as exc:
        str(exc).encode()
    asked = model.asked
    with pytest.raises(NothingToResume):
        await session.resume()
    assert model.asked == asked
    await agent.aclose()


async def test_a_failure_with_half_a_character_is_recorded_as_what_it_is() -> None:
    agent = Agent(model=Says(ServerError(f"down {HALF}", status=500)), retry_policy=RetryPolicy.disabled())
    with pytest.raises(ServerError, match=f"down {WHOLE}") as found:
        await agent.run("Go")
    result: Any = getattr(found.value, "result", None)
    assert result.state == "failed"
    await agent.aclose()
