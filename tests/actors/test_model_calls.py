"""Attempts at a model call: what is tried again and when, what is recorded of each, and what ends in the middle."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hand_clock import HandClock
from paid_model import ANSWER_USAGE, MOST, Cut, PaidModel, for_ever
from recording import NOON
from waiting import until

from treadle import Agent, RetryPolicy, Run, RunResult, RunState, Session, Usage
from treadle.actors.model_errors import (
    AuthenticationError,
    BadReply,
    ConnectionFailed,
    ContentFilterError,
    InvalidRequestError,
    ModelError,
    ModelTimeout,
    OverloadedError,
    QuotaExceeded,
    RateLimitError,
    ServerError,
    TransientModelError,
    TruncatedAnswer,
    UnknownModel,
)
from treadle.actors.run import RunActivation
from treadle.actors.run_actor import MoveRun
from treadle.actors.steps import Steps
from treadle.events.event import Event
from treadle.events.model_step import ModelAttemptFailed, ModelCompleted, ModelFailed, ModelRequested
from treadle.events.run import RunCancelled, run_stream
from treadle.gateways.journals import open_journal
from treadle.gateways.node import Node

AFTER_10_S = RetryPolicy(initial_delay_s=10, jitter=0, circuit_open_after=0)
AT_ONCE = RetryPolicy(initial_delay_s=0, circuit_open_after=0)
BUSY = OverloadedError("there is no room", status=529, request_id="req-1")
TWICE = MOST + ANSWER_USAGE


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


class Desks:
    """Agents on one journal. Each node is another process on it."""

    def __init__(self, directory: Path, clock: HandClock) -> None:
        self._journal = f"sqlite:{directory}/runs.db"
        self._clock = clock
        self._nodes: list[Node] = []

    async def node(self) -> Node:
        """One that is open; another one after `close`."""
        if not self._nodes or not self._nodes[-1].is_open:
            node = Node(await open_journal(self._journal, clock=self._clock), clock=self._clock)
            await node.start()
            self._nodes.append(node)
        return self._nodes[-1]

    async def __call__(self, model: PaidModel, retry: RetryPolicy = AFTER_10_S, **more: Any) -> Session:
        agent = Agent(model=model, name="desk", retry_policy=retry, **more)
        agent.bind(await self.node())
        return agent.session("conv-1")

    async def close(self) -> None:
        for node in self._nodes:
            await node.close()


@pytest.fixture
async def desks(tmp_path: Path, clock: HandClock) -> AsyncIterator[Desks]:
    made = Desks(tmp_path, clock)
    yield made
    await made.close()


async def asked(session: Session, prompt: str = "Hello?") -> RunResult:
    async with asyncio.timeout(20):
        return await session.run(prompt, on_error="return")


async def attempts(session: Session, run_id: str) -> list[Event]:
    """What was recorded of the run's model calls."""
    recorded = await (await session.agent.node()).journal.read(run_stream(run_id))
    return [each.event for each in recorded if each.type.startswith("run.model_")]


def kinds(events: Sequence[Event]) -> list[str]:
    """Each event in a word, and how an attempt failed."""
    names = [event.event_tag.removeprefix("run.model_") for event in events]
    return [
        f"{name}: {event.kind}" if isinstance(event, ModelAttemptFailed | ModelFailed) else name
        for name, event in zip(names, events, strict=True)
    ]


# --- what is tried again ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [BUSY, RateLimitError(""), ServerError(""), ConnectionFailed(""), ModelTimeout(""), TransientModelError("")],
)
async def test_what_may_pass_is_tried_again(desks: Desks, error: ModelError) -> None:
    model = PaidModel(error, error, "Here.")
    result = await asked(await desks(model, AT_ONCE))
    assert (model.asked, result.state, result.output) == (3, RunState.COMPLETED, "Here.")


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("no"),
        QuotaExceeded("no"),
        InvalidRequestError("no"),
        UnknownModel("no"),
        ContentFilterError("no"),
        TruncatedAnswer("no"),
        BadReply("no"),
        ModelError("no", "something_new"),
    ],
)
async def test_what_cannot_pass_is_not(desks: Desks, error: ModelError) -> None:
    model = PaidModel(error, "Here.")
    result = await asked(await desks(model, AT_ONCE))
    assert (model.asked, result.state, result.output) == (1, RunState.FAILED, "")
    assert (result.error, result.error_kind) == ("no", f"model:{error.kind}")


