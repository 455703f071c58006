"""Coroutine actors: one message at a time, hooks, answers that come later, tasks of their own, pykka's proxies."""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest

from treadle.actors.runtime import ActorDead, ActorSystem, CoroutineActor, HandlerCancelled, Phase, Reply
from treadle.events.errors import ConfigError

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


class Calls(CoroutineActor):
    """Notes the calls of a run, taking as long for each as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.active = 0

    async def on_receive(self, message: Any) -> Any:
        self.active += 1
        assert self.active == 1
        if isinstance(message, asyncio.Future):
            await message
        self.seen.append(message)
        self.active -= 1
        return len(self.seen)

    async def settle(self, cost: int) -> int:
        await asyncio.sleep(0)
        return cost * 2


class Plain(CoroutineActor):
    """Handles with a plain function; answers a coroutine when asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        self.seen.append(message)
        return self.slow() if message == "slow" else list(self.seen)

    async def slow(self) -> str:
        await asyncio.sleep(0)
        return "slow"


def noting(actors: list[Any], kind: type[CoroutineActor]) -> Callable[[], CoroutineActor]:
    """A factory that notes what it makes."""

    def make() -> CoroutineActor:
        actors.append(kind())
        return actors[-1]  # type: ignore[no-any-return]

    return make


@pytest.mark.parametrize("kind", [Calls, Plain])
async def test_messages_are_handled_in_the_order_they_were_told(system: ActorSystem, kind: type[Any]) -> None:
    actors: list[Any] = []
    ref = system.spawn(noting(actors, kind))
    for call in range(500):
        ref.tell(call)
    await ref.ask("last")
    assert actors[0].seen == [*range(500), "last"]


async def test_a_message_waits_until_the_one_before_is_done(system: ActorSystem) -> None:
    ref = system.spawn(Calls)
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    first, second = ref.ask(gate), ref.ask("next")
    await asyncio.sleep(0)
    assert repr(ref) == "<Ref calls-1 running, 1 waiting>"
    gate.set_result(None)
    assert [await first, await second] == [1, 2]


async def test_a_plain_handler_that_returns_a_coroutine_holds_up_the_next_message(system: ActorSystem) -> None:
    ref = system.spawn(Plain)
    slow, after = ref.ask("slow"), ref.ask("after")
    assert await slow == "slow"
    assert await after == ["slow", "after"]


async def test_an_error_answers_the_asker_and_the_actor_goes_on(system: ActorSystem) -> None:
    class Picky(CoroutineActor):
        async def on_receive(self, message: Any) -> Any:
            return 1 / message

    ref = system.spawn(Picky)
    with pytest.raises(ZeroDivisionError):
        await ref.ask(0)
    assert await ref.ask(1) == 1
    assert system.stats().failed == 0


async def test_a_cancelled_asker_does_not_disturb_the_actor(system: ActorSystem) -> None:
    ref = system.spawn(Calls)
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asker = asyncio.ensure_future(ref.ask(gate))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asker.cancel()
    await asyncio.wait([asker])
    assert not gate.cancelled()
    gate.set_result(None)
    assert await ref.ask("next") == 2


async def test_a_cancellation_within_a_handler_is_an_error_and_not_the_end_of_the_actor(system: ActorSystem) -> None:
    ref = system.spawn(Calls)
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asked = ref.ask(gate)
    await asyncio.sleep(0)
    gate.cancel()
    with pytest.raises(HandlerCancelled):
        await asked
    assert ref.is_live


async def test_mail_waits_until_on_start_is_done(system: ActorSystem) -> None:
    replayed: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Session(CoroutineActor):
        version = 0

        async def on_start(self) -> None:
            self.phase = Phase.REPLAYING
            self.version = await replayed

        def on_receive(self, message: Any) -> Any:
            return self.version, self.phase

    ref = system.spawn(Session, "session-alice/desk/conv-1")
    asked = ref.ask("version")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert repr(ref) == "<Ref session-alice/desk/conv-1 replaying, 1 waiting>"
    replayed.set_result(12)
    assert await asked == (12, Phase.RUNNING)


