"""The errors of ended runs: a `RunError` always, and the model's own error too when it was that."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from treadle import (
    Agent,
    AuthenticationError,
    FunctionModel,
    Message,
    ModelError,
    ModelReply,
    OutputValidationError,
    RateLimitError,
    RetryPolicy,
    Run,
    RunError,
    RunState,
    RunTimeout,
    ToolSpec,
    TransientModelError,
)
from treadle.actors.model_errors import model_error
from treadle.gateways.run_error import run_error


@pytest.fixture(autouse=True)
async def closing() -> AsyncIterator[None]:
    yield
    await Agent(model="echo").aclose()


def failing(error: Exception) -> FunctionModel:
    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        raise error

    return FunctionModel(answer)


LIMITED = RateLimitError("slow down", provider="openai", status=429, request_id="req_1", retry_after_s=0.5)


async def test_a_failed_model_call_is_caught_by_its_own_name_and_as_a_run_error() -> None:
    agent = Agent(model=failing(LIMITED), retry_policy=RetryPolicy(max_attempts=1))
    with pytest.raises(RateLimitError) as limited:
        await agent.run("Go on.")
    error = limited.value
    assert (error.status, error.request_id, error.retry_after_s, error.provider) == (429, "req_1", 0.5, "openai")
    assert error.kind == "rate_limited"
    assert isinstance(error, TransientModelError)
    assert isinstance(error, RunError)
    assert error.result.state == RunState.FAILED
    assert str(error) == f"run {error.result.run_id!r} failed: slow down"
    with pytest.raises(RunError):
        await agent.run("Go on.")


async def test_a_permanent_error_is_not_caught_as_a_transient_one() -> None:
    with pytest.raises(AuthenticationError) as refused:
        await Agent(model=failing(AuthenticationError("no key"))).run("Go on.")
    assert not isinstance(refused.value, TransientModelError)


async def test_what_a_model_of_ones_own_raises_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="ValueError: it broke") as broken:
        await Agent(model=failing(ValueError("it broke"))).run("Go on.")
    assert broken.value.kind == "ValueError"
    assert type(broken.value).__name__ == "ModelError"


async def test_the_error_is_the_same_when_the_history_is_all_there_is(tmp_path: Path) -> None:
    async with Agent(model=failing(LIMITED), name="desk", runtime=f"sqlite:{tmp_path}/runs.db") as agent:
        run = await agent.session("conv-1").start("Go on.")
        await run.wait()
    async with Agent(model="echo", name="desk", runtime=f"sqlite:{tmp_path}/./runs.db") as agent:
        error = run_error(await Run(await agent.node(), run.id).result())
    assert isinstance(error, RateLimitError)
    assert (error.status, error.request_id, error.retry_after_s) == (429, "req_1", 0.5)


async def test_a_strategy_that_fails_is_no_model_error() -> None:
    async def broken(steps: object) -> str:
        raise ValueError("it broke")

    with pytest.raises(RunError) as failed:
        await Agent(model="echo", architecture=broken).run("Go on.")
    assert not isinstance(failed.value, ModelError)


async def test_a_run_that_takes_too_long_is_a_timeout_and_no_model_error() -> None:
    async def slow(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        await asyncio.Event().wait()
        return ""

    with pytest.raises(RunTimeout) as late:
        await Agent(model=FunctionModel(slow), timeout_s=0.01, name="slow").run("Go on.")
    assert not isinstance(late.value, ModelError)
    assert (late.value.setting, late.value.limit_s) == ("timeout_s", 0.01)
    assert "took longer than timeout_s=0.01 seconds; 'slow' sets it" in str(late.value)


async def test_errors_of_runs_do_not_stand_for_the_errors_that_models_raise() -> None:
    with pytest.raises(RateLimitError):
        await Agent(model=failing(LIMITED), retry_policy=RetryPolicy(max_attempts=1)).run("Go on.")
    assert type(model_error("slow down", "rate_limited")) is RateLimitError
    assert type(model_error("no", "output_validation", raw="x", cause="y")) is OutputValidationError


async def test_an_error_can_be_sent_to_another_process() -> None:
    with pytest.raises(RunError) as limited:
        await Agent(model=failing(LIMITED), retry_policy=RetryPolicy(max_attempts=1)).run("Go on.")
    copied = pickle.loads(pickle.dumps(limited.value))
    assert isinstance(copied, RateLimitError)
    assert isinstance(copied, RunError)
    assert (copied.request_id, copied.result.run_id) == ("req_1", limited.value.result.run_id)
