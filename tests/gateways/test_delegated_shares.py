"""What travels with a delegation to another node: user, depth, metadata, and a share in the lead's budget."""

from collections.abc import Sequence
from pathlib import Path

from hosting import namespace, node

from treadle import Agent, FunctionModel, Limits, Message, ModelReply, Steps, ToolCall, ToolSpec, Usage, delegate
from treadle.actors.children import MAX_DEPTH
from treadle.events.budget import Settled
from treadle.events.run import RunStarted
from treadle.gateways.broker.server import EmbeddedServer


async def test_workers_on_another_node_spend_what_their_lead_may_and_no_more(
    nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    async def think(steps: Steps) -> str:
        async def ask(steps: Steps) -> str:
            return (await steps.agent("prober", "measure")).state

        return " ".join(await steps.together([ask] * 10))

    def measures(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        return ModelReply("7", usage=Usage(10, 5))

    lead = Agent(model="echo", architecture=think, name="lead", budget=Limits(max_tokens=60))
    prober = Agent(model=FunctionModel(measures), name="prober", options={"max_tokens": 20})
    url, ns = f"sqlite:{tmp_path}/events.db", namespace()
    async with node(nats_server, url, ns, lead) as here, node(nats_server, url, ns, prober):
        result = await lead.run("Go", user_id="alice")
        states = result.output.split()
        assert states.count("completed") == result.total_tokens // 15 >= 1
        assert states.count("interrupted") == 10 - states.count("completed") >= 6
        budget = [each for each in await here.journal.read_all(0, 10_000) if each.stream == "budget-lead"]
        assert sum(each.event.usage.total_tokens for each in budget if isinstance(each.event, Settled)) <= 60
        assert {each.user_id for each in budget} == {"alice"}


async def test_depth_and_user_are_counted_on_over_nodes(nats_server: EmbeddedServer, tmp_path: Path) -> None:
    def onward(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        if messages[-1].role == "tool":
            return ModelReply(messages[-1].content)
        return ModelReply(tool_calls=(ToolCall("1", tools[0].name, {"prompt": "you do it"}),))

    ping = Agent(model=FunctionModel(onward), tools=[delegate("pong")], name="ping")
    pong = Agent(model=FunctionModel(onward), tools=[delegate("ping")], name="pong")
    url, ns = f"sqlite:{tmp_path}/events.db", namespace()
    async with node(nats_server, url, ns, ping) as here, node(nats_server, url, ns, pong) as there:
        result = await ping.run("Go", user_id="alice", metadata={"tenant": "acme"})
        assert "may not delegate further; is this a circle?" in result.output
        recorded = await here.journal.read_all(0, 10_000)
        begun = [each.event for each in recorded if isinstance(each.event, RunStarted)]
        owners = [here.node_id, there.node_id]
        assert [(each.depth, each.owner) for each in begun] == [
            (depth, owners[depth % 2]) for depth in range(MAX_DEPTH + 1)
        ]
        assert {each.metadata["tenant"] for each in begun} == {"acme"}
        assert {(each.user_id, each.correlation_id) for each in recorded} == {("alice", recorded[0].correlation_id)}
