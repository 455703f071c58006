"""The directory: one activation however many tell, no message lost or doubled while an actor is unloaded."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from treadle.actors.runtime import ActorDead, ActorSystem, Backoff, CoroutineActor, Directive, Supervision
from treadle.events.errors import ConfigError, MailboxFull

Until = Callable[[Callable[[], bool]], Awaitable[None]]


class Book(CoroutineActor):
    """Writes what it is told into the book of its address, as a journal would; starts and stops take a while."""

    def __init__(self, address: str, book: dict[str, list[Any]], turns: Callable[[], int] = lambda: 1) -> None:
        super().__init__()
        self._page = book[address]
        self._turns = turns

    async def _pause(self) -> None:
        for _ in range(self._turns()):
            await asyncio.sleep(0)

    async def on_start(self) -> None:
        await self._pause()
        self._page.append("start")

    async def on_receive(self, message: Any) -> Any:
        if message == "wait":
            await self._pause()
        self._page.append(message)
        return len(self._page)

    async def on_stop(self) -> None:
        await self._pause()
        self._page.append("stop")


async def test_many_tells_at_once_wake_one_actor_that_gets_them_all(system: ActorSystem) -> None:
    book: dict[str, list[Any]] = defaultdict(list)
    system.register("run", lambda address: Book(address, book))
    for call in range(100):
        system.ref("run-1").tell(call)
    await system.ref("run-1").ask("last")
    assert book["run-1"] == ["start", *range(100), "last"]
    assert system.stats().started == 1


async def test_the_kind_is_the_part_before_the_first_hyphen(system: ActorSystem) -> None:
    book: dict[str, list[Any]] = defaultdict(list)
    system.register("session", lambda address: Book(address, book))
    await system.ref("session-alice/desk/conv-1").ask("x")
    await system.ref("session").ask("x")
    assert sorted(book) == ["session", "session-alice/desk/conv-1"]
    with pytest.raises(ConfigError, match="hyphen"):
        system.register("session-x", lambda address: Book(address, book))
    with pytest.raises(ConfigError, match="registered already"):
        system.register("session", lambda address: Book(address, book))


async def test_an_address_is_given_once(system: ActorSystem) -> None:
    system.spawn(CoroutineActor, "run-1")
    with pytest.raises(ConfigError, match=r"run-1.*taken"):
        system.spawn(CoroutineActor, "run-1")


async def test_what_a_factory_raises_at_spawn_comes_through_and_leaves_nothing(system: ActorSystem) -> None:
    def broken() -> CoroutineActor:
        raise KeyError("model")

    with pytest.raises(KeyError, match="model"):
        system.spawn(broken, "run-1")
    assert "run-1" not in system.directory


async def test_an_actor_that_cannot_be_woken_answers_with_the_reason_and_is_tried_again(system: ActorSystem) -> None:
    book: dict[str, list[Any]] = defaultdict(list)
    broken = [True]

    def factory(address: str) -> CoroutineActor:
        if broken.pop() if broken else False:
            raise KeyError("model")
        return Book(address, book)

    system.register("run", factory)
    with pytest.raises(KeyError, match="model"):
        await system.ref("run-1").ask("first")
    assert system.dead_letters.last[0].reason == "could not be started"
    assert await system.ref("run-1").ask("second") == 2


async def test_a_full_mailbox_refuses_a_tell_and_answers_an_ask(system: ActorSystem) -> None:
    ref = system.spawn(lambda: Book("run-1", defaultdict(list)), "run-1", capacity=2)
    ref.tell(1)
    ref.tell(2)
    with pytest.raises(MailboxFull, match="run-1"):
        ref.tell(3)
    asked = ref.ask(4)
    with pytest.raises(MailboxFull):
        await asked
    assert await ref.stop() is True


async def test_an_idle_actor_is_unloaded_after_its_timeout_and_wakes_again(system: ActorSystem, until: Until) -> None:
    book: dict[str, list[Any]] = defaultdict(list)
    system.register("run", lambda address: Book(address, book), idle_timeout_s=0.01)
    ref = system.ref("run-1")
    ref.tell("a")
    await until(lambda: system.stats().passivated == 1)
    assert not ref.is_live
    assert repr(ref) == "<Ref run-1 not loaded>"
    await ref.ask("b")
    assert book["run-1"] == ["start", "a", "stop", "start", "b"]


async def test_beyond_the_cap_the_longest_idle_are_unloaded(until: Until) -> None:
    book: dict[str, list[Any]] = defaultdict(list)
    async with ActorSystem(max_live=3) as system:
        system.register("run", lambda address: Book(address, book))
        for run in range(3):
            await system.ref(f"run-{run}").ask("x")
        await system.ref("run-0").ask("again")
        await system.ref("run-3").ask("x")
        await until(lambda: len(system.directory) == 3)
        assert {cell.address for cell in system.directory} == {"run-0", "run-2", "run-3"}


async def test_the_cap_passes_over_actors_that_refuse_and_unloads_no_more_than_it_must(until: Until) -> None:
    book: dict[str, list[Any]] = defaultdict(list)
    gate = asyncio.Event()

    class Kept(Book):
        def can_passivate(self) -> bool:
            return False

    class Slow(Book):
        async def on_stop(self) -> None:
            await gate.wait()

    async with ActorSystem(max_live=4) as system:
        system.register("kept", lambda address: Kept(address, book))
        system.register("slow", lambda address: Slow(address, book))
        for address in ("kept-1", "kept-2", "slow-1", "slow-2", "slow-3", "slow-4"):
            await system.ref(address).ask("x")
        phases = {cell.address: str(cell.phase) for cell in system.directory}
        assert {address for address, phase in phases.items() if phase == "passivating"} == {"slow-1", "slow-2"}
        gate.set()
        await until(lambda: len(system.directory) == 4)


async def test_an_actor_can_refuse_to_be_unloaded(system: ActorSystem) -> None:
    class Stays(Book):
        def can_passivate(self) -> bool:
            return False

    system.register("run", lambda address: Stays(address, defaultdict(list)))
    ref = system.ref("run-1")
    await ref.ask("x")
    assert not ref.passivate()
    assert ref.is_live


async def test_an_actor_with_a_running_task_is_not_idle(system: ActorSystem) -> None:
    gate = asyncio.Event()

    class Waits(Book):
        async def on_receive(self, message: Any) -> Any:
            return self.spawn(gate.wait()) and None

    system.register("run", lambda address: Waits(address, defaultdict(list)))
    ref = system.ref("run-1")
    await ref.ask("x")
    assert not ref.passivate()
    gate.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ref.passivate()


async def test_mail_that_comes_while_an_actor_is_unloaded_wakes_the_next_one_in_order(system: ActorSystem) -> None:
    book: dict[str, list[Any]] = defaultdict(list)
    system.register("run", lambda address: Book(address, book, lambda: 3))
    ref = system.ref("run-1")
    await ref.ask("a")
    assert ref.passivate()
    for call in range(3):
        ref.tell(call)
        await asyncio.sleep(0)
    await ref.ask("b")
    assert book["run-1"] == ["start", "a", "stop", "start", 0, 1, 2, "b"]


async def test_mail_behind_a_stop_wakes_the_next_actor_of_a_registered_kind(system: ActorSystem) -> None:
    book: dict[str, list[Any]] = defaultdict(list)
    system.register("run", lambda address: Book(address, book))
    ref = system.ref("run-1")
    ref.tell("a")
    stopped = ref.stop()
    assert await ref.ask("b") == 5
    assert await stopped is True
    assert book["run-1"] == ["start", "a", "stop", "start", "b"]


async def test_stopping_an_address_without_an_actor_wakes_nobody(system: ActorSystem) -> None:
    system.register("run", lambda address: Book(address, defaultdict(list)))
    assert await system.ref("run-1").stop() is False
    assert system.stats().started == 0


async def test_when_the_next_actor_cannot_be_made_the_mail_is_answered(system: ActorSystem) -> None:
    book: dict[str, list[Any]] = defaultdict(list)
    made: list[str] = []

    def factory(address: str) -> CoroutineActor:
        made.append(address)
        if len(made) > 1:
            raise KeyError("model")
        return Book(address, book)

    system.register("run", factory)
    ref = system.ref("run-1")
    await ref.ask("a")
    assert ref.passivate()
    asked = ref.ask("b")
    with pytest.raises(KeyError, match="model"):
        await asked
    assert not ref.is_live


@pytest.mark.parametrize("seed", range(40))
async def test_no_message_is_lost_doubled_or_out_of_order_however_actors_are_unloaded_and_restarted(seed: int) -> None:
    chance = random.Random(seed)
    book: dict[str, list[Any]] = defaultdict(list)
    told: dict[str, list[Any]] = defaultdict(list)
    supervision = Supervision({KeyError: Directive.RESTART}, backoff=Backoff(first_s=0), max_restarts=10_000)

    class Crashing(Book):
        async def on_receive(self, message: Any) -> Any:
            if message == "crash":
                raise KeyError("crash")
            return await super().on_receive(message)

    async with ActorSystem(max_live=3, supervision=supervision) as system:
        system.register("run", lambda address: Crashing(address, book, lambda: chance.randrange(4)), idle_timeout_s=0)

        async def teller(name: int) -> None:
            for number in range(120):
                address = f"run-{chance.randrange(6)}"
                ref = system.ref(address)
                match chance.randrange(12):
                    case 0:
                        ref.passivate()
                    case 1:
                        ref.tell("crash")
                    case 2:
                        ref.stop()
                    case 3 | 4:
                        await asyncio.sleep(0)
                    case _:
                        told[address].append((name, number))
                        if chance.random() < 0.3:
                            await ref.ask((name, number))
                        else:
                            ref.tell((name, number))

        await asyncio.gather(*(teller(name) for name in range(4)))
        for address in told:
            await system.ref(address).ask("last")
        assert {address: [m for m in page if isinstance(m, tuple)] for address, page in book.items()} == told
        assert system.dead_letters.count == 0


async def test_a_spawned_actor_is_gone_once_it_has_stopped(system: ActorSystem) -> None:
    ref = system.spawn(CoroutineActor)
    assert await ref.stop() is True
    assert await ref.stop() is False
    with pytest.raises(ActorDead):
        await ref.ask("x")
