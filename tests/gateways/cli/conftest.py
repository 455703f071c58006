"""A shell in an empty directory, and the command line without a process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shell import Shell
from typer.testing import CliRunner, Result

from treadle.gateways.cli.main import app


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with Shell(tmp_path) as shell:
        yield shell


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("TREADLE_JOURNAL", "TREADLE_NATS", "TREADLE_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*args: str) -> Result:
        return CliRunner().invoke(app, list(args), prog_name="treadle")

    return invoke
