"""The short form of `make tree`, and the end of a tree whose nodes die while it is cancelled."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cluster.crew import PAID, PLACE, THINKING, WAVES, crew
from cluster.examination import read
from cluster.ledger import Ledger
from cluster.site import until_up
from cluster.tree import fell, node_of
from hosting import WITHIN_S, namespace
from waiting import until

from treadle import RunState, System
from treadle.events.run import RunCancelled
from treadle.gateways import delegation
from treadle.gateways.broker.server import EmbeddedServer

SEED = 7


@pytest.mark.timeout(180)
def test_a_lead_with_fifty_workers_over_three_nodes_that_are_killed_ends_as_if_nobody_had_died(
    nats_server: EmbeddedServer, postgres_url: str, tmp_path: Path
) -> None:
    outcome = asyncio.run(fell(tmp_path, postgres_url, nats_server.url, seed=SEED, kills=2, persistent=True))

    assert outcome.broken == []
    assert len(outcome.kills) == 2


async def test_workers_whose_node_is_killed_while_their_lead_is_cancelled_end_with_it(
    nats_server: EmbeddedServer, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delegation, "ANSWER_S", 0.2)
    monkeypatch.setattr(delegation, "FIRST_WAIT_S", 0.2)
    space, ledger = namespace(), Ledger(tmp_path / "ledger")
    options = {"--nats": nats_server.url, "--journal": postgres_url, "--namespace": space}
    there = node_of("there", tmp_path, options, {PLACE: "0/1/anew", THINKING: "3600"})
    await there.start()
    try:
        await until_up({"there": there})
        async with System(
            journal=postgres_url, nats=nats_server.url, namespace=space, directory=tmp_path / "here"
        ) as here:
            lead = here.host(crew(ledger, (), persistent=False)[0])
            run = await lead.session("s").start("Charge them all.")
            await until(lambda: len(ledger.effects()) == 1 + len(WAVES[0]), WITHIN_S)

            told: list[str] = []
            request = here.bus.request

            async def telling(subject: str, *more: Any) -> object:
                if subject.endswith(".cancel"):
                    told.append(subject)
                return await request(subject, *more)

            monkeypatch.setattr(here.bus, "request", telling)
            there.pause()  # it is told, and does not come to hear it
            cancelling = asyncio.create_task(run.cancel("the fire is out", by="bob"))
            await until(lambda: len(told) == len(WAVES[0]))
            await there.kill()
            assert (await cancelling).state == RunState.CANCELLED

            history = await read(here.journal)
            ends = Counter(events[-1].event for events in history.runs.values())
            assert all(isinstance(end, RunCancelled) and end.by == "bob" for end in ends)
            assert len(history.runs) == 1 + len(WAVES[0])
            assert {effect.tool for effect in ledger.effects()} == {PAID}
    finally:
        await there.kill()
