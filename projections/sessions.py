"""Conversations: who talks with which agent, what is open, and which signals wait for their run."""

from datetime import datetime

from msgspec import Struct

from ..events.envelope import Recorded
from ..events.session import RunEnded, RunOpened, SignalParked, SignalReceived, session_key
from .projection import Projection
from .views import Table, Transaction, Where, moment, stamp


class SessionRow(Struct, frozen=True):
    """A session.

    Attributes:
        runs: How many runs it has had, the open one included.
        open_run_id: The run that has not ended; empty when there is none.
        waiting: Signals that were taken and have had no run.
        parked: Signals that were set aside.
    """

    user_id: str
    agent: str
    session_id: str
    runs: int
    open_run_id: str
    waiting: int
    parked: int
    first_at: datetime
    last_at: datetime


_SESSIONS = Table(
    "sessions",
    {
        "user_id": "TEXT NOT NULL",
        "agent": "TEXT NOT NULL",
        "session_id": "TEXT NOT NULL",
        "runs": "BIGINT NOT NULL",
        "open_run_id": "TEXT NOT NULL",
        "waiting": "BIGINT NOT NULL",
        "parked": "BIGINT NOT NULL",
        "first_at": "TEXT NOT NULL",
        "last_at": "TEXT NOT NULL",
    },
    key=("user_id", "agent", "session_id"),
    indexes=(("waiting",),),
)
_WAITING = Table(
    "session_signals",
    {"stream": "TEXT NOT NULL", "signal_id": "TEXT NOT NULL"},
    key=("stream", "signal_id"),
)


class Sessions(Projection):
    """All sessions; a session's own state is its actor's."""

    name = "sessions"
    schema = 1
    tables = (_SESSIONS, _WAITING)
    handles = frozenset(event.event_tag for event in (SignalReceived, SignalParked, RunOpened, RunEnded))

    async def list(
        self,
        *,
        user_id: str | None = None,
        agent: str | None = None,
        unfinished: bool = False,
        waiting: bool = False,
        limit: int = 100,
    ) -> list[SessionRow]:
        """Sessions, the one that spoke last first.

        Args:
            unfinished: Only those with an open run or a waiting signal.
            waiting: Only those with a waiting signal.
        """
        where = Where().equal(user_id=user_id, agent=agent)
        if unfinished:
            where.add("(open_run_id <> ? OR waiting > 0)", "")
        if waiting:
            where.add("waiting > 0")
        sql = f"SELECT {_SESSIONS.selected} FROM sessions{where.sql} ORDER BY last_at DESC, session_id LIMIT ?"
        rows = await self.read(lambda tx: tx.query(sql, (*where.params, limit)))
        return [
            SessionRow(user, name, session, runs, run, waiting, parked, moment(first), moment(last))
            for user, name, session, runs, run, waiting, parked, first, last in rows
        ]

    def apply(self, tx: Transaction, recorded: Recorded) -> None:
        event, stream = recorded.event, recorded.stream
        key = session_key(stream)
        at = stamp(recorded.at)
        tx.execute(
            f"{_SESSIONS.insert} ON CONFLICT (user_id, agent, session_id) DO UPDATE SET last_at = excluded.last_at",
            (*key, 0, "", 0, 0, at, at),
        )
        match event:
            case SignalReceived(signal):
                tx.execute(_WAITING.insert, (stream, signal.id))
                self._change(tx, key, "waiting = waiting + 1")
            case SignalParked():
                self._change(tx, key, "parked = parked + 1")
            case RunOpened(run_id, _, signal_id):
                tx.execute("DELETE FROM session_signals WHERE stream = ? AND signal_id = ?", (stream, signal_id))
                # Counted by the database: an answer that we waited for would cost a round trip for each run.
                left = "(SELECT count(*) FROM session_signals WHERE stream = ?)"
                self._change(tx, key, f"runs = runs + 1, open_run_id = ?, waiting = {left}", run_id, stream)
            case RunEnded():
                self._change(tx, key, "open_run_id = ?", "")
            case _:
                pass

    def _change(self, tx: Transaction, key: tuple[str, str, str], change: str, *values: str | int) -> None:
        sql = f"UPDATE sessions SET {change} WHERE user_id = ? AND agent = ? AND session_id = ?"
        tx.execute(sql, (*values, *key))
