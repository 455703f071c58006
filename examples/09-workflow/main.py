"""A workflow that waits for a person: `python examples/09-workflow/main.py`.

Two reviewers look at a text beside one another, and when both are content somebody has to say yes
before it is published. The process that asked is gone by then: the question waits in the journal.
"""

import asyncio
import tempfile
from typing import Any

from treadle import END, START, Agent, FunctionModel, Workflow, step


@step(idempotent=True)
def publish(answer: dict[str, Any]) -> str:
    """What is done with the answer of the person."""
    return f"published ({answer['note']}): {answer['input']['text']}" if answer["allowed"] else "kept"


def newsroom(runtime: str) -> Workflow:
    short = Agent(
        model=FunctionModel(lambda messages, _: "ok" if len(messages[-1].content) < 20 else "long"), name="short"
    )
    calm = Agent(model=FunctionModel(lambda messages, _: "loud" if "!" in messages[-1].content else "ok"), name="calm")
    flow = Workflow("newsroom", runtime=runtime)
    flow.add_node("text", str).add_node("short", short).add_node("calm", calm)
    flow.add_node("join", lambda came: {"fine": came[:2] == ["ok", "ok"], "text": came[2]})
    flow.add_node("ask", Workflow.human("Publish it?")).add_node("publish", publish)
    flow.add_edge(START, "text").add_edge("text", "short").add_edge("text", "calm")
    flow.add_edge("short", "join").add_edge("calm", "join").add_edge("text", "join")  # a list, in this order
    flow.add_router("join", lambda joined: joined["fine"], {"True": "ask", "False": END})
    flow.add_edge("ask", "publish")
    return flow


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        runtime = f"sqlite:{directory}/runs.db"
        async with newsroom(runtime) as flow:
            print((await flow.run("Rain! Rain! Rain!")).output)
            waiting = await flow.run("Rain tomorrow.")
            print(waiting.state, "for", waiting.waiting_for[0].args["question"])
        async with newsroom(runtime) as flow:  # another process, another day
            await flow.approve(waiting.run_id, waiting.waiting_for[0].call_id, by="editor", note="front page")
            result = await flow.resume(waiting.run_id)
            print(result.output)
            print(" → ".join(result.visited))


if __name__ == "__main__":
    asyncio.run(main())
