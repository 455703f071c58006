"""The mailbox: bounded, in order, from any thread."""

import threading

import pytest

from treadle.actors.runtime import Envelope, Mailbox
from treadle.actors.runtime.mailbox import stop_envelope
from treadle.events.errors import MailboxFull


class Owner:
    """Counts what a mailbox tells it."""

    def __init__(self) -> None:
        self.thread_id = threading.get_ident()
        self.arrivals = 0
        self.crossed: list[object] = []

    def arrived(self) -> None:
        self.arrivals += 1

    def cross(self, envelope: Envelope) -> None:
        self.crossed.append(envelope.message)


def test_messages_leave_in_the_order_they_came() -> None:
    mailbox = Mailbox("run-1", 10, Owner())
    for call in range(3):
        mailbox.put(Envelope(call))
    assert [mailbox.get().message for _ in range(3)] == [0, 1, 2]
    assert mailbox.empty()


def test_one_message_too_many_is_refused_and_changes_nothing() -> None:
    owner = Owner()
    mailbox = Mailbox("run-1", 2, owner)
    mailbox.put(Envelope("a"))
    mailbox.put(Envelope("b"))
    with pytest.raises(MailboxFull, match=r"run-1.*2 messages") as refused:
        mailbox.put(Envelope("c"))
    assert refused.value.capacity == 2
    assert (len(mailbox), owner.arrivals) == (2, 2)


def test_a_stop_message_fits_into_a_full_mailbox() -> None:
    mailbox = Mailbox("run-1", 0, Owner())
    mailbox.put(stop_envelope())
    assert len(mailbox) == 1


def test_what_is_put_in_front_comes_first_and_keeps_its_order() -> None:
    mailbox = Mailbox("run-1", 10, Owner())
    mailbox.put(Envelope("new"))
    mailbox.put_front([Envelope("old"), Envelope("older")])
    assert [mailbox.get().message for _ in range(3)] == ["old", "older", "new"]


def test_a_message_of_another_thread_is_handed_to_the_owner_and_not_queued_there() -> None:
    owner = Owner()
    mailbox = Mailbox("run-1", 10, owner)
    thread = threading.Thread(target=mailbox.put, args=(Envelope("far"),))
    thread.start()
    thread.join()
    assert (owner.crossed, len(mailbox)) == (["far"], 0)


def test_the_repr_tells_how_full_it_is() -> None:
    mailbox = Mailbox("run-1", 10, Owner())
    mailbox.put(Envelope("a"))
    assert repr(mailbox) == "<Mailbox run-1, 1 of 10 waiting>"
