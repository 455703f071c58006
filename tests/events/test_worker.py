from collections.abc import Iterable
from functools import reduce

from treadle.events.event import Event
from treadle.events.run import RunState
from treadle.events.worker import KEPT_RESULTS, TaskAccepted, TaskEnded, Worker, accept, end, evolve


def fold(events: Iterable[Event]) -> Worker:
    return reduce(evolve, events, Worker())


def task(task_id: str) -> TaskAccepted:
    return TaskAccepted(task_id=task_id, run_id=f"run-of-{task_id}", prompt="Check the disk.", parent_run_id="r1")


def ended(task_id: str, state: RunState = RunState.COMPLETED) -> TaskEnded:
    return TaskEnded(task_id=task_id, state=state, output="It is full.")


def test_a_task_is_accepted() -> None:
    given = fold([])
    events = accept(task("c1"), given)
    assert events == [task("c1")]


def test_a_task_is_accepted_once() -> None:
    given = fold([task("c1")])
    events = accept(task("c1"), given)
    assert events == []


def test_a_task_that_has_ended_is_not_accepted_again() -> None:
    given = fold([task("c1"), ended("c1")])
    events = accept(task("c1"), given)
    assert events == []
    assert given.ended["c1"].output == "It is full.", "it is answered again instead"


def test_a_task_ends() -> None:
    given = fold([task("c1")])
    events = end(ended("c1"), given)
    assert events == [ended("c1")]


def test_a_task_ends_once_and_the_first_end_counts() -> None:
    given = fold([task("c1"), ended("c1")])
    events = end(ended("c1", RunState.FAILED), given)
    assert events == []
    assert given.ended["c1"].state == RunState.COMPLETED


def test_a_task_that_was_never_accepted_does_not_end() -> None:
    given = fold([])
    events = end(ended("c1"), given)
    assert events == []


def test_the_newest_results_are_kept_and_all_tasks_are_counted() -> None:
    given = fold(event for number in range(KEPT_RESULTS + 1) for event in (task(f"c{number}"), ended(f"c{number}")))
    assert (len(given.ended), len(given.open), given.total) == (KEPT_RESULTS, 0, KEPT_RESULTS + 1)
    assert "c0" not in given.ended
