"""Each event loop has its own, in however many threads loops come and go."""

import asyncio
import threading

from treadle.gateways.models.per_loop import PerLoop


async def test_a_loop_gets_the_same_until_it_lets_go_of_it() -> None:
    made: PerLoop[object] = PerLoop(object)
    first = made.get()
    assert made.get() is first
    assert made.pop() is first
    assert made.pop() is None
    assert made.get() is not first


def test_a_loop_in_another_thread_may_come_while_ended_ones_are_looked_for() -> None:
    made: PerLoop[object] = PerLoop(object)
    found: list[object] = []

    async def use() -> None:
        found.append(made.get())

    beside = threading.Thread(target=lambda: asyncio.run(use()))

    class Looked(asyncio.SelectorEventLoop):
        """One that is there when it is asked whether it has ended: another thread gets its own just then, if it can."""

        looked_at = False

        def is_closed(self) -> bool:
            if self.looked_at:
                self.looked_at = False
                beside.start()
                beside.join(0.1)
            return super().is_closed()

    loop = Looked()
    loop.run_until_complete(use())
    loop.looked_at = True
    asyncio.run(use())
    beside.join()
    loop.close()
    assert len(set(map(id, found))) == 3
