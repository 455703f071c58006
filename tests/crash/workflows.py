"""The programs with a workflow: a desk that has a tool which walks through one, and a client that does so itself."""

import asyncio

from treadle import END, START, Agent, Workflow, current_call, step
from treadle.architecture import MultiAgentDebate
from treadle.events.session import RunOpened, session_stream

from .members import member, settled, uses
from .programs import World, calls, desk

SESSION = "conv-1"


def with_workflow(world: World) -> Agent:
    """Two branches, one of them a nested agent, their join, and a circle that is gone round twice."""

    @step(idempotent=True)
    async def charge(words: str) -> str:
        call = current_call()
        await asyncio.sleep(0)
        world.ledger.write("charge", call.call_id, call.attempt, once=True)
        return f"charged for {words}"

    @step
    def post(words: str | list[str]) -> str:
        call = current_call()
        world.ledger.write("post", call.call_id, call.attempt)
        return f"posted {words}"

    helper = Agent("You help.", model=calls(), name="helper")
    flow = Workflow("settling").add_node("charge", charge).add_node("helper", helper)
    flow.add_node("post", post).add_edge(START, "charge").add_edge(START, "helper")
    flow.add_edge("charge", "post").add_edge("helper", "post")
    routes = {"once more": "post", "done": END}
    flow.add_router("post", lambda words: "once more" if words.count("posted") < 2 else "done", routes)
    return desk(world, calls(["settling"])).with_tool(flow.as_tool(input_arg="amount"))


async def walk(world: World, agent: Agent) -> list[str]:
    """Walk through the graph of `closing`, or go on where another life had come to. Somebody says yes."""
    flow = closing(world)
    journal = (await agent.node()).journal
    opened = [recorded.event for recorded in await journal.read(session_stream(world.user, flow.name, SESSION))]
    begun = [event.run_id for event in opened if isinstance(event, RunOpened)]
    result = await (flow.resume(begun[-1]) if begun else flow.run(["a", "b"], user_id=world.user, session_id=SESSION))
    while result.waiting_for:
        await flow.approve(result.run_id, result.waiting_for[0].call_id, by="operator")
        result = await flow.resume(result.run_id)
    return [str(result.output), *result.visited]


def closing(world: World) -> Workflow:
    """An agent for each of two, beside a team; their join; a question; a circle that is gone round twice."""

    @step(idempotent=True)
    async def charge(said: list[object]) -> str:
        call = current_call()
        world.ledger.write("charge", call.call_id, call.attempt, once=True)
        return f"charged for {len(said)}"

    @step
    def post(words: str) -> str:
        call = current_call()
        world.ledger.write("post", call.call_id, call.attempt)
        return f"posted {words}"

    each = member(world, uses("charge"), settled)
    agree = [member(world, uses("look"), "Final answer: 4") for _ in range(2)]
    flow = Workflow("closing", runtime=world.runtime)
    flow.add_node("each", Workflow.map(each)).add_node(
        "panel", Agent(model=calls(), architecture=MultiAgentDebate(agree))
    )
    flow.add_node("charge", charge).add_node("ask", Workflow.human("Post it?")).add_node("post", post)
    flow.add_edge(START, "each").add_edge(START, "panel").add_edge("each", "charge").add_edge("panel", "charge")
    flow.add_edge("charge", "ask")
    flow.add_router("ask", lambda answer: str(answer["allowed"]), {"True": "post", "False": END})
    routes = {"once more": "post", "done": END}
    flow.add_router("post", lambda words: "once more" if words.count("posted") < 2 else "done", routes)
    return flow