@pytest.mark.parametrize("error", [ValueError("a bug"), TimeoutError("its own"), ConnectionError("its own")])
async def test_what_nobody_knows_is_not_tried_again_and_counts_as_sent(desks: Desks, error: Exception) -> None:
    model = PaidModel(error, "Here.")
    session = await desks(model, AT_ONCE)
    result = await asked(session)
    assert (model.asked, result.state, result.error_kind) == (1, RunState.FAILED, f"model:{type(error).__name__}")
    assert (result.total_tokens, result.estimated) == (MOST.total_tokens, MOST)


async def test_after_so_many_attempts_the_run_fails_with_the_last_error(desks: Desks) -> None:
    model = PaidModel(ServerError("first"), ServerError("second"), ServerError("third"), "Here.")
    session = await desks(model, AT_ONCE)
    result = await asked(session)
    assert (result.state, result.error, result.error_kind) == (RunState.FAILED, "third", "model:server_error")
    assert kinds(await attempts(session, result.run_id)) == [
        "requested", "attempt_failed: server_error",
        "requested", "attempt_failed: server_error",
        "requested", "failed: server_error",
    ]  # fmt: skip


async def test_each_attempt_is_an_event_with_what_the_provider_said(desks: Desks, clock: HandClock) -> None:
    session = await desks(PaidModel(BUSY, "Here."))
    asking = asyncio.ensure_future(asked(session))
    await until(lambda: clock.sleepers == 1)
    clock.move(10)
    result = await asking
    first, failed, second, completed = await attempts(session, result.run_id)

    assert isinstance(first, ModelRequested)
    assert isinstance(second, ModelRequested)
    assert [(each.attempt, each.call_id, each.most) for each in (first, second)] == [
        (1, first.call_id, MOST),
        (2, first.call_id, MOST),
    ]
    assert isinstance(failed, ModelAttemptFailed)
    assert (failed.error, failed.kind, failed.status, failed.request_id) == (str(BUSY), "overloaded", 529, "req-1")
    assert (failed.attempt, failed.usage, failed.estimated) == (1, Usage(), False)
    assert failed.retry_at == (NOON + timedelta(seconds=10)).isoformat()
    assert isinstance(completed, ModelCompleted)
    assert (result.total_tokens, result.estimated, result.turns) == (ANSWER_USAGE.total_tokens, Usage(), 1)


async def test_a_failure_that_may_be_charged_is_charged_at_the_most_and_marked(desks: Desks) -> None:
    session = await desks(PaidModel(ConnectionFailed("cut", may_be_charged=True), "Here."), AT_ONCE)
    result = await asked(session)
    failed = (await attempts(session, result.run_id))[1]
    assert isinstance(failed, ModelAttemptFailed)
    assert (failed.usage, failed.estimated) == (MOST, True)
    assert result.total_tokens == TWICE.total_tokens
    assert result.cost_usd == pytest.approx(TWICE.cost_usd)
    assert result.estimated == MOST


async def test_a_failure_whose_cost_is_known_is_charged_that_and_not_marked(desks: Desks) -> None:
    known = Usage(7, 3, cost_usd=0.1)
    session = await desks(PaidModel(TruncatedAnswer("half", usage=known)))
    result = await asked(session)
    assert (result.tokens_in, result.tokens_out, result.estimated) == (7, 3, Usage())


async def test_where_only_the_question_is_known_the_longest_answer_is_charged_and_marked(desks: Desks) -> None:
    known = Usage(7, 1, cached_input_tokens=20, cost_usd=0.2)
    session = await desks(PaidModel(ConnectionFailed("cut", usage=known, may_be_charged=True), "Here."), AT_ONCE)
    result = await asked(session)
    guess = Usage(7, MOST.output_tokens, cached_input_tokens=20, cost_usd=0.77)
    assert result.estimated == guess
    assert result.total_tokens == guess.total_tokens + ANSWER_USAGE.total_tokens


# --- whoever watches -------------------------------------------------------------------------------------------------


