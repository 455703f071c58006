"""The examples are programs that run, and the demonstration holds what it promises."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from model_servers import AiMock
from providers import FIXTURES, environment
from strict import STRICT

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("[0-9][0-9]-*/main.py"))


def _asks_a_provider(program: Path) -> bool:
    return "_API_KEY" in program.read_text()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """What leads the SDKs of providers to a server here."""
    with AiMock(tmp_path_factory.mktemp("aimock"), FIXTURES, "--strict") as server:
        yield environment(server)


def _run(
    *arguments: str, within_s: float, directory: Path, given: Mapping[str, str] = {}
) -> "subprocess.CompletedProcess[str]":
    """A program run to its end in a process group of its own, which is gone afterwards.

    Args:
        given: Laid over the environment; no key of a provider is in it otherwise.
    Raises:
        TimeoutExpired: It is not done `within_s`.
    """
    without_keys = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**without_keys, "TMPDIR": str(directory), "COLUMNS": "160", **given},
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
def test_an_example_runs_to_its_end(program: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    given: Mapping[str, str] = request.getfixturevalue("provider") if _asks_a_provider(program) else {}
    done = _run(*STRICT, str(program), within_s=30, directory=tmp_path, given=given)
    assert done.returncode == 0, done.stdout


def test_an_example_without_the_key_of_its_provider_says_which_it_is(tmp_path: Path) -> None:
    done = _run(*STRICT, "examples/05-openai/main.py", within_s=30, directory=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "set OPENAI_API_KEY" in done.stdout


def test_the_on_call_desk_survives_its_host_and_repeats_nothing(tmp_path: Path) -> None:
    done = _run("-m", "examples.oncall", within_s=60, directory=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "✗" not in done.stdout
    assert len(re.findall("^✓", done.stdout, re.MULTILINE)) >= 15, done.stdout
    assert "treadle audit verify" in done.stdout


def test_a_night_at_the_desk_is_written_up_by_a_model_when_there_is_a_key(
    tmp_path: Path, provider: Mapping[str, str]
) -> None:
    program = (
        "from pathlib import Path; from rich.console import Console; from examples.oncall import report\n"
        f"report.write(Console(), report.Place(Path({str(tmp_path)!r}), 0, 0), 'kills: 2')"
    )
    written = _run("-c", program, within_s=30, directory=tmp_path, given=provider)
    assert (written.returncode, "by claude-haiku-4-5" in written.stdout) == (0, True), written.stdout
    assert re.search(r"All quiet, and every promise held\.\s+\(\d+\.\d{4} USD\)", written.stdout), written.stdout
    refused = _run("-c", program, within_s=30, directory=tmp_path, given={"ONCALL_MODEL": "no-such-model"})
    assert "it was not written: nobody is known to have a model 'no-such-model'" in refused.stdout
    silent = _run("-c", program, within_s=30, directory=tmp_path)
    assert (silent.returncode, silent.stdout) == (0, "")


def test_make_demo_runs_the_on_call_desk() -> None:
    recipe = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-m examples.oncall" in recipe
