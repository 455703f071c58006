"""`treadle prices`: the table as it is used."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Invoke = Callable[..., Result]


def test_the_table_is_listed_as_it_is_used_here(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(
        '[acme]\none = { input = 3, output = 4.5, cached_input = 0.3 }\n[openai]\n"gpt-4o" = { input = 1, output = 2 }'
    )
    monkeypatch.setenv("TREADLE_PRICES", str(file))
    rows = [json.loads(line) for line in invoke("prices", "--json").stdout.splitlines()]
    assert {
        "provider": "acme",
        "model": "one",
        "input": 3.0,
        "cached_input": 0.3,
        "cache_write": 3.0,
        "output": 4.5,
    } in rows
    assert {row["input"] for row in rows if row["model"] == "gpt-4o"} == {1.0}
    assert {row["provider"] for row in rows} > {"openai", "anthropic", "gemini"}
    acme = invoke("prices", "acme").stdout
    assert ("0.3" in acme, "openai" in acme) == (True, False)
    assert "no provider 'nobody'" in invoke("prices", "nobody").stdout


def test_a_table_that_is_wrong_is_an_error_that_names_it(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_PRICES", "/no/such/prices.toml")
    failed = invoke("prices")
    assert failed.exit_code == 1
    assert "/no/such/prices.toml: No such file" in failed.stderr
