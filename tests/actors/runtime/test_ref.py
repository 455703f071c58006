"""Refs: one interface for coroutine actors and threads, from the loop and from other threads."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pykka
import pytest

from treadle.actors.runtime import ActorDead, ActorSystem, AskTimeout, CoroutineActor, WouldDeadlock
from treadle.events.errors import MailboxFull


class Coroutine(CoroutineActor):
    """Adds costs up."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: list[int] = []

    async def on_receive(self, message: Any) -> Any:
        if message == "total":
            return sum(self.spent)
        if message == "thread":
            return threading.get_ident()
        if message == "all":
            return self.spent
        if isinstance(message, Exception):
            raise message
        self.spent.append(message)
        return None


class Thread(pykka.ThreadingActor):
    """The same in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: list[int] = []

    def on_receive(self, message: Any) -> Any:
        if message == "total":
            return sum(self.spent)
        if message == "thread":
            return threading.get_ident()
        if message == "all":
            return self.spent
        if isinstance(message, Exception):
            raise message
        self.spent.append(message)
        return None


KINDS: list[Callable[[], CoroutineActor | pykka.Actor]] = [Coroutine, Thread]
both = pytest.mark.parametrize("kind", KINDS)


@both
async def test_tell_ask_and_stop_work_the_same(
    system: ActorSystem, kind: Callable[[], CoroutineActor | pykka.Actor]
) -> None:
    ref = system.spawn(kind, "run-1")
    ref.tell(3)
    ref.tell(4)
    assert await ref.ask("total") == 7
    with pytest.raises(KeyError, match="call-1"):
        await ref.ask(KeyError("call-1"))
    assert await ref.ask("total", timeout_s=10) == 7
    assert await ref.stop() is True
    assert not ref.is_live
    with pytest.raises(ActorDead):
        await ref.ask("total")


@both
async def test_a_thread_asks_and_its_tells_arrive_in_order(
    system: ActorSystem, kind: Callable[[], CoroutineActor | pykka.Actor]
) -> None:
    ref = system.spawn(kind)

    def work() -> Any:
        for cost in range(200):
            ref.tell(cost)
        return ref.ask_blocking("all", timeout_s=10)

    assert await asyncio.to_thread(work) == list(range(200))


@both
async def test_an_address_wakes_either_kind(
    system: ActorSystem, kind: Callable[[], CoroutineActor | pykka.Actor]
) -> None:
    system.register("run", lambda _address: kind())
    system.ref("run-1").tell(5)
    assert await asyncio.to_thread(system.ref("run-1").ask_blocking, "total", 10) == 5


@both
async def test_a_proxy_works_with_either_kind(
    system: ActorSystem, kind: Callable[[], CoroutineActor | pykka.Actor]
) -> None:
    ref = system.spawn(kind)
    assert await asyncio.to_thread(lambda: ref.proxy().spent.get(timeout=10)) == []
    with pytest.raises(ActorDead, match="live"):
        system.ref("nobody").proxy()


async def test_a_coroutine_actor_runs_on_the_loops_thread_and_a_threading_actor_does_not(system: ActorSystem) -> None:
    assert await system.spawn(Coroutine).ask("thread") == threading.get_ident()
    assert await system.spawn(Thread).ask("thread") != threading.get_ident()


async def test_blocking_for_an_answer_on_the_loops_thread_is_refused_before_anything_is_sent(
    system: ActorSystem,
) -> None:
    ref = system.spawn(Coroutine, "run-1")
    with pytest.raises(WouldDeadlock, match="run-1"):
        ref.ask_blocking(5)
    assert await ref.ask("total") == 0


async def test_an_ask_that_times_out_leaves_the_actor_at_work(system: ActorSystem) -> None:
    gate = asyncio.Event()

    class Slow(CoroutineActor):
        async def on_receive(self, message: Any) -> str:
            await gate.wait()
            return "done"

    ref = system.spawn(Slow, "run-1")
    asked = ref.ask("x", timeout_s=0.01)
    with pytest.raises(AskTimeout, match=r"run-1 within 0\.01 s"):
        await asked
    gate.set()
    assert await asked == "done"


async def test_a_thread_is_refused_when_too_many_messages_wait_or_are_on_their_way(system: ActorSystem) -> None:
    ref = system.spawn(Coroutine, "run-1", capacity=3)
    refused: list[MailboxFull] = []

    def flood() -> None:
        for cost in range(5):
            try:
                ref.tell(cost)
            except MailboxFull as full:
                refused.append(full)

    thread = threading.Thread(target=flood)
    thread.start()
    thread.join()  # the loop cannot take anything in meanwhile
    assert await ref.ask("all") == [0, 1, 2]
    assert [full.capacity for full in refused] == [3, 3]


async def test_a_thread_that_tells_after_the_end_leaves_a_dead_letter() -> None:
    async with ActorSystem() as system:
        ref = system.spawn(Coroutine)
    await asyncio.to_thread(ref.tell, 1)
    with pytest.raises(ActorDead, match="closed"):
        await asyncio.to_thread(ref.ask_blocking, 1, 10)
    assert system.dead_letters.by_reason == {"system closed": 2}


async def test_refs_to_the_same_place_are_equal(system: ActorSystem) -> None:
    assert system.ref("run-1") == system.ref("run-1")
    assert len({system.ref("run-1"), system.ref("run-1"), system.ref("run-2")}) == 2
    assert system.ref("run-1") != "run-1"
    assert system.ref("run-1") != ActorSystem().ref("run-1")
