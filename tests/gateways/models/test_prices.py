"""What models cost: the table, the tables laid over it, and caps on what nobody knows."""

import math
from pathlib import Path
from typing import Any

import pytest
from billed import Billed

from treadle import Agent, ConfigError, FallbackModel, Limits, Price, Usage, price_of, use_prices
from treadle.gateways.models import prices


@pytest.fixture(autouse=True)
def only_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(prices.VARIABLE, raising=False)
    monkeypatch.setattr(prices, "_given", {})


def test_a_price_charges_each_kind_of_token_as_its_own() -> None:
    price = Price(input=1.0, output=10.0, cached_input=0.1, cache_write=1.25)
    usage = Usage(1_000_000, 100_000, 1_000_000, 400_000)
    assert price.of(usage) == pytest.approx(1.0 + 1.0 + 0.1 + 0.5)
    assert Price(input=1.0, output=10.0).of(usage) == pytest.approx(1.0 + 1.0 + 1.0 + 0.4)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "deepseek", "mistral", "qwen"])
def test_the_table_has_models_of_every_common_provider(provider: str) -> None:
    models = prices.known_prices()[provider]
    assert len(models) >= 5
    assert all(0 < price.input <= price.output for price in models.values())
    assert all((price.cached_input or 0) <= price.input for price in models.values())


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-latest", "gpt-4o"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-4o-preview-05-20", "gpt-4o"),
    ],
)
def test_a_dated_name_costs_what_its_family_does(model: str, family: str) -> None:
    assert price_of("openai", model) == prices.known_prices()["openai"][family]


@pytest.mark.parametrize("model", ["gpt-4o-realtime", "gpt-4.", "gpt", "gpt-4o-12", "gpt-4omega", ""])
def test_what_is_another_model_has_no_price_of_its_neighbour(model: str) -> None:
    assert price_of("openai", model) is None
    assert price_of("nobody", "gpt-4o") is None


def test_a_dated_name_with_an_entry_of_its_own_costs_that() -> None:
    assert price_of("openai", "gpt-4o-2024-05-13") != price_of("openai", "gpt-4o")


def test_of_litellms_models_the_provider_stands_before_the_slash() -> None:
    assert price_of("litellm", "mistral/mistral-large-latest") == price_of("mistral", "mistral-large-latest")
    assert price_of("litellm", "dashscope/qwen-plus") == price_of("qwen", "qwen-plus")
    assert price_of("litellm", "gpt-4o") == price_of("openai", "gpt-4o")
    assert price_of("litellm", "groq/llama-3.3-70b") is None


def test_prices_of_ones_own_are_laid_over_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ours.toml"
    file.write_text('[openai]\n"gpt-4o" = { input = 1, output = 2.5 }\n[acme]\none = { input = 3, output = 4 }\n')
    before = price_of("openai", "gpt-4o-mini")
    monkeypatch.setenv(prices.VARIABLE, str(file))
    assert price_of("openai", "gpt-4o-2024-08-06") == Price(input=1.0, output=2.5)
    assert price_of("acme", "one") == Price(input=3.0, output=4.0)
    assert price_of("openai", "gpt-4o-mini") == before
    use_prices({"openai": {"gpt-4o": {"input": 7, "output": 8}}, "acme": {"two": Price(input=5, output=6)}})
    assert price_of("openai", "gpt-4o") == Price(input=7.0, output=8.0)
    assert [price_of("acme", "one"), price_of("acme", "two")] == [
        Price(input=3.0, output=4.0),
        Price(input=5.0, output=6.0),
    ]
    use_prices(file)
    assert price_of("openai", "gpt-4o") == Price(input=1.0, output=2.5)
    use_prices(None)
    monkeypatch.delenv(prices.VARIABLE)
    assert price_of("acme", "one") is None


@pytest.mark.parametrize("field", ["input", "output", "cached_input", "cache_write"])
@pytest.mark.parametrize("dollars", [-5, -0.01, math.nan, math.inf, "2.5"])
def test_what_is_no_price_is_refused_wherever_it_is_given(field: str, dollars: Any) -> None:
    with pytest.raises(ConfigError, match=rf"a price is (less than 0|no number): {field}="):
        Price(**{"input": 1.0, "output": 2.0, field: dollars})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[openai", "is no TOML"),
        ('openai = "cheap"', "openai is no table of models"),
        ('[openai]\n"gpt-4o" = { input = 1 }', r"openai.gpt-4o: .*missing required field `output`"),
        ('[openai]\n"gpt-4o" = { input = "1", output = 2 }', r"openai.gpt-4o: Expected `float`, got `str`"),
        ('[openai]\n"gpt-4o" = { input = 1, output = 2, inptu = 3 }', r"openai.gpt-4o: .*unknown field `inptu`"),
        ('[openai]\n"gpt-4o" = { input = 1, output = -2 }', r"openai.gpt-4o: a price is less than 0"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_its_file_and_entry(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=why) as refused:
        use_prices(file)
    assert str(file) in str(refused.value)
    with pytest.raises(ConfigError, match="No such file"):
        use_prices(tmp_path / "none.toml")


@pytest.mark.parametrize("where", ["budget", "budget_per_user"])
def test_a_cap_on_a_cost_that_nobody_knows_is_refused_with_both_ways_out(where: str) -> None:
    unknown = Billed("no-such-model")
    given: dict[str, Any] = {where: Limits(max_cost_usd=1.0)}
    for model in (unknown, FallbackModel(["echo", unknown])):
        with pytest.raises(ConfigError, match=r"'no-such-model' costs.*Price\(input=.*use_prices.*TREADLE_PRICES"):
            Agent(model=model, **given)
    assert Agent(model=Billed("no-such-model", price=Price(input=1.0, output=1.0)), **given)
    assert Agent(model="echo", **given)
    given = {where: Limits(max_tokens=5)}
    assert Agent(model=unknown, **given)
