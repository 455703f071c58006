"""A worker's credentials: it does its tools' calls with them, and nothing else is to be had for them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hosting import calling
from nats.errors import NoRespondersError
from waiting import until

from treadle import Agent, ConfigError, System, Worker, remote, tool
from treadle.gateways.broker.auth_files import AuthFiles
from treadle.gateways.broker.client import Client
from treadle.gateways.broker.credentials import Credentials
from treadle.gateways.broker.server import EmbeddedServer

POLICY = (Path(__file__).parents[3] / "nats" / "server.conf").read_text()


class Guarded(NamedTuple):
    server: EmbeddedServer
    files: AuthFiles


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    directory: Path = tmp_path_factory.mktemp("guarded")
    files = AuthFiles(directory / "auth")
    files.init("treadle")
    files.add_worker("scraper", ["fetch"])
    config = directory / "server.conf"
    config.write_text(POLICY + files.config_path.read_text())
    server = EmbeddedServer(directory / "nats", config=config)
    asyncio.run(server.start())
    yield Guarded(server, files)
    asyncio.run(server.stop())


@tool
async def fetch(url: str) -> str:
    """Fetch a page."""
    return f"the page at {url}"


@tool
async def pay(amount: int) -> str:
    """Pay."""
    return "paid"


async def test_a_worker_does_its_tools_with_its_own_key(guarded: Guarded) -> None:
    server, files = guarded
    async with (
        Worker([fetch], nats=server.url, nats_credentials=files.worker_key("scraper")),
        System(nats=server.url, nats_credentials=files.system_key) as system,
    ):
        desk = system.host(Agent(model=calling("fetch", url="/a"), tools=[remote("fetch")]), name="desk")
        assert (await desk.run("Go", user_id="alice")).output == "the page at /a"


async def test_a_worker_cannot_offer_what_it_was_not_given(guarded: Guarded) -> None:
    server, files = guarded
    with pytest.raises(ConfigError, match="does not let us listen to 'treadle"):
        async with Worker([pay], nats=server.url, nats_credentials=files.worker_key("scraper")):
            pass


async def test_a_worker_hears_nothing_else_and_says_nothing_unasked(guarded: Guarded) -> None:
    server, files = guarded
    refused: list[str] = []

    async def hear(error: Exception) -> None:
        refused.append(str(error).lower())

    async def hear_nothing(_: object) -> None:
        raise AssertionError("a worker heard what it must not")

    client = Client()
    options = client.identify(Credentials.read(files.worker_key("scraper")))
    await client.connect(server.url, allow_reconnect=False, error_cb=hear, **options)
    async with System(nats=server.url, nats_credentials=files.system_key) as system:
        system.host(Agent(model="echo"), name="desk")
        await system.start_hosting()
        listened = ("treadle.event.>", "treadle.tool.pay.>", "treadle.signal.>", "treadle.>", "$JS.EVENT.>")
        for subject in listened:
            await client.listen(subject, hear_nothing)
        published = ("treadle.signal.alice.desk.s", "treadle.event.alice.run.x.completed", "$JS.API.STREAM.NAMES")
        for subject in published:
            await client.publish(subject, b'{"summary": "I am alice"}')
        with pytest.raises((NoRespondersError, TimeoutError)):
            await client.request("treadle.ask.status", b"{}", timeout=0.2)
        await until(lambda: len(refused) >= len(listened) + len(published))
        assert all("permissions violation" in why for why in refused)
        assert (await system.status()).journal_position == 0
    await client.close()
