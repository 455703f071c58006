"""The examples are programs that run, and the demonstration holds what it promises."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from strict import STRICT

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("[0-9][0-9]-*/main.py"))


def _run(*arguments: str, within_s: float, directory: Path) -> "subprocess.CompletedProcess[str]":
    """A program run to its end in a process group of its own, which is gone afterwards.

    Raises:
        TimeoutExpired: It is not done `within_s`.
    """
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(directory), "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=within_s)
    except BaseException:
        # Ctrl-C first: the demonstration ends its own processes then.
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        raise
    return subprocess.CompletedProcess(arguments, process.returncode, said)


@pytest.mark.parametrize("program", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_runs_to_its_end(program: Path, tmp_path: Path) -> None:
    done = _run(*STRICT, str(program), within_s=30, directory=tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_on_call_desk_survives_its_host_and_repeats_nothing(tmp_path: Path) -> None:
    done = _run("-m", "examples.oncall", within_s=60, directory=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "✗" not in done.stdout
    assert len(re.findall("^✓", done.stdout, re.MULTILINE)) >= 15, done.stdout
    assert "treadle audit verify" in done.stdout


def test_make_demo_runs_the_on_call_desk() -> None:
    recipe = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-m examples.oncall" in recipe
