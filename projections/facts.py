"""Facts with two times: when a claim was true in the world, and when we believed it.

A row is a belief: "from `recorded_from` until `recorded_until` we held that `subject` `predicate` `object` from
`valid_from` until `valid_until`". A belief is never edited. Whatever changes our mind ends it, by its `recorded_until`,
and records another beside it; so what we believed on any day can be asked on any later day.

What is believed follows from the claims that have not been retracted:

- a claim holds from its `valid_from` until its `valid_until`, or until the next claim of the same subject and
  predicate with another object begins, whichever is first;
- of two that begin at the same time, the one that was asserted later holds;
- so an older claim that comes in late ends where the newer one begins, and retracting a claim gives back to the one
  before it the time that it took.
"""

from datetime import datetime

import msgspec
from msgspec import Struct

from ..events.envelope import Recorded
from ..events.memory import CATEGORY, FactAsserted, FactRetracted
from .projection import Projection
from .views import Row, Table, Transaction, Where, moment, stamp


class Belief(Struct, frozen=True):
    """A claim as it was believed.

    Attributes:
        valid_until: None while it is true until further notice.
        recorded_until: None while it is believed.
    """

    fact_id: str
    user_id: str
    subject: str
    predicate: str
    object: str
    confidence: float
    sources: tuple[str, ...]
    valid_from: datetime
    valid_until: datetime | None
    recorded_from: datetime
    recorded_until: datetime | None


_CLAIMS = Table(
    "fact_claims",
    {
        "position": "BIGINT NOT NULL",
        "fact_id": "TEXT NOT NULL",
        "user_id": "TEXT NOT NULL",
        "subject": "TEXT NOT NULL",
        "predicate": "TEXT NOT NULL",
        "object": "TEXT NOT NULL",
        "confidence": "DOUBLE PRECISION NOT NULL",
        "sources": "TEXT NOT NULL",
        "valid_from": "TEXT NOT NULL",
        "claimed_until": "TEXT",
        "retracted": "BIGINT NOT NULL",
    },
    key=("position",),
    indexes=(("user_id", "fact_id"), ("user_id", "subject", "predicate", "valid_from")),
)
_BELIEFS = Table(
    "fact_beliefs",
    {
        "belief": "BIGINT NOT NULL",
        "claim": "BIGINT NOT NULL",
        "user_id": "TEXT NOT NULL",
        "subject": "TEXT NOT NULL",
        "predicate": "TEXT NOT NULL",
        "valid_from": "TEXT NOT NULL",
        "valid_until": "TEXT",
        "recorded_from": "TEXT NOT NULL",
        "recorded_until": "TEXT",
    },
    key=("belief",),
    indexes=(("claim", "recorded_until"), ("user_id", "subject", "predicate", "recorded_until")),
)
_CLOCKS = Table(
    "fact_clocks",
    {"user_id": "TEXT NOT NULL", "recorded_at": "TEXT NOT NULL"},
    key=("user_id",),
)


