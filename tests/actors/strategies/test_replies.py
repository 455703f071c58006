"""What is read in models' words, and that nothing is read where there is nothing."""

from typing import Any

import pytest

from treadle.actors.strategies.replies import array_in, items_in, json_in, list_in, object_in, score_in


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ("[1, 2]", [1, 2]),
        ('Here it is:\n```json\n{"a": 1}\n```\nDone.', {"a": 1}),
        ('I think [sic] that {"a": [1]} is it.', {"a": [1]}),
        ("{" * 100 + '{"a": 1}', None),
        ("no JSON", None),
        ("", None),
        ('{"a": ', None),
        ("[" * 100_000, None),
    ],
)
def test_json_is_found_in_the_reply_in_a_block_or_in_prose(reply: str, found: Any) -> None:
    assert json_in(reply) == found


def test_an_object_is_no_array_and_an_array_no_object() -> None:
    assert (object_in("[1]"), object_in('{"a": 1}'), object_in('[{"a": 1}, {}]')) == (None, {"a": 1}, None)
    assert object_in('[{"a": 1}]') == {"a": 1}
    assert (array_in("[1]"), array_in('{"goal": 1, "steps": [2]}'), array_in('{"a": 1}')) == ([1], [2], None)


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ('{"score": 0.7}', 0.7),
        ('{"score": "7/10"}', 0.7),
        ("score: 0.7\nIt is good.", 0.7),
        ("**Score:** 0.7", 0.7),
        ("Score = 70%", 0.7),
        ("It is 7/10.", 0.7),
        ("70%", 0.7),
        ("0.7", 0.7),
        ("Well,\n0.7\n", 0.7),
        ("score: 7", 0.7),
        ("score: 70", 0.7),
        ("score: 1", 1.0),
        ("score: 0", 0.0),
        ("score: 5e-05", 0.00005),
        ("1e-1", 0.1),
        ('{"score": 5e-05}', 0.00005),
        ("score: .8", 0.8),
        ("The score is 0.8", 0.8),
        ("I would say 0.8, since it is thin.", 0.8),
        ("Score (0-1): 0.7", 0.7),
        ("On a scale from 0.0 to 1.0 it is 0.7.", 0.7),
        ('[{"score": 0.7}]', 0.7),
        ('{"score": 70}', 0.7),
        ("score: 12/10", None),
        ("score: 1.5", None),
        ("150%", None),
        ("-7/10", None),
        ("It is -0.5.", None),
        ('{"score": 1.5}', None),
        ('{"score": 101}', None),
        ('{"score": -1}', None),
        ('{"score": "-1"}', None),
        ('{"score": NaN}', None),
        ("It got 0.8 for its style and 0.2 for its facts.", None),
        ("See version 0.8.1.", None),
        ("score: 3/0", None),
        ("score: -0.5", None),
        ('{"score": true}', None),
        ('{"score": null}', None),
        ("There were 3 mistakes in 2024.", None),
        ("Splendid!", None),
        ("", None),
    ],
)
def test_a_score_is_found_in_the_forms_that_models_use_and_never_made_up(reply: str, score: float | None) -> None:
    assert score_in(reply) == (None if score is None else pytest.approx(score))


def test_items_are_those_of_a_list_or_else_the_lines() -> None:
    assert items_in("Thoughts:\n1. one\n2) two\n\n- three") == ["one", "two", "three"]
    assert items_in("one\n\n two ") == ["one", "two"]
    assert (list_in("one\ntwo"), list_in("* one")) == ([], ["one"])
