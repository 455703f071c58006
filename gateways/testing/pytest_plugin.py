"""The pytest plugin: tests whose models answer from a cassette. pytest finds it where Treadle is installed.

    @pytest.mark.treadle_cassette
    async def test_tells_a_joke() -> None:
        assert "joke" in (await agent.run("Tell me a joke.")).output

The cassette stands in from before the test's fixtures until after them, and is written when the test has passed. A test
that asked for what is not on it fails, even if it caught the error. See docs/cassettes.md.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Generator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ...actors.stand_in import expect_stand_ins

if TYPE_CHECKING:
    from ...actors.model import Model
    from ..cassettes import Cassette

MARK = "treadle_cassette"
_MODES = ("none", "once", "new", "all")
_cassette = pytest.StashKey["Cassette"]()
_standing = pytest.StashKey[ExitStack]()
_on = pytest.StashKey[bool]()
"""Whether the test that runs now has a cassette."""
_passed = pytest.StashKey[bool]()
_tests = pytest.StashKey[dict[Path, list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("treadle").addoption(
        "--treadle-record",
        choices=_MODES,
        default=None,
        help="what is sent to real models by tests with a cassette: nothing (none), everything of a test that has no "
        "cassette yet (once), what is not on it (new), everything (all); default: none where CI is set, else once",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Before any test file makes an agent: those whose models are played need no provider's package.
    expect_stand_ins()
    config.addinivalue_line(
        "markers",
        f"{MARK}(name=None, *, match=('messages',)): models answer from cassettes/<module>/<test>.json, or from "
        "<name>.json there, or from the file `name` if it ends in .json, beside the test's file; match=('messages', "
        "'model') takes answers of the same model alone",
    )


def record_mode(config: pytest.Config) -> Any:
    """What `--treadle-record` says, or else where this runs."""
    given = config.getoption("--treadle-record")
    if given is not None:
        return given
    return "none" if os.environ.get("CI", "").lower() not in ("", "0", "false") else "once"


def pytest_collection_finish(session: pytest.Session) -> None:
    tests: dict[Path, list[str]] = defaultdict(list)
    for item in session.items:
        if (mark := item.get_closest_marker(MARK)) is not None:
            tests[_path(item, mark)].append(item.nodeid)
    session.config.stash[_tests] = tests


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    if (mark := item.get_closest_marker(MARK)) is not None:
        standing = item.stash[_standing] = ExitStack()
        item.stash[_passed] = False
        item.stash[_cassette] = _stand_in(item, mark, standing)
        item.config.stash[_on] = True
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    if fixturedef.scope == "function" or not request.config.stash.get(_on, False):
        return (yield)
    # It is set up for whichever test comes first, and its answers would be on that one's cassette alone.
    from ...actors.stand_in import standing_in

    with standing_in(partial(_refuse, fixturedef)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    result = yield
    if (cassette := item.stash.get(_cassette, None)) is not None:
        if cassette.misses:
            pytest.fail(f"{cassette.misses[0]}", pytrace=False)
        item.stash[_passed] = True
    return result


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    try:
        return (yield)
    finally:
        if (standing := item.stash.get(_standing, None)) is not None:
            standing.close()
            item.config.stash[_on] = False
        if item.stash.get(_passed, False):
            item.stash[_cassette].save()


@pytest.fixture
def treadle_cassette(request: pytest.FixtureRequest) -> "Cassette":
    """The cassette of this test."""
    node: pytest.Item = request.node
    if _cassette not in node.stash:
        raise pytest.UsageError(f"{node.nodeid} wants its cassette and has none; mark it with @pytest.mark.{MARK}")
    return node.stash[_cassette]


def _stand_in(item: pytest.Item, mark: pytest.Mark, standing: ExitStack) -> "Cassette":
    from ...actors.stand_in import standing_in
    from ..cassettes import Cassette

    _check(item, mark)
    path = _path(item, mark)
    cassette = Cassette(path, record_mode(item.config), mark.kwargs.get("match", ("messages",)))
    sharing = item.config.stash[_tests][path]
    if cassette.records and len(sharing) > 1:
        # The second would find the first one's file, or overwrite it: which, the order of the tests would decide.
        raise pytest.UsageError(
            f"{' and '.join(sharing)} would record to one cassette, {path}; give each its own, "
            "or record it with one of them alone"
        )
    standing.enter_context(standing_in(cassette.model))
    return cassette


def _refuse(fixture: pytest.FixtureDef[Any], model: "Model") -> "Model":
    from ..cassettes import NotOnCassette

    raise NotOnCassette(
        f"fixture {fixture.argname!r} asks model {model.name!r}, and is made once for each {fixture.scope}: the answer "
        "would be on the cassette of whichever test comes first; make it anew for each test (scope='function'), or "
        "open a Cassette in it"
    )


def _check(item: pytest.Item, mark: pytest.Mark) -> None:
    """Refuse a mark whose arguments would be passed over."""
    unknown = sorted(mark.kwargs.keys() - {"name", "match"})
    names = [*mark.args, *([mark.kwargs["name"]] if "name" in mark.kwargs else [])]
    if unknown:
        wrong = f"{unknown[0]}= is none of its arguments" + _RECORD_HINT * (unknown[0] == "record")
    elif len(names) > 1:
        wrong = f"{len(names)} names are given ({', '.join(map(repr, names))}), and a test has one cassette"
    elif names and not (names[0] is None or (isinstance(names[0], str) and names[0])):
        wrong = f"the name {names[0]!r} is no text"
    else:
        return
    raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.{MARK}(name=None, *, match=('messages',)): {wrong}")


_RECORD_HINT = "; what is recorded, --treadle-record says"


def _path(item: pytest.Item, mark: pytest.Mark) -> Path:
    name = mark.args[0] if mark.args else mark.kwargs.get("name")
    beside: Path = item.path.parent
    if name and str(name).endswith(".json"):
        return beside / str(name)
    return beside / "cassettes" / item.path.stem / f"{name or _name(item)}.json"


def _name(item: pytest.Item) -> str:
    """The test's name as a file's: what no file system takes is replaced, and told apart by a digest."""
    name = item.nodeid.partition("::")[2].replace("::", ".")
    plain = re.sub(r"[^\w.\-\[\]]", "-", name)[:120]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