class Facts(Projection):
    """Claims, what was believed because of them, and when."""

    name = "facts"
    schema = 1
    tables = (_CLAIMS, _BELIEFS, _CLOCKS)
    handles = frozenset({FactAsserted.event_tag, FactRetracted.event_tag})

    # --- queries -----------------------------------------------------------------------------------------------------

    async def query(
        self,
        user_id: str,
        subject: str | None = None,
        predicate: str | None = None,
        *,
        valid_at: datetime | None = None,
        as_of: datetime | None = None,
        limit: int = 1000,
    ) -> list[Belief]:
        """What we believed at `as_of` about the state of the world at `valid_at`.

        Args:
            valid_at: Only claims that hold at this time; None for all times, in order.
            as_of: The day to ask on; None for what is believed now.
        """
        where = _about(user_id, subject, predicate)
        if valid_at is not None:
            where.add("b.valid_from <= ?", stamp(valid_at))
            where.add("(b.valid_until IS NULL OR b.valid_until > ?)", stamp(valid_at))
        if as_of is not None:
            where.add("b.recorded_from <= ?", stamp(as_of))
            where.add("(b.recorded_until IS NULL OR b.recorded_until > ?)", stamp(as_of))
        else:
            where.add("b.recorded_until IS NULL")
        return await self._beliefs(where, "b.subject, b.predicate, b.valid_from, b.belief", limit)

    async def history(
        self, user_id: str, subject: str | None = None, predicate: str | None = None, *, limit: int = 1000
    ) -> list[Belief]:
        """Everything that was ever believed, in the order in which it was."""
        return await self._beliefs(_about(user_id, subject, predicate), "b.belief", limit)

    async def _beliefs(self, where: Where, order: str, limit: int) -> list[Belief]:
        sql = (
            "SELECT c.fact_id, c.user_id, c.subject, c.predicate, c.object, c.confidence, c.sources, "
            "b.valid_from, b.valid_until, b.recorded_from, b.recorded_until "
            f"FROM fact_beliefs b JOIN fact_claims c ON c.position = b.claim{where.sql} ORDER BY {order} LIMIT ?"
        )
        return await self.read(lambda tx: [_belief(row) for row in tx.query(sql, (*where.params, limit))])

    # --- fold --------------------------------------------------------------------------------------------------------

    def apply(self, tx: Transaction, recorded: Recorded) -> None:
        if recorded.category != CATEGORY:
            return
        event = recorded.event
        user_id = recorded.stream.partition("-")[2]
        match event:
            case FactAsserted():
                self._assert(tx, event, user_id, recorded.position, _recorded_at(tx, user_id, recorded.at))
            case FactRetracted():
                self._retract(tx, event, user_id, _recorded_at(tx, user_id, recorded.at))
            case _:
                pass  # of a newer schema: kept in the journal, folded once this Treadle knows it

    def _assert(self, tx: Transaction, fact: FactAsserted, user_id: str, position: int, now: str) -> None:
        begins = stamp(fact.valid_from)
        until = None if fact.valid_until is None else stamp(fact.valid_until)
        about = (user_id, fact.subject, fact.predicate)
        tx.execute(
            _CLAIMS.insert,
            (
                position,
                fact.fact_id,
                *about,
                fact.object,
                fact.confidence,
                msgspec.json.encode(fact.sources).decode(),
                begins,
                until,
                0,
            ),
        )
        touched = tx.query(
            "SELECT b.claim FROM fact_beliefs b JOIN fact_claims c ON c.position = b.claim "
            "WHERE b.user_id = ? AND b.subject = ? AND b.predicate = ? AND b.recorded_until IS NULL "
            "AND c.object <> ? AND b.valid_from <= ? AND (b.valid_until IS NULL OR b.valid_until > ?) ORDER BY b.claim",
            (*about, fact.object, begins, begins),
        )
        for (claim,) in [*touched, (position,)]:
            _believe(tx, claim, now)

    def _retract(self, tx: Transaction, retracted: FactRetracted, user_id: str, now: str) -> None:
        withdrawn = tx.query(
            "SELECT position, subject, predicate, object, valid_from FROM fact_claims "
            "WHERE user_id = ? AND fact_id = ? AND retracted = 0 ORDER BY position",
            (user_id, retracted.fact_id),
        )
        tx.execute(
            "UPDATE fact_claims SET retracted = 1 WHERE user_id = ? AND fact_id = ?", (user_id, retracted.fact_id)
        )
        for position, subject, predicate, object, begins in withdrawn:
            _believe(tx, position, now)
            # Claims that ended where this one began; one that began there too has no belief at the moment.
            given_back = tx.query(
                "SELECT c.position FROM fact_claims c LEFT JOIN fact_beliefs b "
                "ON b.claim = c.position AND b.recorded_until IS NULL "
                "WHERE c.user_id = ? AND c.subject = ? AND c.predicate = ? AND c.object <> ? AND c.retracted = 0 "
                "AND c.valid_from <= ? AND (b.valid_until = ? OR (b.claim IS NULL AND c.valid_from = ?)) "
                "ORDER BY c.position",
                (user_id, subject, predicate, object, begins, begins, begins),
            )
            for (claim,) in given_back:
                _believe(tx, claim, now)


def _recorded_at(tx: Transaction, user_id: str, at: datetime) -> str:
    """When this was recorded; a clock that was put back does not put the partition's memory back."""
    known = tx.query("SELECT recorded_at FROM fact_clocks WHERE user_id = ?", (user_id,))
    now = max(stamp(at), known[0][0]) if known else stamp(at)
    tx.execute(
        f"{_CLOCKS.insert} ON CONFLICT (user_id) DO UPDATE SET recorded_at = excluded.recorded_at", (user_id, now)
    )
    return now


def _believe(tx: Transaction, claim: int, now: str) -> None:
    """Bring the belief in a claim up to what the claims beside it say now."""
    rows = tx.query(
        "SELECT user_id, subject, predicate, object, valid_from, claimed_until, retracted "
        "FROM fact_claims WHERE position = ?",
        (claim,),
    )
    user_id, subject, predicate, object, begins, until, retracted = rows[0]
    following = tx.query(
        "SELECT valid_from FROM fact_claims "
        "WHERE user_id = ? AND subject = ? AND predicate = ? AND retracted = 0 AND object <> ? "
        "AND valid_from >= ? AND (valid_from > ? OR position > ?) ORDER BY valid_from LIMIT 1",
        (user_id, subject, predicate, object, begins, begins, claim),
    )
    if following and (until is None or following[0][0] < until):
        until = following[0][0]
    held = not retracted and (until is None or until > begins)
    current = tx.query(
        "SELECT belief, valid_until FROM fact_beliefs WHERE claim = ? AND recorded_until IS NULL", (claim,)
    )
    if current and held and current[0][1] == until:
        return
    if current:
        tx.execute("UPDATE fact_beliefs SET recorded_until = ? WHERE belief = ?", (now, current[0][0]))
    if held:
        number = tx.query("SELECT coalesce(max(belief), 0) + 1 FROM fact_beliefs")[0][0]
        tx.execute(_BELIEFS.insert, (number, claim, user_id, subject, predicate, begins, until, now, None))


def _about(user_id: str, subject: str | None, predicate: str | None) -> Where:
    return Where().add("b.user_id = ?", user_id).add("b.subject = ?", subject).add("b.predicate = ?", predicate)


def _belief(row: Row) -> Belief:
    fact_id, user_id, subject, predicate, object, confidence, sources, *times = row
    valid_from, valid_until, recorded_from, recorded_until = times
    return Belief(
        fact_id,
        user_id,
        subject,
        predicate,
        object,
        confidence,
        msgspec.json.decode(sources, type=tuple[str, ...]),
        moment(valid_from),
        _moment_or_none(valid_until),
        moment(recorded_from),
        _moment_or_none(recorded_until),
    )


def _moment_or_none(text: str | None) -> datetime | None:
    return None if text is None else moment(text)