async def test_an_actor_cannot_call_itself_replaying_once_it_runs(system: ActorSystem) -> None:
    class Confused(CoroutineActor):
        def on_receive(self, message: Any) -> Any:
            self.phase = Phase.REPLAYING

    with pytest.raises(ValueError, match="on_start"):
        await system.spawn(Confused).ask("go")


async def test_an_answer_that_comes_later_lets_the_actor_go_on(system: ActorSystem) -> None:
    gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    class Worker(CoroutineActor):
        async def on_receive(self, message: Any) -> Any:
            return self.later(self.fetch()) if message == "fetch" else message

        async def fetch(self) -> str:
            return await gate

    ref = system.spawn(Worker)
    fetched = ref.ask("fetch")
    assert await ref.ask("meanwhile") == "meanwhile"
    assert not fetched.done()
    gate.set_result("page")
    assert await fetched == "page"


async def test_a_handler_that_returns_the_reply_of_another_actor_forwards_the_question(system: ActorSystem) -> None:
    worker = system.spawn(Plain)

    class Front(CoroutineActor):
        def on_receive(self, message: Any) -> Any:
            return worker.ask(message)

    assert await system.spawn(Front).ask("slow") == "slow"


async def test_a_later_message_can_set_the_answer_of_an_earlier_one(system: ActorSystem) -> None:
    class Approval(CoroutineActor):
        def __init__(self) -> None:
            super().__init__()
            self.asked: Reply[str] = Reply()

        async def on_receive(self, message: Any) -> Any:
            if message == "may I?":
                return self.asked
            self.asked.set(message)
            return None

    ref = system.spawn(Approval)
    asked = ref.ask("may I?")
    ref.tell("granted")
    assert await asked == "granted"


async def test_nobody_waits_for_an_answer_that_a_stopped_actor_owes(system: ActorSystem) -> None:
    class Silent(CoroutineActor):
        async def on_receive(self, message: Any) -> Any:
            return Reply[Any]()

    ref = system.spawn(Silent, "run-1")
    asked = ref.ask("anything")
    await ref.stop()
    with pytest.raises(ActorDead, match=r"run-1.*stopped before it answered"):
        await asked


async def test_tasks_of_an_actor_end_before_it_has_stopped(system: ActorSystem) -> None:
    ended: list[str] = []

    class Heart(CoroutineActor):
        async def on_start(self) -> None:
            self.beating = asyncio.Event()
            self.spawn(self.beat(), name="beat")

        async def on_receive(self, message: Any) -> None:
            await self.beating.wait()

        async def beat(self) -> None:
            self.beating.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append("beat")

        async def on_stop(self) -> None:
            ended.append("stop")

    ref = system.spawn(Heart)
    ref.tell("x")
    assert await ref.stop()
    assert ended == ["beat", "stop"]


async def test_hooks_may_be_plain_functions_and_run_in_order(system: ActorSystem) -> None:
    calls: list[str] = []

    class Hooks(CoroutineActor):
        def on_start(self) -> None:
            calls.append("start")

        def on_receive(self, message: Any) -> None:
            calls.append(message)

        def on_stop(self) -> None:
            calls.append(str(self.phase))

    ref = system.spawn(Hooks)
    ref.tell("call")
    assert await ref.stop()
    assert calls == ["start", "call", "stopping"]


async def test_a_handler_does_not_see_the_context_variables_of_the_teller(system: ActorSystem) -> None:
    class Reader(CoroutineActor):
        async def on_receive(self, message: Any) -> Any:
            return tenant.get()

    ref = system.spawn(Reader)
    tenant.set("alice")
    assert await ref.ask("who?") == "nobody"


async def test_a_pykka_proxy_awaits_coroutine_methods_and_reads_and_sets_attributes(system: ActorSystem) -> None:
    proxy = system.spawn(Calls).proxy()
    assert await proxy.settle(21) == 42
    assert await proxy.seen == []

    def in_a_thread() -> Any:
        setattr(proxy, "active", 3)  # noqa: B010 - a checker would take the number for what is read afterwards
        return proxy.active.get(timeout=10)

    assert await asyncio.to_thread(in_a_thread) == 3


