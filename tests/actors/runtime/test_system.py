"""Systems: what they own ends with them, and what does not is named."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pykka
import pytest

from treadle.actors import runtime
from treadle.actors.runtime import ActorDead, ActorSystem, CoroutineActor, Ref, Reply, StillRunning
from treadle.events.errors import ConfigError

Until = Callable[[Callable[[], bool]], Awaitable[None]]


class Echo(CoroutineActor):
    async def on_receive(self, message: Any) -> Any:
        return message


class Stubborn(CoroutineActor):
    """Waits for ever; a cancellation does not always end it."""

    def __init__(self, ignores: int = 0) -> None:
        super().__init__()
        self._ignores = ignores

    async def on_receive(self, message: Any) -> Any:
        while True:
            try:
                await message.wait()
                return "done"
            except asyncio.CancelledError:
                self._ignores -= 1
                if self._ignores < 0:
                    raise


async def test_closing_leaves_no_task_and_no_thread(system: ActorSystem) -> None:
    class Busy(CoroutineActor):
        async def on_start(self) -> None:
            self.spawn(asyncio.Event().wait())
            self.started = asyncio.Event()

    class Thread(pykka.ThreadingActor):
        pass

    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    for _ in range(5):
        system.spawn(Busy)
        system.spawn(Thread)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) > len(tasks)
    await system.close(10)
    assert asyncio.all_tasks() == tasks
    assert set(threading.enumerate()) == threads
    assert repr(system) == "<ActorSystem test closed, 0 live, 0 waiting>"


async def test_mail_that_waits_is_handled_before_the_end() -> None:
    async with ActorSystem() as system:
        asked = [system.spawn(Echo).ask(call) for call in range(10)]
    assert [reply.get() for reply in asked] == list(range(10))


async def test_an_actor_that_does_not_stop_is_cancelled_and_named_and_its_askers_are_told() -> None:
    system = await ActorSystem().__aenter__()
    asked = system.spawn(Stubborn, "run-1").ask(asyncio.Event())
    waiting = system.ref("run-1").ask("next")
    with pytest.raises(StillRunning, match="1 cancelled: run-1") as late:
        await system.close(0.01)
    assert (late.value.cancelled, late.value.survivors) == (("run-1",), ())
    for reply in (asked, waiting):
        with pytest.raises(ActorDead, match="cancelled"):
            await reply
    assert len(system.directory) == 0


async def test_a_handler_that_swallows_its_cancellation_is_named_as_still_running(
    monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr("treadle.actors.runtime.system._GRACE_S", 0.01)
    gate = asyncio.Event()
    system = await ActorSystem().__aenter__()
    asked = system.spawn(lambda: Stubborn(ignores=1), "run-1").ask(gate)
    with pytest.raises(StillRunning, match="1 still running: run-1"):
        await system.close(0.01)
    gate.set()
    assert await asked == "done"
    await until(lambda: len(system.directory) == 0)


async def test_a_thread_that_does_not_stop_is_named(until: Until) -> None:
    gate = threading.Event()

    class Blocked(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            return message.wait(10)

    system = await ActorSystem().__aenter__()
    system.spawn(Blocked, "tool-1").tell(gate)
    with pytest.raises(StillRunning, match="1 still running: tool-1"):
        await system.close(0.01)
    gate.set()
    await until(lambda: len(system.directory) == 0)


async def test_a_task_of_an_actor_that_does_not_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.actors.runtime.system._GRACE_S", 0.01)
    gate = asyncio.Event()

    class Owner(CoroutineActor):
        async def on_receive(self, message: Any) -> Any:
            self.entered = asyncio.Event()
            self.task = self.spawn(self.linger(), name="linger")
            await self.entered.wait()
            return self.task

        async def linger(self) -> None:
            self.entered.set()
            while not gate.is_set():
                try:
                    await gate.wait()
                except asyncio.CancelledError:
                    continue

    system = await ActorSystem().__aenter__()
    task = await system.spawn(Owner, "run-1").ask("go")
    with pytest.raises(StillRunning, match="run-1:linger"):
        await system.close(0.01)
    gate.set()
    await asyncio.wait([task], timeout=10)
    assert task.done()


async def test_while_closing_nobody_is_woken() -> None:
    async with ActorSystem() as system:
        system.register("run", lambda _address: Echo())
        await system.ref("run-1").ask("x")
    system.ref("run-1").tell("late")
    assert system.dead_letters.last[-1].reason == "system closed"
    assert len(system.directory) == 0


async def test_two_systems_on_one_loop_share_nothing() -> None:
    async with ActorSystem("one") as one, ActorSystem("two") as two:
        one.spawn(Echo, "run-1")
        assert "run-1" not in two.directory
        await one.close()
        assert await two.spawn(Echo, "run-1").ask(2) == 2


async def test_systems_on_loops_of_their_own_threads_can_ask_each_other() -> None:
    async with ActorSystem() as here:
        far = here.spawn(Echo)

        async def elsewhere() -> Any:
            async with ActorSystem() as there:
                return await there.spawn(Echo).ask(await far.ask("hello"))

        assert await asyncio.to_thread(asyncio.run, elsewhere()) == "hello"


async def test_a_system_is_entered_before_it_is_used_and_only_once() -> None:
    system = ActorSystem()
    with pytest.raises(ConfigError, match="async with"):
        system.spawn(Echo)
    with pytest.raises(ConfigError, match="async with"):
        system.ref("run-1").tell("x")
    async with system:
        pass
    with pytest.raises(ConfigError, match="entered before"):
        await system.__aenter__()


async def test_stats_count_what_happened(system: ActorSystem, until: Until) -> None:
    system.register("run", lambda _address: Echo())
    await system.ref("run-1").ask("x")
    system.ref("run-1").passivate()
    await system.spawn(Echo).stop()
    system.ref("nobody").tell("x")
    await until(lambda: len(system.directory) == 0)
    stats = system.stats()
    assert (stats.live, stats.started, stats.passivated, stats.stopped, stats.dead_letters) == (0, 2, 1, 2, 1)


def test_a_loop_that_ends_without_closing_answers_those_who_wait() -> None:
    asked: list[Any] = []

    async def forgetful() -> None:
        system = await ActorSystem().__aenter__()
        asked.append(system.spawn(Stubborn).ask(asyncio.Event()))
        await asyncio.sleep(0)

    asyncio.run(forgetful())
    with pytest.raises(ActorDead, match="cancelled"):
        asked[0].get(timeout=0)


def test_a_thread_that_asks_a_closed_loop_is_told_at_once() -> None:
    refs: list[Ref] = []

    async def forgetful() -> None:
        system = await ActorSystem().__aenter__()
        refs.append(system.spawn(Echo))

    asyncio.run(forgetful())
    asked: list[Reply[Any]] = []
    thread = threading.Thread(target=lambda: asked.append(refs[0].ask("x")))
    thread.start()
    thread.join()
    with pytest.raises(ActorDead, match="closed"):
        asked[0].get(timeout=0)


async def test_a_message_on_its_way_when_the_system_closes_is_answered() -> None:
    asked: list[Reply[Any]] = []
    async with ActorSystem() as system:
        ref = system.spawn(Echo)
        thread = threading.Thread(target=lambda: asked.append(ref.ask("x")))
        thread.start()
        thread.join()
    assert asked[0].done()


def test_the_public_names_are_these() -> None:
    assert sorted(runtime.__all__) == runtime.__all__
    assert all(hasattr(runtime, name) for name in runtime.__all__)
