"""The handle of a workflow's run: begun and left, found again, cancelled, forked, drawn."""

import asyncio

import pytest

from treadle import Agent, ConfigError, NotFound, RunState, Workflow


async def test_a_started_run_is_waited_for_where_somebody_wants_its_result() -> None:
    flow = Workflow.chain([lambda number: {"n": number}], name="counts")
    alone, in_session = await flow.start(1), await flow.start(2, session_id="s", user_id="alice")
    assert (await flow.resume(alone.id)).output == {"n": 1}
    assert (await in_session.wait()).session_id == "s"
    assert (await flow.resume(in_session.id)).output == {"n": 2}


@pytest.mark.parametrize("session_id", [None, "s"])
async def test_a_started_run_can_be_cancelled_while_it_works(session_id: str | None) -> None:
    began = asyncio.Event()

    async def work(_: str) -> None:
        began.set()
        await asyncio.Event().wait()

    run = await Workflow.chain([work], name="stuck").start("x", session_id=session_id)
    async with asyncio.timeout(10):
        await began.wait()
        ended = await run.cancel("enough")
    assert (ended.state, (await run.result()).state) == (RunState.CANCELLED, RunState.CANCELLED)


async def test_a_run_that_there_is_can_be_read_drawn_and_forked() -> None:
    done: list[str] = []

    def note(text: str) -> str:
        done.append(text)
        return text

    flow = Workflow.chain([note, str.upper], name="notes")
    run = await flow.run_of((await flow.run("x")).run_id)
    assert (await run.transcript())[-1].type == "run.completed"
    assert "note" in await run.generate_graph()
    fork = await run.fork(at="note:1-1")
    assert ((await flow.resume(fork.id)).output, done) == ("X", ["x"])


async def test_there_is_no_handle_of_what_is_no_run_of_the_workflow() -> None:
    flow = Workflow.chain([str], name="flow")
    with pytest.raises(NotFound):
        await flow.run_of("nothing")
    elsewhere = await Agent(model="echo", name="elsewhere").run("x")
    with pytest.raises(ConfigError, match="is of 'elsewhere', and not of 'flow'"):
        await flow.run_of(elsewhere.run_id)