async def test_a_pykka_ref_tells_asks_and_stops(system: ActorSystem) -> None:
    actors: list[Calls] = []
    ref = system.spawn(noting(actors, Calls))
    pykka_ref = actors[0].actor_ref
    pykka_ref.tell("a")
    assert await pykka_ref.ask("b", block=False) == 2
    assert await asyncio.to_thread(pykka_ref.stop, timeout=10) is True
    assert not pykka_ref.is_alive()
    assert not ref.is_live


async def test_starting_outside_a_system_says_how_to_do_it() -> None:
    with pytest.raises(ConfigError, match=r"system\.spawn\(Calls\)"):
        Calls.start()
    assert repr(Calls()) == "<Calls not started>"


async def test_the_repr_reads_as_a_status_line(system: ActorSystem) -> None:
    actors: list[Calls] = []
    system.spawn(noting(actors, Calls), "session-x")
    assert repr(actors[0]) == "<Calls session-x running, 0 waiting>"
    assert actors[0].ref == system.ref("session-x")


async def test_an_idle_actor_holds_no_task(system: ActorSystem) -> None:
    before = len(asyncio.all_tasks())
    refs = [system.spawn(Calls) for _ in range(100)]
    await asyncio.gather(*(ref.ask("x") for ref in refs))
    assert len(asyncio.all_tasks()) == before


async def test_an_idle_actor_with_a_plain_handler_has_answered_when_ask_returns(system: ActorSystem) -> None:
    class Budget(CoroutineActor):
        def on_receive(self, message: int) -> int:
            return message - 1

    budget = system.spawn(Budget)
    reply = budget.ask(3)
    assert reply.done()
    assert await reply == 2


async def test_no_handler_is_interrupted_by_the_one_it_sends_to(system: ActorSystem) -> None:
    said: list[str] = []

    class Auditor(CoroutineActor):
        def on_receive(self, message: str) -> None:
            said.append(message)

    class Budget(CoroutineActor):
        def on_receive(self, message: str) -> None:
            auditor.tell(f"{message} was reserved")
            said.append(f"{message} is done")

    auditor, budget = system.spawn(Auditor), system.spawn(Budget)
    await budget.ask("one")
    await auditor.ask("end")
    assert said == ["one is done", "one was reserved", "end"]


async def test_what_a_handler_raises_does_not_reach_whoever_told(system: ActorSystem) -> None:
    class Budget(CoroutineActor):
        def on_receive(self, message: str) -> None:
            raise ValueError(message)

    system.spawn(Budget).tell("no such cap")
    reply = system.spawn(Budget).ask("no such scope")
    with pytest.raises(ValueError, match="no such scope"):
        await reply


async def test_a_long_chain_of_actors_is_no_deep_stack(system: ActorSystem) -> None:
    length = 5000
    end: Reply[int] = Reply()

    class Link(CoroutineActor):
        def on_receive(self, message: int) -> None:
            if message == length:
                end.set(message)
            else:
                self.ref_to(f"link-{message + 1}").tell(message + 1)

    system.register("link", lambda _: Link(), idle_timeout_s=0.01)
    system.ref("link-0").tell(0)
    assert await end == length


async def test_whoever_asks_and_asks_does_not_keep_others_from_their_turn(system: ActorSystem) -> None:
    class Budget(CoroutineActor):
        def on_receive(self, message: int) -> int:
            return message - 1

    budget = system.spawn(Budget)
    turns = 0

    async def ask_for_ever() -> None:
        while True:
            await budget.ask(1)

    def turn() -> None:
        nonlocal turns
        turns += 1
        if turns < 5:
            asyncio.get_running_loop().call_soon(turn)
        else:
            asking.cancel()

    asyncio.get_running_loop().call_soon(turn)
    asking = asyncio.create_task(ask_for_ever())
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert turns == 5


def test_a_plain_handler_that_ends_the_process_does_so_and_not_through_its_sender() -> None:
    told: list[str] = []

    class Leaving(CoroutineActor):
        def on_receive(self, message: str) -> None:
            raise SystemExit(5)

    async def main() -> None:
        async with ActorSystem() as system:
            leaving = system.spawn(Leaving)
            leaving.tell("now")
            told.append("now")
            with pytest.raises(ActorDead):
                await leaving.ask("again")
            told.append("again")

    with pytest.raises(SystemExit, match="5"):
        asyncio.run(main())
    assert told[0] == "now"
