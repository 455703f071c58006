"""README and docs are programs: the Python blocks of a page run in order in one fresh interpreter.

A block may await at its top level. `sh` blocks run in order too, in the same directory, with `treadle` on the PATH.
`console` blocks show what a person types around a clone; their `make` targets have to exist.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from model_servers import AiMock
from providers import FIXTURES, environment
from strict import STRICT

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_REAL_MODEL = re.compile(r'model="(gpt|claude)-')

_RUNNER = """
import ast, asyncio, inspect, sys, types
blocks = sys.stdin.read().split("\\0")
# A module of its own, so that classes, hints and pickles of a page find their names.
page = types.ModuleType("page")
sys.modules["page"] = page
with asyncio.Runner() as runner:
    for number, (line, code) in enumerate(zip(blocks[::2], blocks[1::2]), 1):
        where = f"{sys.argv[1]}, block {number}"
        compiled = compile("\\n" * int(line) + code, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if compiled.co_flags & inspect.CO_COROUTINE:
            runner.run(eval(compiled, page.__dict__))
        else:
            exec(compiled, page.__dict__)
"""


def blocks(page: Path, *languages: str) -> list[tuple[int, str]]:
    """Line and code of the blocks in these languages."""
    text = page.read_text()
    return [
        (text.count("\n", 0, found.start()) + 1, found["code"])
        for found in _BLOCK.finditer(text)
        if found["language"] in languages
    ]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """What leads the SDKs of providers to a server here."""
    with AiMock(tmp_path_factory.mktemp("aimock"), FIXTURES, "--strict") as server:
        yield environment(server)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    code = "\0".join(f"{line}\0{block}" for line, block in blocks(page, "python"))
    given: Mapping[str, str] = request.getfixturevalue("provider") if _REAL_MODEL.search(code) else {}
    if code:
        _run([sys.executable, *STRICT, "-c", _RUNNER, page.name], tmp_path, code, given)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    script = "\n".join(block for _, block in blocks(page, "sh"))
    if script:
        _run(["bash", "-euo", "pipefail", "-c", script], tmp_path, "")


def _run(command: list[str], directory: Path, given: str, more: Mapping[str, str] = {}) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"NO_COLOR": "1", "TREADLE_ROOT": str(ROOT), **more}
    done = subprocess.run(
        command, cwd=directory, input=given, capture_output=True, text=True, timeout=90, env=environment
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_every_block_says_its_language() -> None:
    unknown = {
        f"{page.name}: {found['language'] or 'none'}"
        for page in PAGES
        for found in _BLOCK.finditer(page.read_text())
        if found["language"] not in {"python", "sh", "console", "json", "toml", "text", "conf", "js", "sql"}
    }
    assert not unknown


def test_the_make_targets_of_a_page_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for _, code in blocks(page, "console"):
            assert set(re.findall(r"\bmake (\w+)", code)) <= targets, page.name


def test_every_setting_of_nats_is_explained() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    files = "\n".join(path.read_text() for path in (ROOT / "nats").glob("*.conf"))
    server = re.findall(r"^\s*(\w+)(?:\s*:(?!//)|\s*\{| \w+\.conf)", files, re.MULTILINE)
    streams = {key for path in (ROOT / "nats" / "streams").glob("*.json") for key in json.loads(path.read_text())}
    assert {"sync_interval", "routes", "include", "duplicate_window"} <= {*server, *streams}
    assert not [setting for setting in {*server, *streams} if f"`{setting}`" not in page]


def test_links_inside_the_repository_lead_somewhere() -> None:
    broken = [
        f"{page.name} -> {target}"
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken
