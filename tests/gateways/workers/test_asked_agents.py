"""Tools that are known by name only, of agents that other agents and workflows ask: found before they are needed."""

import pytest
from hosting import calling, namespace

from treadle import Agent, System, Team, Worker, Workflow, remote, tool
from treadle.architecture import RouterRoute
from treadle.gateways.broker.server import EmbeddedServer


@tool
async def fetch(url: str) -> str:
    """Fetch a page."""
    return f"the page at {url}"


def reader() -> Agent:
    return Agent("You read.", model=calling("fetch", url="/a"), tools=[remote("fetch")])


def team() -> Agent:
    return Team.router([RouterRoute("read", reader())], decider=lambda prompt, routes: "read", model="echo")


def flow() -> Workflow:
    return Workflow.chain([Workflow.fan_out([reader()], merge=lambda outputs: outputs[0])])


def inside_a_tool() -> Workflow:
    """A function node that runs an agent of its own."""
    within = reader()

    async def read(prompt: str) -> str:
        return (await within.run(prompt)).output

    return Workflow.chain([read])


@pytest.mark.parametrize("made", [team, flow, inside_a_tool])
async def test_an_agent_that_is_asked_finds_its_tools(
    made: type[Agent | Workflow], nats_server: EmbeddedServer
) -> None:
    where = {"nats": nats_server.url, "namespace": namespace()}
    async with Worker([fetch], **where), System(**where) as system:  # type: ignore[arg-type]
        asking = system.host(made(), name="desk")
        assert (await asking.run("Go")).output == "the page at /a"
