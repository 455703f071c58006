"""A query asks for what its caller asked for, and for nothing else."""

from treadle.projections.views import Where


def test_nothing_asked_for_is_no_condition() -> None:
    where = Where().equal(user_id=None, agent=None).add("position < ?", None)
    assert (where.sql, where.params) == ("", [])


def test_columns_and_bounds_are_asked_for_together_with_their_values_in_order() -> None:
    where = Where().equal(user_id="alice", agent=None, state="running").add("position < ?", 7).add("ended_at IS NULL")
    assert where.sql == " WHERE user_id = ? AND state = ? AND position < ? AND ended_at IS NULL"
    assert where.params == ["alice", "running", 7]


def test_an_empty_text_and_a_zero_are_asked_for() -> None:
    where = Where().equal(user_id="", waiting=0)
    assert (where.sql, where.params) == (" WHERE user_id = ? AND waiting = ?", ["", 0])
