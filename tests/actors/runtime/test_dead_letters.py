"""Dead letters: counted, the last ones kept with the reason, whoever asked is told."""

import logging

import pykka
import pytest

from treadle.actors.runtime import ActorDead, ActorSystem, CoroutineActor, DeadLetter, DeadLetters, Envelope
from treadle.actors.runtime.mailbox import stop_envelope


async def test_a_tell_to_nobody_is_counted_and_an_ask_gets_an_error_that_pykka_code_catches(
    system: ActorSystem,
) -> None:
    ref = system.ref("run-7")
    ref.tell("call")
    with pytest.raises(pykka.ActorDeadError, match=r"run-7.*no such actor"):
        await ref.ask("call")
    assert system.stats().dead_letters == 2
    assert system.dead_letters.last[0] == DeadLetter("run-7", "call", "no such actor")


async def test_mail_behind_a_stop_is_dead_when_nobody_can_be_woken(system: ActorSystem) -> None:
    ref = system.spawn(CoroutineActor, "run-1")
    stopped = ref.stop()
    behind = ref.ask("too late")
    assert await stopped is True
    with pytest.raises(ActorDead, match="stopped"):
        await behind


def test_only_the_last_are_kept_and_all_are_counted() -> None:
    letters = DeadLetters(kept=2)
    for call in range(5):
        letters.add("run-1", Envelope(call), "stopped")
    assert [letter.message for letter in letters.last] == [3, 4]
    assert (letters.count, letters.by_reason["stopped"]) == (5, 5)
    assert repr(letters) == "<DeadLetters 5, 2 kept>"


def test_an_observer_that_fails_does_not_keep_the_others_from_seeing(caplog: pytest.LogCaptureFixture) -> None:
    letters = DeadLetters()
    seen: list[DeadLetter] = []

    def broken(letter: DeadLetter) -> None:
        raise KeyError("observer")

    letters.observe(broken)
    forget = letters.observe(seen.append)
    with caplog.at_level(logging.ERROR):
        letters.add("run-1", Envelope("call"), "stopped")
    forget()
    letters.add("run-1", Envelope("unseen"), "stopped")
    assert [letter.message for letter in seen] == ["call"]
    assert "observer of dead letters failed" in caplog.text


def test_a_stop_message_to_nobody_is_no_dead_letter() -> None:
    letters = DeadLetters()
    reply: pykka.ThreadingFuture[bool] = pykka.ThreadingFuture()
    letters.add("run-1", stop_envelope(reply), "stopped")
    assert (letters.count, reply.get()) == (0, False)
