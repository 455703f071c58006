"""How visits are called among the steps: no two the same, and readable again."""

from hypothesis import given
from hypothesis import strategies as st

from treadle.actors.workflow.names import visit_in, visit_name

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(NAMES, st.integers(1, 10_000))
def test_a_step_tells_the_visit_that_it_belongs_to(node: str, number: int) -> None:
    name = visit_name(node, number)
    assert not set(name) & {"_", "-"}
    assert visit_in(f"{name}-1") == (node, number)
    assert visit_in(f"{name}-3-17-2") == (node, number)


def test_steps_of_no_visit_tell_none() -> None:
    assert [visit_in(step) for step in ("1", "first-2", "start-1", "result-1", "memory")] == [None] * 5
