"""What other systems make up when a provider does not answer, and what they forget to charge (A1, A2, A3, L13)."""

import asyncio
import builtins
from pathlib import Path
from typing import Any

import pytest
from canned_answers import Canned, CannedServer, json_answer
from paid_model import ANSWER_USAGE, PaidModel

from treadle import Agent, AuthenticationError, ConfigError, RetryPolicy, RunError, RunState, System
from treadle.actors.budget import AskBudget
from treadle.events.budget import Budget, Limits
from treadle.gateways.models.anthropic import AnthropicModel
from treadle.gateways.models.openai import OpenAIModel

MODELS = ["gpt-4o", "claude-haiku-4-5"]
AT_ONCE = RetryPolicy(max_attempts=2, initial_delay_s=0)


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def at(provider: str, server: CannedServer) -> Any:
    if provider == "openai":
        return OpenAIModel("gpt-4o", base_url=f"{server.url}/v1", api_key="key")
    return AnthropicModel("claude-haiku-4-5", base_url=server.url, api_key="key")


def said(provider: str, text: str) -> Canned:
    """An answer, in the provider's words."""
    if provider == "openai":
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10}
        return json_answer({
            "id": "c-1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "usage": usage,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        })  # fmt: skip
    return json_answer({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": text}],
        "usage": {"input_tokens": 4, "output_tokens": 6},
    })  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
async def test_without_a_key_there_is_an_error_that_names_it_and_no_made_up_answer(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1"""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    agent = Agent("You are a desk.", model=model)
    with pytest.raises(AuthenticationError, match=r"set (OPENAI|ANTHROPIC)_API_KEY"):
        await agent.run("What is the goal?")
    result = await agent.session("conv-1").run("What is the goal?", on_error="return")
    assert (result.state, result.output, result.error_kind) == (RunState.FAILED, "", "model:authentication")


@pytest.mark.parametrize(("model", "package"), [("gpt-4o", "openai"), ("claude-haiku-4-5", "anthropic")])
async def test_without_the_providers_package_there_is_an_error_that_says_what_to_install(
    model: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1"""
    importing = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(f"No module named {name!r}")
        return importing(name, *args, **kwargs)

    monkeypatch.setenv(f"{package.upper()}_API_KEY", "key")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises((ConfigError, RunError), match=rf'pip install "treadle\[{package}\]"'):
        await Agent("You are a desk.", model=model).run("What is the goal?")


async def test_a_provider_that_fails_to_the_last_attempt_ends_the_run_as_failed(provider: str) -> None:
    """A2"""
    failed = json_answer({"error": {"message": "it broke", "type": "api_error"}}, 500)
    async with CannedServer(failed, failed) as server:
        agent = Agent(model=at(provider, server), retry_policy=AT_ONCE)
        result = await agent.session("conv-1").run("Hello?", on_error="return")
        assert len(server.requests) == 2
    assert (result.state, result.output, result.error_kind) == (RunState.FAILED, "", "model:server_error")
    assert "500" in result.error


async def test_an_answer_that_begins_with_error_is_an_answer(provider: str) -> None:
    """A3"""
    text = "Error: 404 means that the page is not there."
    async with CannedServer(said(provider, text)) as server:
        result = await Agent(model=at(provider, server)).run("What does 404 mean?")
    assert (result.state, result.output, result.error) == (RunState.COMPLETED, text, "")


async def test_a_replay_is_not_charged_again_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """L13"""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def strategy(steps: Any) -> str:
        for _ in range(3):
            await steps.model(steps.messages())
        begun.set()
        await go_on.wait()
        return "Done."

    model, used = PaidModel("Here."), 0
    for life in range(3):
        async with System(journal=f"sqlite:{tmp_path}/events.db") as system:
            agent = Agent(model=model, architecture=strategy, budget=Limits(max_tokens=10_000))
            session = system.host(agent, name="desk").session("conv-1")
            going = asyncio.ensure_future(session.resume() if life else session.run("Hello?"))
            async with asyncio.timeout(20):
                await begun.wait()
                begun.clear()
                budget: Budget = await system.node.host.budget("desk").ask(AskBudget())
                used = budget.used.total_tokens
                if life == 2:
                    go_on.set()
                    assert (await going).total_tokens == used
        await asyncio.wait([going])
        assert used == 3 * ANSWER_USAGE.total_tokens
    assert model.asked == 3
