"""What no provider would understand is refused where it is written, and not when the first run has begun."""

import math
from typing import Any

import pytest

from treadle import Agent, ConfigError, Generation
from treadle.actors.generation import options_of

WRONG: list[tuple[str, Any, str]] = [
    *(("temperature", value, "a number from 0 on") for value in ("hot", True, -0.1, math.nan, math.inf, None)),
    *(("top_p", value, "a number from 0 to 1") for value in ("0.9", False, -0.1, 1.1, math.nan)),
    *(("max_tokens", value, "a whole number, 1 or more") for value in ("300", 0, -1, 1.5, True)),
    *(("seed", value, "a whole number") for value in ("7", 7.0, True)),
    *(("stop", value, "a text that is not empty, or a sequence") for value in ("", ["END", ""], [1], {"END"}, 7)),
    *(("effort", value, "one of minimal, low") for value in ("hard", 3, ["low"])),
    *(("tool_choice", value, "auto, none, required, or the name") for value in ("", True, {"name": "stock"})),
    *(("strict_effort", value, "True or False") for value in ("yes", 1)),
    *(("parallel_tool_calls", value, "True or False") for value in ("no", 0)),
    *(("prompt_caching", value, "True or False") for value in ("1h", 1)),
    *(("extra", value, "a mapping from the names") for value in ("user", [("user", "u-17")])),
]


@pytest.mark.parametrize(("name", "value", "wanted"), WRONG)
def test_what_no_provider_would_understand_is_refused(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(ConfigError, match=f"Generation.{name}=.*; it must be {wanted}") as refused:
        Generation(**{name: value})
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 0},
        {"temperature": 1.7, "top_p": 1},
        {"max_tokens": 1, "seed": -3},
        {"effort": "max", "strict_effort": False},
        {"tool_choice": "stock", "parallel_tool_calls": False},
        {"prompt_caching": True, "extra": {"user": "u-17"}},
    ],
)
def test_what_is_given_is_passed_on_as_it_is(given: dict[str, Any]) -> None:
    assert Generation(**given).options == given


@pytest.mark.parametrize(
    ("given", "stop"), [("END", ("END",)), (["END", "STOP"], ("END", "STOP")), (("END",), ("END",)), ((), ())]
)
def test_a_single_stop_text_is_one_text_and_not_its_letters(given: Any, stop: tuple[str, ...]) -> None:
    assert Generation(stop=given).options == {"stop": stop}


def test_options_win_over_the_generation_and_keep_the_words_that_only_a_model_knows() -> None:
    told = options_of(Generation(temperature=0.2, seed=7), {"temperature": 1, "stop": "END", "top_k": 40, "seed": None})
    assert told == {"temperature": 1, "stop": ("END",), "top_k": 40, "seed": None}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"options": {"temperature": "hot"}}, "temperature='hot'.*a number from 0 on"),
        ({"options": ["temperature"]}, "options=.'temperature'.; it must be a mapping"),
        ({"generation": {"temperature": 0.2}}, "it must be a Generation"),
    ],
)
def test_an_agent_is_not_made_with_what_fails_at_its_provider(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Agent(model="echo", **how)
