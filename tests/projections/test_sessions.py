from recording import NOON, after_noon, write

from treadle import RunState, RuntimeSignal
from treadle.events.session import RunEnded, RunOpened, SignalParked, SignalReceived, session_stream
from treadle.gateways.journals.memory import MemoryJournal
from treadle.projections import Projections, SessionRow, Sessions, Views

STREAM = session_stream("alice", "desk", "night/1")


def signal(signal_id: str) -> SignalReceived:
    return SignalReceived(signal=RuntimeSignal("disk full", id=signal_id))


async def test_a_session_shows_what_is_open_what_waits_and_what_was_parked(views: Views) -> None:
    journal = MemoryJournal()
    async with Projections(journal, views, [Sessions()]) as projections:
        sessions = projections.sessions
        await write(journal, STREAM, signal("s1"), signal("s2"), SignalParked(signal_id="s3", reason="no JSON"))
        await write(journal, STREAM, RunOpened(run_id="r1", prompt="disk full", signal_id="s1"), at=after_noon(1))
        await projections.catch_up(20)
        row = SessionRow("alice", "desk", "night/1", 1, "r1", 1, 1, NOON, after_noon(1))
        assert await sessions.list() == await sessions.list(unfinished=True) == [row]

        ended = [RunEnded(run_id="r1", state=RunState.COMPLETED), RunOpened(run_id="r2", prompt="x", signal_id="s2")]
        await write(journal, STREAM, *ended, RunEnded(run_id="r2", state=RunState.FAILED), at=after_noon(2))
        await projections.catch_up(20)
        assert await sessions.list(unfinished=True) == []
        [row] = await sessions.list(user_id="alice", agent="desk")
        assert (row.runs, row.open_run_id, row.waiting) == (2, "", 0)
        assert await sessions.list(user_id="bob") == []
    await journal.close()


async def test_a_prompt_without_a_signal_leaves_the_waiting_ones_waiting(views: Views) -> None:
    journal = MemoryJournal()
    async with Projections(journal, views, [Sessions()]) as projections:
        await write(journal, STREAM, signal("s1"), RunOpened(run_id="r1", prompt="hello"))
        await projections.catch_up(20)
        [row] = await projections.sessions.list()
        assert (row.waiting, row.open_run_id) == (1, "r1")
    await journal.close()
