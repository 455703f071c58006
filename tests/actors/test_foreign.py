"""Code that is not ours: called without a task while it does not wait, contained in every case."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from treadle.actors import foreign
from treadle.actors.foreign import called, contained

_mark: ContextVar[str] = ContextVar("_mark", default="ours")


async def _turns(work: Coroutine[Any, Any, Any]) -> int:
    """How often the loop turns until `work` is done."""
    turns = 0
    done = False

    def turn() -> None:
        nonlocal turns
        if not done:
            turns += 1
            asyncio.get_running_loop().call_soon(turn)

    asyncio.get_running_loop().call_soon(turn)
    await work
    done = True
    return turns


async def _at_once() -> str:
    return "at once"


async def _soon() -> str:
    await asyncio.sleep(0)
    return "soon"


async def test_code_that_does_not_wait_has_answered_before_the_loop_turns() -> None:
    assert await _turns(contained(_at_once())) == 0
    assert await _turns(contained(_soon())) > 0


@pytest.mark.parametrize("waits", [False, True])
async def test_code_sees_a_task_that_is_not_its_callers(waits: bool) -> None:
    seen: list[asyncio.Task[Any] | None] = []

    async def look() -> None:
        seen.append(asyncio.current_task())
        if waits:
            await asyncio.sleep(0)
            seen.append(asyncio.current_task())

    await contained(look())
    assert asyncio.current_task() not in seen
    assert None not in seen
    assert len(set(seen)) == 1


async def test_two_that_wait_have_a_task_each() -> None:
    seen: set[asyncio.Task[Any] | None] = set()

    async def look() -> None:
        seen.add(asyncio.current_task())
        await asyncio.sleep(0)

    await asyncio.gather(contained(look()), contained(look()), contained(look()))
    assert len(seen) == 3


async def test_a_call_within_a_call_has_a_task_of_its_own() -> None:
    seen: list[asyncio.Task[Any] | None] = []

    async def inner() -> str:
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        return "inner"

    async def outer() -> str:
        seen.append(asyncio.current_task())
        said = await contained(inner())
        seen.append(asyncio.current_task())
        return said

    assert await contained(outer()) == "inner"
    assert seen[0] is seen[2] is not seen[1]


@pytest.mark.parametrize("waits", [False, True])
async def test_what_code_sets_in_its_context_stays_there(waits: bool) -> None:
    async def mark() -> str:
        _mark.set("theirs")
        if waits:
            await asyncio.sleep(0)
        return _mark.get()

    assert await contained(mark()) == "theirs"
    assert _mark.get() == "ours"


async def test_a_time_out_of_the_code_cuts_off_the_code() -> None:
    async def late() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "in time"

    assert await contained(late()) == "late"


async def test_a_time_out_of_nothing_cuts_off_the_code_in_its_first_step() -> None:
    async def late() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "in time"

    assert await contained(late()) == "late"


def _cancels_its_task(then: Callable[[], Coroutine[Any, Any, str]]) -> Coroutine[Any, Any, str]:
    async def suicidal() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return await then()

    return suicidal()


async def test_code_that_cancels_its_own_task_cancels_nothing_of_ours() -> None:
    assert await contained(_cancels_its_task(_at_once)) == "at once"
    with pytest.raises(RuntimeError, match="nobody had cancelled it"):
        await contained(_cancels_its_task(_soon))
    # And nothing of whoever comes next.
    assert await contained(_at_once()) == "at once"
    assert await contained(_soon()) == "soon"


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
async def test_what_is_no_exception_becomes_one(error: BaseException, waits: bool) -> None:
    async def leave() -> None:
        if waits:
            await asyncio.sleep(0)
        raise error

    with pytest.raises(RuntimeError) as raised:
        await contained(leave())
    assert raised.value.__cause__ is error


async def test_an_awaitable_of_any_kind_is_awaited() -> None:
    class Later:
        def __await__(self) -> Any:
            return (yield from asyncio.sleep(0, "later").__await__())

    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, "future")
    assert [await contained(called(Later)), await contained(called(lambda: future))] == ["later", "future"]


async def test_code_that_ignores_its_cancellation_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "GRACE_S", 0.01)
    release = asyncio.Event()
    cancelled = 0

    async def stubborn() -> None:
        nonlocal cancelled
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancelled += 1

    waiting = asyncio.create_task(contained(stubborn()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cancelled == 1
    release.set()


async def test_no_task_is_left_behind() -> None:
    before = asyncio.all_tasks()
    await contained(_at_once())
    await contained(_soon())
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


def test_a_loop_that_ends_right_after_a_call_is_not_kept_from_ending() -> None:
    assert asyncio.run(contained(_at_once())) == "at once"
    assert foreign._standing_by == {}  # pyright: ignore[reportPrivateUsage]


async def test_two_that_wait_for_the_same_future_both_get_its_result() -> None:
    connecting: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def connected() -> str:
        return await connecting

    waiting = asyncio.gather(contained(connected()), contained(connected()), connected(), contained(connected()))
    asyncio.get_running_loop().call_soon(connecting.set_result, "connected")
    assert list(await waiting) == ["connected"] * 4


async def test_a_withdrawn_cancellation_hits_nobody() -> None:
    async def changes_its_mind() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        task.uncancel()
        return "at once"

    assert list(await asyncio.gather(contained(changes_its_mind()), contained(_soon()))) == ["at once", "soon"]


async def test_code_that_cancels_itself_cancels_what_it_waits_for() -> None:
    going: list[asyncio.Task[None]] = []

    async def rest() -> str:
        going.append(asyncio.ensure_future(asyncio.sleep(60)))
        await asyncio.gather(*going)
        return "rested"

    with pytest.raises(RuntimeError, match="nobody had cancelled it"):
        await contained(_cancels_its_task(rest))
    await asyncio.wait(going, timeout=1)
    assert going[0].cancelled()


def _plain(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
    return asyncio.Task(work, loop=loop, **options)


_FACTORIES: list[Any] = [None, _plain]
if sys.version_info >= (3, 12):
    _FACTORIES.append(asyncio.eager_task_factory)


@pytest.mark.parametrize("factory", _FACTORIES)
async def test_the_loop_may_make_its_tasks_as_it_likes(factory: Any) -> None:
    asyncio.get_running_loop().set_task_factory(factory)
    try:
        async with asyncio.timeout(20):
            assert await contained(_soon()) == "soon"
            assert list(await asyncio.gather(contained(_soon()), contained(_at_once()))) == ["soon", "at once"]
    finally:
        asyncio.get_running_loop().set_task_factory(None)


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
async def test_what_a_plain_function_raises_is_contained_too(error: BaseException) -> None:
    def leave(_: str) -> str:
        raise error

    with pytest.raises(RuntimeError) as raised:
        await contained(called(leave, "now"))
    assert raised.value.__cause__ is error
    assert await contained(called(str.upper, "plain")) == "PLAIN"
    assert await contained(called(_soon)) == "soon"