async def watched(session: Session) -> tuple[str, RunResult]:
    """The text of the chunks that whoever watches sees, and what the run came to."""
    text, run_id = "", ""
    async with asyncio.timeout(20):
        async for event in session.stream("Hello?"):
            run_id = event.run_id
            text += event.payload["text"] if event.type == "model.chunk" else ""
        return text, await Run(await session.agent.node(), run_id).result()


async def test_before_the_first_chunk_a_watched_call_is_tried_again(desks: Desks) -> None:
    text, result = await watched(await desks(PaidModel(Cut("", BUSY), "Here."), AT_ONCE))
    assert (text, result.output, result.total_tokens) == ("Here.", "Here.", ANSWER_USAGE.total_tokens)


async def test_after_the_first_chunk_it_is_not_and_what_was_answered_is_charged(desks: Desks) -> None:
    model = PaidModel(Cut("Her", ConnectionFailed("cut in the middle")), "Here.")
    text, result = await watched(await desks(model, AT_ONCE))
    assert (text, model.asked) == ("Her", 1)
    assert (result.state, result.output, result.error_kind) == (RunState.FAILED, "", "model:connection")
    assert (result.total_tokens, result.estimated) == (MOST.total_tokens, MOST)


class Streaming(PaidModel):
    """A model that can only stream."""

    complete = None  # type: ignore[assignment]


async def test_chunks_that_nobody_sees_may_come_again(desks: Desks) -> None:
    model = Streaming(Cut("Her", ConnectionFailed("cut in the middle")), "Here.")
    result = await asked(await desks(model, AT_ONCE))
    assert (model.asked, result.output, result.estimated) == (2, "Here.", MOST)


async def test_a_model_that_is_left_in_the_middle_of_its_stream_is_closed_at_once(desks: Desks) -> None:
    closed: list[str] = []

    class Endless(Streaming):
        async def stream(self, messages: Any, *, tools: Any = (), **options: Any) -> AsyncIterator[Any]:
            try:
                async for chunk in super().stream(messages, tools=tools):
                    yield chunk
                await for_ever()
            finally:
                closed.append("closed")

    session = await desks(Endless("Hello"))
    run = await session.start("Hello?")
    await until(lambda: session.agent.spec.model.asked == 1)  # type: ignore[attr-defined]
    await run.cancel()
    assert closed == ["closed"]


# --- the time in between ---------------------------------------------------------------------------------------------


async def test_the_provider_is_left_alone_for_as_long_as_it_asks(desks: Desks, clock: HandClock) -> None:
    model = PaidModel(RateLimitError("later", retry_after_s=120), "Here.")
    asking = asyncio.ensure_future(asked(await desks(model)))
    await until(lambda: clock.sleepers == 1)
    clock.move(119)
    assert (clock.asked, clock.sleepers, model.asked) == ([120], 1, 1)
    clock.move(1)
    assert (await asking).output == "Here."


async def test_one_that_asks_for_too_long_ends_the_call(desks: Desks) -> None:
    model = PaidModel(RateLimitError("tomorrow", retry_after_s=86_400), "Here.")
    result = await asked(await desks(model))
    assert (model.asked, result.error, result.error_kind) == (1, "tomorrow", "model:rate_limited")


async def waiting_run(session: Session, clock: HandClock) -> Run:
    """A run that waits between two attempts."""
    run = await session.start("Hello?")
    await until(lambda: clock.sleepers == 1)
    return run


async def test_a_run_can_be_cancelled_while_it_waits(desks: Desks, clock: HandClock) -> None:
    model = PaidModel(BUSY)
    session = await desks(model)
    result = await (await waiting_run(session, clock)).cancel()
    assert (result.state, result.total_tokens, model.asked) == (RunState.CANCELLED, 0, 1)
    assert kinds(await attempts(session, result.run_id)) == ["requested", "attempt_failed: overloaded"]


async def test_the_wait_is_a_part_of_the_runs_time(desks: Desks, clock: HandClock) -> None:
    result = await asked(await desks(PaidModel(BUSY), timeout_s=0.02))
    assert (result.state, result.error_kind, result.total_tokens) == (RunState.FAILED, "timeout", 0)


