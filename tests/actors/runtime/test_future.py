"""Replies: awaited on a loop, fetched in a thread, never a deadlock."""

import asyncio
import threading
from collections.abc import Iterable

import pykka
import pytest

from treadle.actors.runtime import AskTimeout, Reply, WouldDeadlock


async def test_an_answer_wakes_every_waiter() -> None:
    reply: Reply[int] = Reply("run-1")
    waiters = [asyncio.ensure_future(reply) for _ in range(3)]
    await asyncio.sleep(0)
    reply.set(7)
    assert await asyncio.gather(*waiters) == [7, 7, 7]
    assert await reply == 7


async def test_an_error_is_raised_where_it_is_awaited() -> None:
    reply: Reply[int] = Reply()
    reply.set_exception(KeyError("call-1"))
    with pytest.raises(KeyError, match="call-1"):
        await reply


async def test_a_cancelled_waiter_leaves_the_others_waiting() -> None:
    reply: Reply[int] = Reply()
    first, second = asyncio.ensure_future(reply), asyncio.ensure_future(reply)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    reply.set(1)
    assert first.cancelled()
    assert await second == 1


async def test_an_answer_from_a_thread_wakes_the_loop() -> None:
    reply: Reply[int] = Reply()
    thread = threading.Thread(target=reply.set, args=(3,))
    thread.start()
    assert await reply == 3
    thread.join()


async def test_get_in_another_thread_waits_for_the_loop_to_answer() -> None:
    reply: Reply[int] = Reply()
    fetched = asyncio.create_task(asyncio.to_thread(reply.get, timeout=10))
    await asyncio.sleep(0)
    reply.set(5)
    assert await fetched == 5


async def test_get_on_the_loops_thread_is_refused_until_there_is_an_answer() -> None:
    reply: Reply[int] = Reply("run-1")
    with pytest.raises(WouldDeadlock, match=r"run-1.*await"):
        reply.get(timeout=1)
    reply.set(2)
    assert reply.get() == 2


def test_get_gives_up_after_its_timeout() -> None:
    reply: Reply[int] = Reply("run-1")
    with pytest.raises(pykka.Timeout, match=r"run-1 within 0.01 s"):
        reply.get(timeout=0.01)


async def test_await_gives_up_after_the_replys_timeout_and_the_answer_can_still_be_fetched() -> None:
    reply: Reply[int] = Reply("run-1", timeout_s=0.01)
    with pytest.raises(AskTimeout) as late:
        await reply
    assert isinstance(late.value, TimeoutError)
    reply.set(4)
    assert await reply == 4


def test_a_second_answer_is_refused_and_the_first_stays() -> None:
    reply: Reply[int] = Reply()
    reply.set(1)
    with pytest.raises(asyncio.InvalidStateError):
        reply.set(2)
    with pytest.raises(asyncio.InvalidStateError):
        reply.set_exception(ValueError())
    assert reply.get() == 1


def test_set_exception_takes_pykkas_triple_an_exception_or_the_one_being_handled() -> None:
    triple: Reply[int] = Reply()
    triple.set_exception((ValueError, None, None))
    handled: Reply[int] = Reply()
    try:
        raise KeyError("call-1")
    except KeyError:
        handled.set_exception()
    assert isinstance(triple.error(), ValueError)
    assert isinstance(handled.error(), KeyError)
    with pytest.raises(ValueError, match="none is being handled"):
        Reply[int]().set_exception()


def test_map_filter_join_and_reduce_mean_what_they_mean_in_pykka() -> None:
    calls: Reply[Iterable[int]] = Reply()
    cost: Reply[int] = Reply()
    doubled = cost.map(lambda value: value * 2)
    large = calls.filter(lambda value: value > 1)
    both = cost.join(calls)
    total = calls.reduce(lambda left, right: left + right, 10)
    calls.set([1, 2, 3])
    cost.set(21)
    assert [doubled.get(), large.get(), both.get(), total.get()] == [42, [2, 3], [21, [1, 2, 3]], 16]


async def test_a_derived_reply_can_be_awaited_before_its_sources_are_answered() -> None:
    cost: Reply[int] = Reply()
    threaded: pykka.ThreadingFuture[int] = pykka.ThreadingFuture()
    sums = asyncio.ensure_future(cost.map(lambda value: value + 1).join(threaded))
    await asyncio.sleep(0)
    cost.set(1)
    threaded.set(5)
    assert await sums == [2, 5]


def test_a_derived_value_is_computed_once() -> None:
    computed: list[int] = []
    cost: Reply[int] = Reply()
    cost.set(1)
    derived = cost.map(lambda value: computed.append(value))
    derived.get()
    derived.get()
    assert computed == [1]
    with pytest.raises(asyncio.InvalidStateError):
        derived.set(None)


async def test_a_hook_that_blocks_does_not_block_the_loop() -> None:
    opened = threading.Event()
    reply: Reply[str] = Reply()
    reply.set_get_hook(lambda timeout: "opened" if opened.wait(10) else "stuck")
    waiting = asyncio.ensure_future(reply)
    await asyncio.sleep(0)
    opened.set()
    assert await waiting == "opened"
    assert reply.get() == "opened"


async def test_an_answer_passed_on_reaches_a_future_of_either_kind() -> None:
    source: Reply[int] = Reply()
    target: Reply[int] = Reply()
    threaded: pykka.ThreadingFuture[int] = pykka.ThreadingFuture()
    source.pass_on(target)
    source.pass_on(threaded)
    source.set(9)
    assert (await target, threaded.get()) == (9, 9)
    assert repr(target) == "<Reply from an actor answered>"
