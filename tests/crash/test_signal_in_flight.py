"""A signal on its way over NATS: whoever takes it may die at any place, and it leads to one run and one effect."""

from pathlib import Path

from crash.afterwards import afterwards, read
from crash.children import Children, Life
from crash.programs import OVER_NATS
from crash.systems import send_signal, told_events

from treadle.gateways.broker.server import EmbeddedServer


async def test_a_signal_outlives_every_death_of_those_who_take_it(
    children: Children, nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    url = nats_server.url

    async def sent(name: str) -> Life:
        (directory := tmp_path / name).mkdir()
        await send_signal(url, name, "Settle the account.")
        return Life(program=OVER_NATS, directory=str(directory), nats=url)

    report = children.live(await sent("whole"))
    story = await afterwards(tmp_path / "whole")

    # All die before the first is followed: by then the broker has waited long enough for its answer.
    lives = {place: await sent(f"death-{number}") for number, place in enumerate(report.places)}
    for place, life in lives.items():
        life.kill = place
        assert children.die(life), place
    for place, life in lives.items():
        life.kill, life.name, life.resume = "", "2", True
        assert children.live(life).answers == report.answers, place

        directory = Path(life.directory)
        assert await afterwards(directory, story) == story
        # What was durable when a process died was told by the next one, and nothing twice.
        assert await told_events(url, directory.name) == len(await read(directory)), place
