"""Interest finds what `matches` would find, and forgets what was removed."""

from hypothesis import given
from hypothesis import strategies as st

from treadle.events.subjects import matches
from treadle.gateways.buses.interest import Interest

tokens = st.sampled_from(["run", "1", "2", "live"])
subjects = st.lists(tokens, min_size=1, max_size=5).map(".".join)


def joined(head: list[str], tail: list[str]) -> str:
    return ".".join([*head, *tail]) or ">"


patterns = st.builds(
    joined,
    st.lists(st.one_of(tokens, st.just("*")), max_size=4),
    st.sampled_from([[], [">"]]),
)


@given(patterns=st.lists(patterns, max_size=12), subject=subjects, removed=st.sets(st.integers(0, 11)))
def test_interest_finds_what_matches_in_the_order_it_came(patterns: list[str], subject: str, removed: set[int]) -> None:
    interest: Interest[int] = Interest()
    removals = [interest.add(pattern, number) for number, pattern in enumerate(patterns)]
    gone = {number for number in removed if number < len(patterns)}
    for number in gone:
        removals[number]()
        removals[number]()
    kept = [(number, pattern) for number, pattern in enumerate(patterns) if number not in gone]
    assert interest.find(subject) == [number for number, pattern in kept if matches(pattern, subject)]


def test_nothing_is_left_of_an_interest_that_was_removed() -> None:
    interest: Interest[int] = Interest()
    for pattern in ("run.1", "run.*.live", "run.>"):
        interest.add(pattern, 1)()
    assert vars(interest)["_exact"] == {}
    assert vars(interest)["_patterns"].bare
