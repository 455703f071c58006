"""What becomes of models' connections when the system that asked them closes."""

import logging
from pathlib import Path

import pytest
from billed import Billed

from treadle import Agent, FallbackModel, System


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", "secret")


async def test_a_system_closes_the_models_of_its_agents_and_what_stands_in_for_them() -> None:
    first, second, row = Billed(), Billed(), Billed("acme-3")
    async with System() as system:
        system.host(Agent(model=first), name="one")
        await system.host(Agent(model=first), name="two").run("Hello?")
        system.host(Agent(model=FallbackModel([second, row])), name="three")
        for model in (second, row):
            _ = model.client
        assert (first.closed, second.closed, row.closed) == (0, 0, 0)
    assert (first.closed, second.closed, row.closed) == (1, 1, 1)


async def test_an_agent_of_its_own_closes_its_model_with_its_system(tmp_path: Path) -> None:
    former, model = Billed(), Billed()
    await Agent(model=former, runtime=f"sqlite:{tmp_path}/runs.db").run("Hello?")
    async with Agent(model=model, runtime=f"sqlite:{tmp_path}/runs.db") as agent:  # under the name of the former
        await agent.run("Hello?")
    assert (former.closed, model.closed) == (1, 1)
    assert (await agent.run("Once more.")).output == "done"
    await agent.aclose()
    assert model.closed == 2


async def test_a_model_that_another_system_asks_stays_open_until_that_one_closes() -> None:
    model = Billed()
    async with System() as outer:
        kept = outer.host(Agent(model=model), name="kept")
        async with System() as inner:
            await inner.host(Agent(model=model), name="gone").run("Hello?")
        await kept.run("Hello?")
        assert model.closed == 0
    assert model.closed == 1


async def test_a_model_that_fails_to_close_is_logged_and_the_others_are_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stuck(Billed):
        async def aclose(self) -> None:
            raise OSError("the socket is stuck")

    other = Billed()
    with caplog.at_level(logging.ERROR, "treadle"):
        async with System() as system:
            system.host(Agent(model=Stuck("stuck-1")), name="stuck")
            await system.host(Agent(model=other), name="other").run("Hello?")
    assert other.closed == 1
    assert "model 'stuck-1' was not closed" in caplog.text
    assert "the socket is stuck" in caplog.text
