"""Threads for synchronous tools: as many as are wanted, none in the way, none left."""

import asyncio
import threading
from contextvars import ContextVar
from functools import partial

import pytest
from waiting import until

from treadle.actors.threads import ToolThreads


@pytest.fixture
def threads() -> ToolThreads:
    return ToolThreads(limit=4, idle_s=5.0)


async def test_calls_run_beside_each_other_up_to_the_limit_and_the_others_wait(threads: ToolThreads) -> None:
    gate, running = threading.Event(), list[int]()

    def tool(number: int) -> int:
        running.append(number)
        gate.wait(5)
        return number

    calls = [asyncio.create_task(threads.run(partial(tool, number))) for number in range(10)]
    await until(lambda: len(running) == 4)
    assert threads.threads == 4
    gate.set()
    assert await asyncio.gather(*calls) == list(range(10))
    assert sorted(running) == list(range(10))
    assert await threads.close() == 0


async def test_calls_one_after_the_other_share_threads() -> None:
    threads = ToolThreads(limit=100)
    seen: set[int] = set()
    for _ in range(100):
        seen.add(await threads.run(threading.get_ident))
    assert len(seen) < 10  # one may not be back in the row when the next call comes
    assert await threads.close() == 0


async def test_a_tool_sees_the_context_of_its_call(threads: ToolThreads) -> None:
    run: ContextVar[str] = ContextVar("run", default="none")
    run.set("run-1")
    assert await threads.run(run.get) == "run-1"
    await threads.close()


async def test_what_a_tool_raises_is_raised_where_it_is_awaited(threads: ToolThreads) -> None:
    def tool() -> None:
        raise ValueError("no such host")

    with pytest.raises(ValueError, match="no such host"):
        await threads.run(tool)
    await threads.close()


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), StopIteration("x"), GeneratorExit(), asyncio.CancelledError()]
)
async def test_what_would_end_more_than_the_tool_is_an_ordinary_error(
    threads: ToolThreads, error: BaseException
) -> None:
    def tool() -> None:
        raise error

    with pytest.raises(RuntimeError, match=rf"the function raised {type(error).__name__}"):
        await threads.run(tool)
    assert await threads.run(lambda: 1) == 1
    await threads.close()


async def test_a_cancelled_call_leaves_its_thread_to_finish_and_to_serve_again(threads: ToolThreads) -> None:
    gate, begun, ended = threading.Event(), threading.Event(), threading.Event()

    def tool() -> None:
        begun.set()
        gate.wait(5)
        ended.set()

    call = asyncio.create_task(threads.run(tool))
    await until(begun.is_set)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not ended.is_set()
    gate.set()
    await until(ended.is_set)
    assert await threads.run(lambda: 2) == 2
    assert await threads.close() == 0


async def test_a_thread_without_work_ends() -> None:
    threads = ToolThreads(idle_s=0.01)
    assert await threads.run(lambda: 1) == 1
    await until(lambda: threads.threads == 0)
    assert await threads.run(lambda: 2) == 2
    await threads.close()


async def test_closing_says_how_many_were_abandoned_and_takes_nothing_more(threads: ToolThreads) -> None:
    gate, begun = threading.Event(), threading.Event()

    def tool() -> None:
        begun.set()
        gate.wait(5)

    call = asyncio.create_task(threads.run(tool))
    await until(begun.is_set)
    assert await threads.close(timeout_s=0.01) == 1
    with pytest.raises(RuntimeError, match="are closed"):
        await threads.run(lambda: 1)
    gate.set()
    await call


async def test_the_loop_goes_on_while_a_tool_that_hangs_is_waited_for(threads: ToolThreads) -> None:
    gate, begun = threading.Event(), threading.Event()

    def tool() -> None:
        begun.set()
        gate.wait(5)

    call = asyncio.create_task(threads.run(tool))
    await until(begun.is_set)
    closing = asyncio.create_task(threads.close(timeout_s=30))
    turns = 0
    while turns < 100:
        turns += 1
        await asyncio.sleep(0)
    assert not closing.done()
    gate.set()  # by the loop, which a wait of its own would not come to
    assert await closing == 0
    await call


def test_a_tool_that_ends_after_its_loop_finds_nobody_to_tell() -> None:
    threads, gate, begun = ToolThreads(), threading.Event(), threading.Event()

    def tool() -> None:
        begun.set()
        gate.wait(5)

    async def abandon() -> int:
        call = asyncio.create_task(threads.run(tool))
        await until(begun.is_set)
        call.cancel()
        return await threads.close(timeout_s=0.01)

    failed = list[threading.ExceptHookArgs]()
    former, threading.excepthook = threading.excepthook, failed.append
    try:
        assert asyncio.run(abandon()) == 1
        gate.set()
        assert asyncio.run(threads.close()) == 0
    finally:
        threading.excepthook = former
    assert failed == []


def test_a_result_for_a_loop_that_has_gone_ends_nothing() -> None:
    threads, gate, begun = ToolThreads(idle_s=0.01), threading.Event(), threading.Event()

    def tool() -> None:
        begun.set()
        gate.wait(5)

    async def leave() -> None:
        call = asyncio.create_task(threads.run(tool))
        await until(begun.is_set)
        call.cancel()

    asyncio.run(leave())
    gate.set()
    assert asyncio.run(threads.close()) == 0
