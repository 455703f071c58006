import asyncio
import gc
import weakref

import pytest

from treadle.actors.deadline import Deadline


@pytest.mark.parametrize("limit_s", [0.02, 1.0])
async def test_code_that_is_late_is_cut_off_and_the_deadline_says_so(limit_s: float) -> None:
    deadline = Deadline(limit_s)
    with pytest.raises(TimeoutError), deadline:
        await asyncio.Event().wait()
    assert deadline.expired


async def test_code_in_time_is_left_alone() -> None:
    for limit_s in (None, 0.5, 60.0):
        deadline = Deadline(limit_s)
        with deadline:
            await asyncio.sleep(0)
        assert not deadline.expired


async def test_a_time_out_of_the_code_itself_is_told_from_ours() -> None:
    deadline = Deadline(60.0)
    with pytest.raises(TimeoutError, match="of its own"), deadline:
        raise TimeoutError("of its own")
    assert not deadline.expired


async def test_cancelling_the_code_is_no_time_out() -> None:
    deadline = Deadline(60.0)
    entered = asyncio.Event()

    async def wait() -> None:
        with deadline:
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not deadline.expired


def test_a_loop_that_ended_in_the_middle_of_a_deadline_is_not_kept() -> None:
    async def leave() -> "weakref.ref[asyncio.AbstractEventLoop]":
        with Deadline(60.0):
            return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(leave())
    gc.collect()
    assert loop() is None
