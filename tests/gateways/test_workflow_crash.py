"""A workflow that is cut off at any place of its history goes on there, and ends as if it had not been."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recording import write

from treadle import END, START, Agent, FunctionModel, RunState, System, Workflow, current_call, step
from treadle.events.child_step import ChildEnded
from treadle.events.envelope import Recorded
from treadle.events.model_step import ModelCompleted
from treadle.events.tool_step import ToolCompleted
from treadle.gateways.journals import open_journal


class Site:
    """A workflow with nodes of every kind, and what was done for it."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.flow = Workflow("site", approval_handler=lambda _: True)
        self.flow.add_node("lay", self.lay).add_node("mason", self.agent("mason")).add_node("join", self.lay)
        self.flow.add_node("crew", Workflow.fan_out([self.lay, self.agent("painter")], merge=self.count))
        self.flow.add_node("within", Workflow.chain([self.lay, Workflow.map(self.lay, limit=2)], name="within"))
        self.flow.add_node("sign", Workflow.human("Is it done?")).add_node("round", self.lay)
        self.flow.add_edge(START, "lay").add_edge(START, "mason").add_edge("lay", "join").add_edge("mason", "join")
        self.flow.add_edge("join", "crew").add_edge("crew", "within").add_edge("within", "round")
        self.flow.add_router("round", lambda laid: "again" if laid < 6 else "ok", {"again": "round", "ok": "sign"})
        self.flow.add_edge("sign", END)

    def agent(self, name: str) -> Agent:
        def answer(*_: Any) -> str:
            self.done[name] += 1
            return name

        return Agent(model=FunctionModel(answer), name=name)

    @step(idempotent=True)
    async def lay(self, value: Any) -> Any:
        self.done[current_call().call_id] += 1
        match value:
            case int():
                return value + 1
            case {"count": count}:
                return [count, count + 1, count + 2]
            case [int() as first, *_]:
                return first + 1
            case _:
                return str(value)

    @step(read_only=True)
    def count(self, results: list[Any]) -> dict[str, int]:
        return {"count": len(results)}


async def history(system: System) -> Sequence[Recorded]:
    return await system.journal.read_all(0, 10_000)


async def test_every_prefix_of_a_history_comes_to_the_same_and_repeats_nothing_that_has_an_outcome() -> None:
    async with System(projections=False) as system:
        whole = await system.host(Site().flow).run("plot", user_id="alice")
        events = await history(system)
    assert whole.output["allowed"] is True
    assert whole.visited == ["lay", "mason", "join", "crew", "within", *["round"] * 3, "sign"]

    for cut in range(1, len(events)):
        journal = await open_journal("memory")
        for recorded in events[:cut]:
            await write(journal, recorded.stream, recorded.event, session_id=recorded.session_id,
                        run_id=recorded.run_id, at=recorded.at)  # fmt: skip
        async with System(journal=journal, projections=False) as system:
            site = Site()
            again = await system.host(site.flow).resume(whole.run_id)
            assert (again.output, again.visited, again.per_step) == (whole.output, whole.visited, whole.per_step), cut
            known = await history(system)
        settled = [each.event for each in events[:cut]]
        done = {event.call_id for event in settled if isinstance(event, ToolCompleted)}
        assert not done & site.done.keys(), cut
        answered = sum(isinstance(event, ModelCompleted | ChildEnded) for event in settled)
        asked = site.done["mason"] + site.done["painter"]
        assert asked <= 2 - answered // 2, cut
        assert sum(each.type == "run.completed" for each in known) == 3, cut
        await journal.close()


async def test_a_person_answers_after_the_death_of_the_process_that_asked(tmp_path: Path) -> None:
    runtime = f"sqlite:{tmp_path}/runs.db"

    def letter() -> Workflow:
        @step(read_only=True)
        def draft(name: str) -> str:
            return f"Dear {name}"

        @step(name="sent")
        def send(answer: dict[str, Any]) -> str:
            return f"{answer['input']}: {answer['note']}"

        return Workflow.chain([draft, Workflow.human("Send it?"), send], name="letter", runtime=runtime)

    async with letter() as first:
        waiting = await first.run("Bob")
        assert waiting.state == RunState.WAITING
    async with System(journal=runtime) as system:
        flow = system.host(letter())
        await system.start_hosting()
        (question,) = waiting.waiting_for
        await flow.approve(waiting.run_id, question.call_id, by="alice", note="go")
        result = await flow.resume(waiting.run_id)
    assert (result.output, result.visited) == ("Dear Bob: go", ["draft", "human", "sent"])


async def test_a_hosted_run_that_a_dead_process_left_goes_on_by_itself(tmp_path: Path) -> None:
    runtime = f"sqlite:{tmp_path}/runs.db"
    async with System(projections=False) as system:
        whole = await system.host(Site().flow).run("plot")
        events = await history(system)
    journal = await open_journal(runtime)
    for recorded in events[: len(events) // 2]:
        await write(journal, recorded.stream, recorded.event, user_id="", session_id=recorded.session_id,
                    run_id=recorded.run_id, at=recorded.at)  # fmt: skip
    await journal.close()
    async with System(journal=runtime) as system:
        flow = system.host(Site().flow)
        await system.start_hosting()
        ended = [event async for event in system.watch(whole.run_id)][-1]
        assert ended.type == "run.completed"
        assert (await flow.resume(whole.run_id)).output == whole.output
