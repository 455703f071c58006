"""All commands: help, usage, exit codes, and what they load."""

import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Callable

import pytest
import typer
from typer.testing import Result

from treadle.gateways.cli.main import COMMANDS

Invoke = Callable[..., Result]

HEAVY = ("eventsourcing", "pykka", "nats", "sqlite3", "cryptography", "treadle.actors", "treadle.projections")


def test_the_module_prints_help_and_succeeds_with_warnings_as_errors() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-m", "treadle"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_help_loads_no_command() -> None:
    program = (
        "import sys\nfrom treadle.gateways.cli.main import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\nassert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_a_command_is_the_first_line_of_its_help(name: str, invoke: Invoke) -> None:
    module = importlib.import_module(f"treadle.gateways.cli.{name}")
    command = typer.main.get_command(module.app)
    assert inspect.cleandoc(command.help or "").splitlines()[0] == COMMANDS[name]
    assert invoke(name, "--help").exit_code == 0


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in COMMANDS
        if name not in ("audit", "events", "journal", "nats", "postgres", "projection", "timers")
    ],
)
def test_every_command_has_json(name: str, invoke: Invoke) -> None:
    module = importlib.import_module(f"treadle.gateways.cli.{name}")
    command = typer.main.get_command(module.app)
    assert {"json", "debug", "journal", "nats", "directory", "namespace"} <= {each.name for each in command.params}


@pytest.mark.parametrize(
    "args", [("rnus",), ("runs", "--state", "nope"), ("approve", "x"), ("signal", "desk"), ("watch",)]
)
def test_wrong_usage_is_one_line_and_exit_code_2(args: tuple[str, ...], invoke: Invoke) -> None:
    done = invoke(*args)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_wrong_usage_is_an_object_with_json(invoke: Invoke) -> None:
    done = invoke("runs", "--limit", "0", "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["type"] == "UsageError"


def test_a_misspelt_command_is_told_what_was_meant(invoke: Invoke) -> None:
    assert "Did you mean 'runs'" in invoke("rnus").stderr


def test_an_error_is_one_line_and_exit_code_1(invoke: Invoke) -> None:
    done = invoke("runs")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: there is no journal './treadle.db'; `treadle up` makes one")
    assert done.stderr.count("\n") == 1


def test_an_error_is_an_object_with_json(invoke: Invoke) -> None:
    done = invoke("show", "x", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"]["type"] == "ConfigError"


def test_debug_shows_where_an_error_comes_from(invoke: Invoke) -> None:
    done = invoke("runs", "--debug")
    assert type(done.exception).__name__ == "ConfigError"


def test_a_namespace_that_is_no_token_is_wrong_usage(invoke: Invoke) -> None:
    done = invoke("runs", "--namespace", "a.b")
    assert done.exit_code == 2
    assert "'a.b' must be one token" in done.stderr


@pytest.mark.parametrize(
    "command", [("signal", "desk", "hi"), ("cancel", "x"), ("steer", "x", "hi"), ("approve", "x", "--allow")]
)
def test_a_command_that_needs_a_system_says_how_to_start_one(command: tuple[str, ...], invoke: Invoke) -> None:
    done = invoke(*command)
    assert done.exit_code == 1
    assert "no system runs in '.treadle'; start one with `treadle up`" in done.stderr


def test_the_version_is_that_of_the_package(invoke: Invoke) -> None:
    assert invoke("--version").stdout.strip() == "0.1.0"