async def test_a_run_that_is_to_move_does_not_wait_for_its_next_attempt(desks: Desks, clock: HandClock) -> None:
    session = await desks(PaidModel(BUSY))
    run = await waiting_run(session, clock)
    node = await session.agent.node()
    async with asyncio.timeout(20):
        await node.host.run(run.id).ask(MoveRun())
        result = await run.result()
    assert (result.state, result.interruption_reason) == (RunState.INTERRUPTED, "another node goes on with it")


@pytest.mark.parametrize("passed_s", [4.0, 10.0, 1000.0])
async def test_the_next_process_waits_for_the_rest_of_the_time(desks: Desks, clock: HandClock, passed_s: float) -> None:
    await waiting_run(await desks(PaidModel(BUSY)), clock)
    await (await desks.node()).close()
    clock.move(passed_s)

    model = PaidModel("Here.")
    session = await desks(model)
    resuming = asyncio.ensure_future(session.resume())
    if passed_s < 10:
        await until(lambda: clock.sleepers == 1)
        assert (clock.asked, model.asked) == ([10, 10 - passed_s], 0)
        clock.move(10 - passed_s)
    async with asyncio.timeout(20):
        result = await resuming
    assert (result.output, len(clock.asked)) == ("Here.", 2 if passed_s < 10 else 1)
    assert kinds(await attempts(session, result.run_id)) == [
        "requested", "attempt_failed: overloaded", "requested", "completed",
    ]  # fmt: skip


async def test_a_clock_that_is_hours_behind_makes_no_wait_of_hours(desks: Desks, clock: HandClock) -> None:
    await waiting_run(await desks(PaidModel(BUSY)), clock)
    await (await desks.node()).close()
    clock.move(-7200)
    resuming = asyncio.ensure_future((await desks(PaidModel("Here."))).resume())
    await until(lambda: clock.sleepers == 1)
    assert clock.asked[-1] == AFTER_10_S.max_retry_after_s
    clock.move(7200)
    assert (await resuming).output == "Here."


# --- what ends in the middle of an attempt ---------------------------------------------------------------------------


async def test_a_run_that_is_cancelled_pays_for_the_answer_that_it_does_not_wait_for(desks: Desks) -> None:
    model = PaidModel(for_ever)
    session = await desks(model)
    run = await session.start("Hello?")
    await until(lambda: model.under_way == 1)
    result = await run.cancel()
    events = await (await session.agent.node()).journal.read(run_stream(result.run_id))

    assert (result.state, model.under_way) == (RunState.CANCELLED, 0)
    assert kinds(await attempts(session, result.run_id)) == ["requested", "attempt_failed: cancelled"]
    assert (result.total_tokens, result.estimated) == (MOST.total_tokens, MOST)
    end = events[-1].event
    assert isinstance(end, RunCancelled)
    assert end.usage == MOST


async def test_so_does_one_that_takes_too_long_as_a_whole(desks: Desks) -> None:
    result = await asked(await desks(PaidModel(for_ever), timeout_s=0.3))
    assert (result.state, result.error_kind, result.estimated) == (RunState.FAILED, "timeout", MOST)


async def test_a_call_that_takes_too_long_is_cut_off_and_not_made_again(desks: Desks) -> None:
    model = PaidModel(for_ever, "Here.")
    result = await asked(await desks(model, AT_ONCE, model_timeout_s=0.02))
    assert (model.asked, result.state, result.error_kind) == (1, RunState.FAILED, "model:timeout")
    assert (result.total_tokens, result.estimated) == (MOST.total_tokens, MOST)
    assert "did not answer within 0.02 s (model_timeout_s)" in result.error


@pytest.mark.parametrize("leave", ["move", "close", "go away"])
async def test_one_that_is_left_is_asked_again_by_whoever_goes_on_and_both_are_charged(
    desks: Desks, leave: str
) -> None:
    model = PaidModel(for_ever, "Here.")
    session = await desks(model)
    asking = asyncio.ensure_future(session.run("Hello?", on_error="return"))
    await until(lambda: model.under_way == 1)
    node = await session.agent.node()
    async with asyncio.timeout(20):
        if leave == "move":
            (running,) = node.host.live("run")
            await running.ask(MoveRun(now=True))
        elif leave == "close":
            await node.close()
        else:
            asking.cancel()
        await asyncio.wait([asking])
        await until(lambda: model.under_way == 0)
        session = await desks(model)
        result = await session.resume()

    assert (result.output, result.total_tokens, result.estimated) == ("Here.", TWICE.total_tokens, MOST)
    assert kinds(await attempts(session, result.run_id)) == [
        "requested", "attempt_failed: lost", "requested", "completed",
    ]  # fmt: skip


