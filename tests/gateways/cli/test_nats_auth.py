"""`treadle nats auth`: keys are made once, kept from others, and never shown."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Invoke = Callable[..., Result]
AUTH = Path(".treadle/auth")


@pytest.fixture
def made(invoke: Invoke) -> dict[str, str]:
    """The seeds of the nodes and of alice."""
    assert invoke("nats", "auth", "init").exit_code == 0
    assert invoke("nats", "auth", "add-user", "alice").exit_code == 0
    return {path.stem: path.read_text() for path in AUTH.rglob("*.nk")}


def test_seeds_are_their_owners_alone_and_nothing_else_holds_or_shows_them(
    invoke: Invoke, made: dict[str, str]
) -> None:
    assert set(made) == {"system", "alice"}
    assert {path.stat().st_mode & 0o777 for path in AUTH.rglob("*.nk")} == {0o600}
    shown = [invoke("nats", "auth", *args).output for args in (("show",), ("init", "--json"), ("add-user", "alice"))]
    files = [path.read_text() for path in AUTH.rglob("*") if path.is_file() and path.suffix != ".nk"]
    assert not [text for text in (*shown, *files) for seed in made.values() if seed.strip() in text]


def test_asking_twice_makes_one_key_and_says_so(invoke: Invoke, made: dict[str, str]) -> None:
    before = (AUTH / "accounts.conf").read_text()
    assert "has a key already, which stays" in invoke("nats", "auth", "init").stdout
    assert json.loads(invoke("nats", "auth", "add-user", "alice", "--json").stdout)["new"] is False
    assert {path.stem: path.read_text() for path in AUTH.rglob("*.nk")} == made
    assert (AUTH / "accounts.conf").read_text() == before


def test_a_key_is_replaced_when_that_is_asked_for(invoke: Invoke, made: dict[str, str]) -> None:
    answer = json.loads(invoke("nats", "auth", "add-user", "alice", "--new-key", "--json").stdout)
    assert answer["new"] is True
    assert Path(answer["seed_file"]).read_text() != made["alice"]
    assert answer["public_key"] in (AUTH / "accounts.conf").read_text()


def test_a_key_whose_making_was_interrupted_is_taken_and_not_overwritten(invoke: Invoke, made: dict[str, str]) -> None:
    invoke("nats", "auth", "init")
    accounts = json.loads((AUTH / "accounts.json").read_text())
    public_key = accounts["tenants"].pop("alice")
    (AUTH / "accounts.json").write_text(json.dumps(accounts))
    assert json.loads(invoke("nats", "auth", "add-user", "alice", "--json").stdout)["public_key"] == public_key


def test_a_removed_user_has_no_account_and_no_seed(invoke: Invoke, made: dict[str, str]) -> None:
    assert invoke("nats", "auth", "remove-user", "alice").exit_code == 0
    assert "alice" not in (AUTH / "accounts.conf").read_text()
    assert not (AUTH / "keys/users/alice.nk").exists()
    assert "no tenant 'alice'" in invoke("nats", "auth", "remove-user", "alice").stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("add-user", ""), "a tenant needs an id"),
        (("init", "--namespace", "staging"), "holds the accounts of namespace 'treadle', not 'staging'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    invoke: Invoke, made: dict[str, str], args: tuple[str, ...], message: str
) -> None:
    done = invoke("nats", "auth", *args)
    assert done.exit_code == 1
    assert message in done.stderr


def test_without_accounts_nobody_is_added(invoke: Invoke) -> None:
    assert "`treadle nats auth init` makes them" in invoke("nats", "auth", "add-user", "alice").stderr


def test_a_worker_has_a_key_for_its_tools_and_is_listed_with_them(invoke: Invoke, made: dict[str, str]) -> None:
    answer = json.loads(invoke("nats", "auth", "add-worker", "scraper", "--tool", "fetch", "--json").stdout)
    assert Path(answer["seed_file"]).stat().st_mode & 0o777 == 0o600
    invoke("nats", "auth", "add-worker", "scraper", "--tool", "fetch", "--tool", "render")
    rows = [json.loads(line) for line in invoke("nats", "auth", "show", "--json").stdout.splitlines()]
    [worker] = [row for row in rows if row["worker"]]
    assert (worker["worker"], worker["tools"]) == ("scraper", ["fetch", "render"])
    assert worker["public_key"] == answer["public_key"]
    assert '"treadle.tool.render.>"' in (AUTH / "accounts.conf").read_text()
    assert invoke("nats", "auth", "remove-worker", "scraper").exit_code == 0
    assert answer["public_key"] not in (AUTH / "accounts.conf").read_text()
    assert "no worker 'scraper'" in invoke("nats", "auth", "remove-worker", "scraper").stderr
