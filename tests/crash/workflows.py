"""The program with a workflow in it: its desk has a tool that walks through a graph."""

import asyncio

from treadle import END, START, Agent, Workflow, current_call, step

from .programs import World, calls, desk


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