async def test_one_that_was_certainly_not_sent_is_not_charged(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived = asyncio.Event()

    async def make_sure(self: RunActivation) -> None:
        arrived.set()
        await for_ever()

    monkeypatch.setattr(RunActivation, "is_ours", property(lambda self: False))
    monkeypatch.setattr(RunActivation, "make_sure", make_sure)
    model = PaidModel("Here.")
    session = await desks(model)
    run = await session.start("Hello?")
    await arrived.wait()
    result = await run.cancel()
    assert (model.asked, result.total_tokens, result.estimated) == (0, 0, Usage())
    assert kinds(await attempts(session, result.run_id)) == ["requested", "attempt_failed: cancelled"]


async def test_a_model_that_costs_nothing_is_charged_nothing_for_a_lost_answer(desks: Desks) -> None:
    model = PaidModel(for_ever)
    model.billed = False
    session = await desks(model)
    run = await session.start("Hello?")
    await until(lambda: model.under_way == 1)
    result = await run.cancel()
    assert (result.total_tokens, result.cost_usd, result.estimated) == (0, 0, Usage())


# --- other models, and none ------------------------------------------------------------------------------------------


async def test_when_its_own_model_fails_for_good_another_answers_and_the_run_says_so(desks: Desks) -> None:
    spare = PaidModel(BUSY, "Spare.", name="spare")
    model = PaidModel(BUSY, alternatives=[spare])
    session = await desks(model, RetryPolicy(max_attempts=2, initial_delay_s=0, circuit_open_after=0))
    result = await asked(session)
    events = await attempts(session, result.run_id)

    assert (model.asked, spare.asked) == (2, 2)
    assert (result.state, result.output) == (RunState.DEGRADED, "Spare.")
    assert "spare answered in the place of paid, which failed: there is no room" in result.error
    assert kinds(events) == [
        "requested", "attempt_failed: overloaded",
        "requested", "attempt_failed: overloaded", "fell_back",
        "requested", "attempt_failed: overloaded",
        "requested", "completed",
    ]  # fmt: skip
    by = [event.model for event in events if isinstance(event, ModelRequested | ModelAttemptFailed | ModelCompleted)]
    assert by == ["", "", "", "", "spare", "spare", "spare", "spare"]


async def test_an_alternative_of_the_same_name_has_all_its_attempts(desks: Desks) -> None:
    """The same model at another place: what the first one did does not count against it."""
    there = PaidModel(BUSY, "There.")
    session = await desks(PaidModel(BUSY, alternatives=[there]), RetryPolicy(max_attempts=2, initial_delay_s=0))
    assert ((await asked(session)).output, there.asked) == ("There.", 2)


async def test_a_refusal_is_not_asked_of_another_model(desks: Desks) -> None:
    spare = PaidModel("Spare.", name="spare")
    result = await asked(await desks(PaidModel(AuthenticationError("no"), alternatives=[spare])))
    assert (result.state, spare.asked) == (RunState.FAILED, 0)


async def test_a_model_that_hangs_is_replaced_unless_somebody_has_seen_its_beginning(desks: Desks) -> None:
    async def half() -> str:
        raise AssertionError("not asked whole")

    class Half(PaidModel):
        async def stream(self, messages: Any, *, tools: Any = (), **options: Any) -> AsyncIterator[Any]:
            async for chunk in PaidModel("Hal").stream(messages):
                yield chunk
                await for_ever()

    spare = PaidModel("Spare.", name="spare")
    result = await asked(await desks(PaidModel(for_ever, alternatives=[spare]), AT_ONCE, model_timeout_s=0.02))
    assert (result.state, result.output, result.estimated) == (RunState.DEGRADED, "Spare.", MOST)

    text, result = await watched(await desks(Half(half, alternatives=[spare]), AT_ONCE, model_timeout_s=0.02))
    assert (text, result.state, spare.asked) == ("Hal", RunState.FAILED, 1)


@pytest.mark.parametrize("spares", [1, 0])
async def test_whoever_goes_on_asks_the_model_that_it_had_come_to(desks: Desks, spares: int) -> None:
    """Also an agent that has no other model any more: it asks the one it has."""
    before = PaidModel(BUSY, alternatives=[PaidModel(for_ever, name="spare")])
    retry = RetryPolicy(max_attempts=1)
    asking = asyncio.ensure_future((await desks(before, retry)).run("Hello?"))
    await until(lambda: before.alternatives[0].under_way == 1)
    await (await desks.node()).close()
    await asyncio.wait([asking])

    own, spare = PaidModel("Own."), PaidModel("Spare.", name="spare")
    own.alternatives = [spare][:spares]
    session = await desks(own, retry)
    result = await session.resume()
    assert (result.state, result.output) == (RunState.DEGRADED, "Spare." if spares else "Own.")
    assert kinds(await attempts(session, result.run_id)) == [
        "requested", "attempt_failed: overloaded", "fell_back",
        "requested", "attempt_failed: lost",
        "requested", "completed",
    ]  # fmt: skip


async def test_a_provider_that_is_down_is_left_alone_by_all_runs(desks: Desks) -> None:
    model = PaidModel(ServerError("down"))
    policy = RetryPolicy(max_attempts=1, circuit_open_after=3)
    session = await desks(model, policy)
    ended = [(await asked(session, f"{number}")).error_kind for number in range(5)]
    assert ended == [*["model:server_error"] * 3, *["model:circuit_open"] * 2]
    assert model.asked == 3


async def test_one_that_is_left_alone_is_not_waited_for_but_another_model_is_asked(desks: Desks) -> None:
    spare = PaidModel("Spare.", name="spare")
    session = await desks(
        PaidModel(ServerError("down"), alternatives=[spare]), RetryPolicy(max_attempts=1, circuit_open_after=1)
    )
    first, second = await asked(session, "1"), await asked(session, "2")
    assert [result.state for result in (first, second)] == [RunState.DEGRADED] * 2
    assert "left alone" in second.error
    assert second.estimated == Usage()  # what was not sent is not charged


# --- again from the journal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        RateLimitError("slow", status=429, request_id="req-2"),
        UnknownModel("which?", status=404),
        ModelTimeout("late"),
        ModelError("?", "SomethingOfTheirOwn"),
    ],
)
async def test_a_replay_raises_the_error_that_was_recorded(desks: Desks, error: ModelError) -> None:
    caught: list[tuple[type, str, str, int, str]] = []
    hold = asyncio.Event()

    async def thinks(steps: Steps) -> str:
        try:
            await steps.model(steps.messages())
        except ModelError as exc:
            caught.append((type(exc), str(exc), exc.kind, exc.status, exc.request_id))
        await hold.wait()
        return "It failed."

    model = PaidModel(error)
    asking = asyncio.ensure_future((await desks(model, RetryPolicy.disabled(), architecture=thinks)).run("Hello?"))
    await until(lambda: len(caught) == 1)
    await (await desks.node()).close()
    await asyncio.wait([asking])
    hold.set()
    result = await (await desks(model, architecture=thinks)).resume()

    assert (result.output, model.asked) == ("It failed.", 1)
    assert caught[0] == caught[1]


def test_an_error_class_of_somebodys_own_does_not_take_the_place_of_ours() -> None:
    from treadle.actors.model_errors import model_error

    class Mine(RateLimitError):
        def __init__(self, bucket: int) -> None:
            super().__init__(f"bucket {bucket} is empty")

    assert type(model_error("slow", "rate_limited")) is RateLimitError
    assert Mine(1).kind == "rate_limited"


async def test_an_attempt_that_is_not_the_first_has_an_id_of_its_own_for_providers(desks: Desks) -> None:
    from treadle.actors.context import current_model_call

    seen: list[tuple[int, str]] = []

    async def note() -> str:
        call = current_model_call()
        assert call is not None
        seen.append((call.attempt, call.call_id))
        if call.attempt == 1:
            raise BUSY
        return "Here."

    result = await asked(await desks(PaidModel(note), AT_ONCE))
    assert [attempt for attempt, _ in seen] == [1, 2]
    assert {call_id for _, call_id in seen} == {f"{result.run_id}_1"}
