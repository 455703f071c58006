"""How the five folders become one package (see CONTRIBUTING.md)."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"actors", "events", "projections", "gateways", "nats"}
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_links_packed_folders_and_name_map_name_the_same_five() -> None:
    links = {path.name for path in (ROOT / "src" / "treadle").iterdir() if path.is_symlink()}
    wheel = CONFIG["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert links == FOLDERS
    assert set(wheel["only-include"]) == FOLDERS | {"src/treadle"}
    assert wheel["sources"] == {"src/treadle": "treadle"} | {name: f"treadle/{name}" for name in FOLDERS}
    for name in FOLDERS:
        assert (ROOT / "src" / "treadle" / name).resolve() == ROOT / name
        assert (ROOT / "src" / "treadle" / name).readlink() == Path("../..") / name


def test_nats_holds_no_python() -> None:
    assert not list((ROOT / "nats").rglob("*.py"))


def test_the_root_init_has_a_docstring_and_no_code() -> None:
    text = (ROOT / "__init__.py").read_text().strip()
    assert text.startswith('"""')
    assert text.count('"""') == 2
    assert text.endswith('"""')


def test_the_four_folders_import_each_other_relatively() -> None:
    packages = (*FOLDERS - {"nats"}, "treadle")
    absolute = tuple(f"{verb} {name}{end}" for verb in ("from", "import") for name in packages for end in " .")
    strays = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text().splitlines()
        if f"{line} ".startswith(absolute)
    ]
    assert not strays


def test_every_logger_is_one_that_masks_secrets() -> None:
    """See `events/logs.py`: a filter sees the records of its own logger alone."""
    makers = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if "= logging.getLogger(" in path.read_text()
    }
    assert makers == {"events/logs.py"}


def test_every_package_folder_has_a_map() -> None:
    for folder in FOLDERS - {"nats"}:
        for path in (ROOT / folder).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), path.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_one_package_and_all_of_it(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in packed}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"treadle"}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"treadle/{path.relative_to(ROOT)}" in packed
    for path in (ROOT / "src" / "treadle" / "model").glob("*.py"):
        assert f"treadle/model/{path.name}" in packed
    assert "treadle/py.typed" in packed


def test_the_wheel_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """The dependencies are this environment's; the package is the wheel's alone."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    program = (
        "import asyncio, sys, treadle\n"
        f"assert treadle.__file__.startswith({str(tmp_path)!r}), treadle.__file__\n"
        "async def main():\n"
        "    agent = treadle.Agent('You echo.', model='echo', runtime='sqlite:./runs.db')\n"
        "    print((await agent.run('ping')).output)\n"
        "    await agent.aclose()\n"
        "asyncio.run(main())\n"
    )
    environment = {"PYTHONPATH": str(tmp_path / "installed"), "PATH": "/usr/bin:/bin"}
    for arguments in (["-c", program], ["-W", "error", "-m", "treadle", "--help"]):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout
