"""Supervision: the rule of the most specific class decides; each directive does what it says."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from treadle.actors.runtime import (
    ActorDead,
    ActorSystem,
    Backoff,
    CoroutineActor,
    Directive,
    Failure,
    Phase,
    Ref,
    Supervision,
)
from treadle.actors.runtime.supervisor import Restarts
from treadle.events.errors import BudgetExceeded, ConfigError, Fenced, Owned

Until = Callable[[Callable[[], bool]], Awaitable[None]]
AT_ONCE = Backoff(first_s=0)


class Run(CoroutineActor):
    """Adds costs up; raises what it is sent, when that is an error."""

    instances = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).instances += 1
        self.spent = 0

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        self.spent += message
        return self.spent


@pytest.fixture(autouse=True)
def count_anew() -> None:
    Run.instances = 0


def test_the_rule_of_the_most_specific_class_decides_in_any_order() -> None:
    strategy = Supervision({Exception: Directive.ESCALATE, OSError: Directive.RESTART})
    assert strategy.decide(ConnectionResetError()) is Directive.RESTART
    assert strategy.decide(KeyError()) is Directive.ESCALATE


def test_without_a_rule_refusals_resume_the_fenced_stop_and_answered_errors_resume() -> None:
    strategy = Supervision(default=Directive.RESTART)
    assert strategy.decide(BudgetExceeded("run-1", "10 tokens", 5, 2)) is Directive.RESUME
    assert strategy.decide(Fenced("run-1", 1, 2), answered=True) is Directive.STOP
    assert strategy.decide(Owned("run-1", "host:1:a", 1), answered=True) is Directive.RESUME
    assert strategy.decide(KeyError(), answered=True) is Directive.RESUME
    assert strategy.decide(KeyError()) is Directive.RESTART


def test_back_off_doubles_up_to_its_maximum() -> None:
    backoff = Backoff(first_s=0.5, factor=2, max_s=3)
    assert [backoff.delay_s(attempt) for attempt in (1, 2, 3, 4, 5000)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_restarts_are_counted_within_the_period_only() -> None:
    restarts = Restarts(Supervision(max_restarts=2, within_s=10, backoff=Backoff(first_s=1)))
    assert [restarts.delay_s(now) for now in (0.0, 1.0, 2.0)] == [1.0, 2.0, None]
    assert restarts.delay_s(11.5) == 1.0


def test_exhausted_restarts_cannot_restart() -> None:
    with pytest.raises(ConfigError, match="restart"):
        Supervision(exhausted=Directive.RESTART)


async def test_resume_keeps_the_state_and_goes_on(system: ActorSystem) -> None:
    ref = system.spawn(Run, supervision=Supervision(default=Directive.RESUME))
    ref.tell(3)
    ref.tell(KeyError("call-1"))
    assert await ref.ask(4) == 7
    assert [failure.directive for failure in system.failures] == [Directive.RESUME]


async def test_restart_puts_a_new_instance_behind_the_mail_that_waits(system: ActorSystem) -> None:
    ref = system.spawn(Run, supervision=Supervision(default=Directive.RESTART, backoff=AT_ONCE))
    ref.tell(3)
    ref.tell(KeyError("call-1"))
    ref.tell(10)
    assert await ref.ask(4) == 14
    assert (Run.instances, system.stats().restarted) == (2, 1)


async def test_an_explicit_rule_also_holds_for_an_error_that_answers_an_ask(system: ActorSystem) -> None:
    ref = system.spawn(Run, supervision=Supervision({OSError: Directive.RESTART}, backoff=AT_ONCE))
    await ref.ask(3)
    with pytest.raises(OSError, match="disk"):
        await ref.ask(OSError("disk"))
    assert await ref.ask(1) == 1


async def test_stop_gives_the_error_to_asks_that_wait_and_buries_the_tells(system: ActorSystem) -> None:
    ref = system.spawn(Run, "run-1", supervision=Supervision(default=Directive.STOP))
    ref.tell(KeyError("call-1"))
    ref.tell(5)
    asked = ref.ask(6)
    with pytest.raises(KeyError, match="call-1"):
        await asked
    assert not ref.is_live
    assert [(letter.message, letter.reason) for letter in system.dead_letters.last] == [(5, "failed"), (6, "failed")]


async def test_too_many_restarts_stop_the_actor(system: ActorSystem, until: Until) -> None:
    ref = system.spawn(Run, supervision=Supervision(default=Directive.RESTART, backoff=AT_ONCE, max_restarts=2))
    for _ in range(3):
        ref.tell(KeyError("again"))
    await until(lambda: not ref.is_live)
    assert [failure.directive for failure in system.failures] == ["restart", "restart", "stop"]


async def test_a_stop_message_does_not_wait_for_the_back_off(system: ActorSystem, until: Until) -> None:
    patient = Supervision(default=Directive.RESTART, backoff=Backoff(first_s=3600, max_s=3600))
    ref = system.spawn(Run, supervision=patient)
    ref.tell(KeyError("call-1"))
    await until(lambda: "restarting" in repr(ref))
    waiting = ref.ask(1)
    assert await ref.stop() is True
    with pytest.raises(ActorDead):
        await waiting
    assert Run.instances == 1


async def test_a_stop_message_that_comes_during_the_clean_up_does_not_wait_for_the_back_off_either(
    system: ActorSystem, until: Until
) -> None:
    failing = asyncio.Event()
    gate = asyncio.Event()

    class Cleaning(Run):
        async def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
            failing.set()
            await gate.wait()

    patient = Supervision(default=Directive.RESTART, backoff=Backoff(first_s=3600, max_s=3600))
    ref = system.spawn(Cleaning, supervision=patient)
    ref.tell(KeyError("call-1"))
    await failing.wait()
    stopped = ref.stop()
    gate.set()
    assert await stopped is True
    assert not ref.is_live


async def test_escalate_without_a_parent_reaches_the_handler_of_the_system() -> None:
    escalated: list[Failure] = []
    async with ActorSystem(on_escalation=escalated.append) as system:
        ref = system.spawn(Run, "run-1", supervision=Supervision(default=Directive.ESCALATE))
        ref.tell(KeyError("call-1"))
        with pytest.raises(KeyError):
            await ref.ask(1)
        assert [failure.address for failure in escalated] == ["run-1"]


async def test_a_handler_of_escalations_that_fails_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken(failure: Failure) -> None:
        raise RuntimeError("pager")

    async with ActorSystem(on_escalation=broken) as system:
        ref = system.spawn(Run, supervision=Supervision(default=Directive.ESCALATE))
        ref.tell(KeyError("call-1"))
        with pytest.raises(KeyError):
            await ref.ask(1)
        assert await system.spawn(Run).ask(1) == 1
    assert "on_escalation failed" in caplog.text


class Team(CoroutineActor):
    """A parent of one run."""

    def __init__(self, children: list[Ref]) -> None:
        super().__init__()
        self._children = children
        self.failures: list[Any] = []

    async def on_start(self) -> None:
        escalate = Supervision(default=Directive.ESCALATE)
        self._children.append(self.start_child(Run, supervision=escalate))

    async def on_receive(self, message: Any) -> Any:
        return len(self._children)


async def test_escalate_is_a_failure_of_the_parent_who_decides_by_its_own_rules(
    system: ActorSystem, until: Until
) -> None:
    children: list[Ref] = []
    restart = Supervision({KeyError: Directive.RESTART}, backoff=AT_ONCE)
    parent = system.spawn(lambda: Team(children), supervision=restart)
    await parent.ask("ready?")
    children[0].tell(KeyError("call-1"))
    await until(lambda: len(children) == 2)
    assert await children[1].ask(2) == 2
    assert [str(failure.directive) for failure in system.failures] == ["escalate", "restart"]


async def test_children_stop_before_their_parent_has_stopped(system: ActorSystem) -> None:
    children: list[Ref] = []
    parent = system.spawn(lambda: Team(children))
    await parent.ask("ready?")
    await parent.stop()
    assert not children[0].is_live


async def test_a_task_that_fails_is_a_failure_of_its_actor(system: ActorSystem, until: Until) -> None:
    class Tailing(CoroutineActor):
        async def on_receive(self, message: Any) -> None:
            self.spawn(self.tail())

        async def tail(self) -> None:
            raise ConnectionError("journal")

    ref = system.spawn(Tailing)
    ref.tell("go")
    await until(lambda: not ref.is_live)
    assert isinstance(system.failures[0].error, ConnectionError)


async def test_an_error_in_a_late_answer_goes_to_the_asker_and_to_the_supervisor(
    system: ActorSystem, until: Until
) -> None:
    class Fetching(Run):
        async def on_receive(self, message: Any) -> Any:
            return self.later(self.fetch(message))

        async def fetch(self, message: Any) -> Any:
            raise message

    ref = system.spawn(Fetching, supervision=Supervision({OSError: Directive.STOP}))
    with pytest.raises(KeyError):
        await ref.ask(KeyError("call-1"))
    assert system.stats().failed == 0
    with pytest.raises(OSError, match="disk"):
        await ref.ask(OSError("disk"))
    await until(lambda: not ref.is_live)


async def test_on_start_that_fails_is_retried_while_the_mail_waits(system: ActorSystem) -> None:
    attempts: list[int] = []

    class Replaying(Run):
        async def on_start(self) -> None:
            attempts.append(1)
            if len(attempts) < 3:
                raise ConnectionError("journal")

    ref = system.spawn(Replaying, supervision=Supervision({ConnectionError: Directive.RESTART}, backoff=AT_ONCE))
    assert await ref.ask(5) == 5
    assert len(attempts) == 3


async def test_on_start_that_fails_cannot_be_resumed(system: ActorSystem) -> None:
    class Broken(Run):
        async def on_start(self) -> None:
            raise ConnectionError("journal")

    ref = system.spawn(Broken, supervision=Supervision(default=Directive.RESUME))
    with pytest.raises(ConnectionError):
        await ref.ask(1)


async def test_on_failure_sees_the_error_and_on_stop_is_not_called(system: ActorSystem) -> None:
    calls: list[Any] = []

    class Hooked(Run):
        async def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
            calls.append((exception_type, self.phase))

        def on_stop(self) -> None:
            calls.append("stop")

    ref = system.spawn(Hooked)
    ref.tell(KeyError("call-1"))
    with pytest.raises(KeyError):
        await ref.ask(1)
    assert calls == [(KeyError, Phase.STOPPING)]


async def test_a_failing_on_failure_is_noted_and_does_not_keep_the_actor_alive(system: ActorSystem) -> None:
    class Worse(Run):
        def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
            raise RuntimeError("worse")

    ref = system.spawn(Worse)
    ref.tell(KeyError("call-1"))
    with pytest.raises(KeyError):
        await ref.ask(1)
    assert [type(failure.error) for failure in system.failures] == [KeyError, RuntimeError]
    assert str(system.failures[0]) == "worse-1: KeyError: 'call-1' → stop"
