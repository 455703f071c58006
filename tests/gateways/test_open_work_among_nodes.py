"""What a node goes on with by itself, among others that live."""

from pathlib import Path

import pytest
from hosting import WITHIN_S, namespace, node
from waiting import until, until_asked

from treadle import Agent, RunContext, RunState, Steps, System, Unavailable
from treadle.events.errors import ReplayDivergence
from treadle.events.subjects import SignalAddress
from treadle.gateways import open_work
from treadle.gateways.broker.server import EmbeddedServer


@pytest.fixture(autouse=True)
def _looking_often(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(open_work, "LOOK_EVERY_S", 0.05)


class Stumbling:
    """A strategy that meets an outage the first time, wherever it runs."""

    def __init__(self) -> None:
        self.attempts = 0

    async def __call__(self, steps: Steps) -> str:
        self.attempts += 1
        await steps.now()
        if self.attempts == 1:
            raise Unavailable("the disk", "it is away for a moment")
        return "done"


async def test_a_run_that_stopped_here_goes_on_here_though_another_node_takes_its_sessions_signals(
    nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    url, ns, stumbling = f"sqlite:{tmp_path}/events.db", namespace(), Stumbling()
    here, there = (Agent(architecture=stumbling, model="echo", name="desk") for _ in range(2))
    async with node(nats_server, url, ns, here) as one, node(nats_server, url, ns, there) as two:
        placement = two.placement
        assert placement is not None
        await until(lambda: len(placement.owned) == placement.count // 2, WITHIN_S)

        def is_there(session_id: str) -> bool:
            return placement.host_of(SignalAddress("alice", "desk", session_id)) == two.journal.owner

        theirs = next(name for name in map(str, range(1000)) if is_there(name))
        with pytest.raises(Unavailable):
            await here.run("Go", session_id=theirs, user_id="alice")

        await until_asked(lambda: completed(one, theirs), WITHIN_S)
        assert {run.owner for run in await one.projections.runs.list()} == {one.journal.owner}


async def completed(system: System, session_id: str) -> bool:
    await system.projections.catch_up()
    return [run.state for run in await system.projections.runs.list(session_id=session_id)] == [RunState.COMPLETED]


async def test_a_run_that_does_not_fit_its_history_is_tried_once_and_not_every_few_seconds(
    nats_server: EmbeddedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = 0

    async def changed(steps: Steps) -> str:
        nonlocal attempts
        attempts += 1
        raise ReplayDivergence("r1", "1", "a model call", "a value")

    url, ns = f"sqlite:{tmp_path}/events.db", namespace()
    desk = Agent(architecture=changed, model="echo", name="desk")
    other = Agent(architecture=Stumbling(), model="echo", name="other")
    async with node(nats_server, url, ns, desk, other) as system:
        with pytest.raises(ReplayDivergence):
            await desk.run("Go", RunContext(run_id="r1"))
        await until(lambda: "is not tried again here" in caplog.text, WITHIN_S)
        with pytest.raises(Unavailable):
            await other.run("Go", session_id="s")
        await until_asked(lambda: completed(system, "s"), WITHIN_S)  # so it went on looking
        assert attempts == 2
        assert (await system.journal.head("run-r1")).version == 2  # begun, and taken up once
