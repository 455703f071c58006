"""Threads in the directory: supervised like the others, their mail survives, their threads end."""

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pykka
import pytest

from treadle.actors.runtime import ActorSystem, Backoff, Directive, Failure, Supervision
from treadle.events.errors import MailboxFull

Until = Callable[[Callable[[], bool]], Awaitable[None]]


class Tool(pykka.ThreadingActor):
    """Adds costs up in a thread; raises what it is sent, when that is an error; waits for an event."""

    def __init__(self) -> None:
        super().__init__()
        self.spent = 0

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        if isinstance(message, threading.Event):
            return message.wait(10)
        self.spent += message
        return self.spent


@pytest.mark.parametrize(
    ("directive", "total"), [(Directive.RESUME, 7), (Directive.RESTART, 4)], ids=["resume", "restart"]
)
async def test_mail_that_waits_is_handled_after_a_resume_and_after_a_restart(
    system: ActorSystem, directive: Directive, total: int
) -> None:
    ref = system.spawn(Tool, supervision=Supervision(default=directive, backoff=Backoff(first_s=0)))
    ref.tell(3)
    ref.tell(KeyError("call-1"))
    assert await ref.ask(4) == total


async def test_a_failure_that_stops_answers_waiting_asks_with_the_error(system: ActorSystem) -> None:
    ref = system.spawn(Tool, "tool-1")
    ref.tell(KeyError("call-1"))
    asked = ref.ask(1)
    with pytest.raises(KeyError, match="call-1"):
        await asked
    assert system.dead_letters.last[0].reason == "failed"


async def test_escalation_reaches_the_handler_of_the_system(until: Until) -> None:
    escalated: list[Failure] = []
    async with ActorSystem(on_escalation=escalated.append) as system:
        ref = system.spawn(Tool, "tool-1", supervision=Supervision(default=Directive.ESCALATE))
        ref.tell(KeyError("call-1"))
        await until(lambda: bool(escalated))
        assert not ref.is_live


async def test_a_full_inbox_refuses(system: ActorSystem) -> None:
    gate = threading.Event()
    ref = system.spawn(Tool, "tool-1", capacity=2)
    busy = ref.ask(gate)
    refused = 0
    for _ in range(4):
        try:
            ref.tell(1)
        except MailboxFull:
            refused += 1
    assert refused >= 2
    gate.set()
    assert await busy is True


async def test_pykkas_registry_does_not_know_the_actor(system: ActorSystem) -> None:
    ref = system.spawn(Tool, "tool-1")
    assert await ref.ask(1) == 1
    assert pykka.ActorRegistry.get_all() == []
    assert [thread.name for thread in threading.enumerate() if thread.name == "tool-1"] == ["tool-1"]
    await ref.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "tool-1"]
