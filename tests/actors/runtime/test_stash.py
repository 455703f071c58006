"""Stashing: held back in order, taken up ahead of newer mail, never more than may be held."""

import asyncio
from typing import Any

import pytest

from treadle.actors.runtime import ActorSystem, Backoff, CoroutineActor, Directive, Envelope, Stash, Supervision
from treadle.events.errors import MailboxFull


class Session(CoroutineActor):
    """Runs one prompt at a time; the others wait in the stash until it is done."""

    def __init__(self, order: list[Any]) -> None:
        super().__init__()
        self._order = order
        self._open = False

    async def on_receive(self, message: Any) -> Any:
        match message:
            case "open":
                self._open = True
                self.unstash_all()
            case "crash":
                raise KeyError("crash")
            case _ if not self._open:
                self.stash(message)
            case _:
                self._order.append(message)
        return message


def test_a_full_stash_takes_no_more() -> None:
    stash = Stash(1)
    assert stash.add(Envelope("a"))
    assert not stash.add(Envelope("b"))
    assert [envelope.message for envelope in stash.take_all()] == ["a"]
    assert len(stash) == 0


async def test_stashed_messages_come_in_their_order_ahead_of_newer_mail(system: ActorSystem) -> None:
    order: list[Any] = []
    ref = system.spawn(lambda: Session(order))
    for message in (1, 2, "open", 3, 4):
        ref.tell(message)
    await ref.ask("last")
    assert order == [1, 2, 3, 4, "last"]


async def test_the_asker_of_a_stashed_message_is_answered_when_it_is_taken_up(system: ActorSystem) -> None:
    ref = system.spawn(lambda: Session([]))
    asked = ref.ask("prompt")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not asked.done()
    ref.tell("open")
    assert await asked == "prompt"


async def test_over_capacity_the_asker_is_told_and_a_tell_becomes_a_dead_letter(system: ActorSystem) -> None:
    ref = system.spawn(lambda: Session([]), "session-1", stash_capacity=1)
    ref.tell("held")
    ref.tell("dropped")
    with pytest.raises(MailboxFull, match="session-1"):
        await ref.ask("refused")
    assert [(letter.message, letter.reason) for letter in system.dead_letters.last] == [
        ("dropped", "stash full"),
        ("refused", "stash full"),
    ]
    assert ref.is_live


async def test_only_the_message_being_handled_can_be_stashed(system: ActorSystem) -> None:
    class Wrong(CoroutineActor):
        async def on_receive(self, message: Any) -> None:
            self.stash("another")

    with pytest.raises(ValueError, match="another"):
        await system.spawn(Wrong).ask("this")


async def test_a_restart_hands_the_stash_to_the_next_instance(system: ActorSystem) -> None:
    order: list[Any] = []
    restart = Supervision(default=Directive.RESTART, backoff=Backoff(first_s=0))
    ref = system.spawn(lambda: Session(order), supervision=restart)
    for message in (1, 2, "crash", "open", 3):
        ref.tell(message)
    await ref.ask("last")
    assert order == [1, 2, 3, "last"]


async def test_an_actor_that_holds_messages_back_is_not_passivated(system: ActorSystem) -> None:
    system.register("session", lambda _address: Session([]))
    ref = system.ref("session-1")
    asked = ref.ask("held")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not ref.passivate()
    ref.tell("open")
    await asked
    assert ref.passivate()
