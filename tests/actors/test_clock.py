"""Ids: UUIDv7, unique, and in the order in which they were made."""

import os
import threading
import time
from uuid import UUID

import pytest

from treadle.actors.clock import SystemClock


def test_ids_are_uuids_of_version_7_and_tell_when_they_were_made() -> None:
    before = time.time_ns() // 1_000_000
    made = [UUID(text) for text in SystemClock().new_ids(100)]
    after = time.time_ns() // 1_000_000
    assert {(id.version, id.variant) for id in made} == {(7, "specified in RFC 4122")}
    assert all(before <= id.int >> 80 <= after for id in made)


def test_ids_of_one_clock_sort_by_when_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_800_000_000_000_000_000)  # more than fit into a millisecond
    clock = SystemClock()
    ids = [*clock.new_ids(5000), clock.new_id(), *clock.new_ids(5000), clock.new_id()]
    assert ids == sorted(set(ids))
    assert len(ids) == 10_002


def test_a_clock_that_is_set_back_does_not_put_ids_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    first = clock.new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert clock.new_id() > first


def test_threads_never_draw_the_same_id() -> None:
    clock = SystemClock()
    drawn: list[str] = []

    def draw() -> None:
        for _ in range(200):
            drawn.extend(clock.new_ids(7))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(drawn)) == len(drawn) == 4 * 200 * 7


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_draws_none_of_its_parents_random_parts() -> None:
    clock = SystemClock()
    clock.new_id()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, "\n".join(clock.new_ids(50)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        theirs = pipe.read().split()
    ours = clock.new_ids(50)
    assert len(theirs) == 50
    assert not {id[19:] for id in theirs} & {id[19:] for id in ours}
