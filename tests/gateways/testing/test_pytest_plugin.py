"""The pytest plugin, used as users use it: in test files of their own, against a server that is then gone."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_servers import AiMock

from treadle import Agent, Cassette

pytest_plugins = ["pytester"]

AGENTS = '''
"""Agents as a program has them: made when it is imported, with no key in sight."""

from http_model import HttpModel

from treadle import Agent, tool


@tool(read_only=True)
def weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: 21 degrees"


chat = Agent("You chat.", model=HttpModel("gpt-4o"))
forecast = Agent("You forecast.", model=HttpModel("gpt-4o"), tools=[weather])
'''

TESTS = """
import asyncio
import threading

import pytest
from house import chat, forecast


@pytest.mark.treadle_cassette
async def test_chats() -> None:
    assert (await chat.run("Hello")).output == "Hello back."


@pytest.mark.treadle_cassette
def test_forecasts_in_a_loop_of_its_own(treadle_cassette) -> None:
    result = asyncio.run(forecast.run("Weather in Oslo?"))
    assert result.output == "It is mild in Oslo."
    assert len(treadle_cassette) == 2


class TestMore:
    @pytest.mark.treadle_cassette("shared name")
    async def test_streams(self) -> None:
        texts = [event.payload["text"] async for event in chat.stream("Hello") if event.type == "model.chunk"]
        assert "".join(texts) == "Hello back."


@pytest.mark.treadle_cassette
@pytest.mark.parametrize("words", ["Hello", "Good/bye"])
async def test_each_parameter_has_a_cassette(words: str) -> None:
    assert (await chat.run(words)).output.endswith("back.")
"""

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = --strict-markers -p no:cacheprovider -p no:hypothesispytest
"""

FIXTURES: list[dict[str, Any]] = [
    {"match": {"userMessage": "Weather", "turnIndex": 0},
     "response": {"toolCalls": [{"name": "weather", "arguments": '{"city": "Oslo"}'}]}},
    {"match": {"userMessage": "Weather", "turnIndex": 1}, "response": {"content": "It is mild in Oslo."}},
    {"match": {"userMessage": "Hello"}, "response": {"content": "Hello back."}},
    {"match": {"userMessage": "Good/bye"}, "response": {"content": "Bye back."}},
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Everything that a run imports: what is imported in a test file's own session is forgotten with it."""

    async def run() -> None:
        async with Agent(model="echo") as agent:
            _ = [event async for event in agent.stream("hello")]

    with Cassette(tmp_path_factory.mktemp("loaded") / "echo.json"):
        asyncio.run(run())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AiMock]:
    with AiMock(tmp_path_factory.mktemp("aimock"), FIXTURES) as server:
        yield server


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, server: AiMock) -> Run:
    """Runs the tests of a house in a directory of their own; `online` says whether there is a server and a key."""
    pytester.syspathinsert()
    for name in ("CI", "HTTP_MODEL_KEY", "HTTP_MODEL_URL"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini(INI)
    pytester.makepyfile(house=AGENTS)

    def run(*args: str, online: bool = False) -> pytest.RunResult:
        if online:
            monkeypatch.setenv("HTTP_MODEL_KEY", "sk-secret-of-the-house")
            monkeypatch.setenv("HTTP_MODEL_URL", server.openai_url)
        else:
            monkeypatch.delenv("HTTP_MODEL_KEY", raising=False)
            monkeypatch.setenv("HTTP_MODEL_URL", "http://127.0.0.1:9")  # the discard port: nobody is there
        return pytester.runpytest_inprocess(*args)

    return run


def cassettes(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory / "cassettes")) for path in directory.rglob("cassettes/**/*.json"))


def test_what_was_recorded_is_played_without_server_and_key(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_house=TESTS)
    run(online=True).assert_outcomes(passed=5)
    recorded = cassettes(pytester.path)
    assert [name for name in recorded if "Good" not in name] == [
        "test_house/shared name.json",
        "test_house/test_chats.json",
        "test_house/test_each_parameter_has_a_cassette[Hello].json",
        "test_house/test_forecasts_in_a_loop_of_its_own.json",
    ]
    assert len(recorded) == 5
    written = {name: (pytester.path / "cassettes" / name).read_bytes() for name in recorded}
    assert not any(b"sk-secret" in text for text in written.values())
    run().assert_outcomes(passed=5)
    run("--treadle-record=none").assert_outcomes(passed=5)
    assert {name: (pytester.path / "cassettes" / name).read_bytes() for name in recorded} == written


def test_workers_side_by_side_record_and_play(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_house=TESTS)
    run("-n2", online=True).assert_outcomes(passed=5)
    run().assert_outcomes(passed=5)


def test_without_a_cassette_and_without_a_key_the_test_fails_for_the_key(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_house=TESTS)
    result = run("-k", "chats")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*set HTTP_MODEL_KEY*"])
    assert cassettes(pytester.path) == []


def test_in_ci_nothing_is_recorded(run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(test_house=TESTS)
    monkeypatch.setenv("CI", "true")
    result = run("-k", "chats", online=True)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*There is no such file; record it with*--treadle-record=once*"])
    run("-k", "chats", "--treadle-record=once", online=True).assert_outcomes(passed=1)
    run("-k", "chats").assert_outcomes(passed=1)


def test_a_changed_prompt_fails_with_the_difference_until_it_is_recorded_again(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_house=TESTS)
    run("-k", "chats", online=True).assert_outcomes(passed=1)
    pytester.makepyfile(test_house=TESTS.replace('chat.run("Hello")', 'chat.run("Hello there")'))
    result = run("-k", "chats", online=True)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- user: Hello", "*+ user: Hello there", "*--treadle-record=all*"])
    run("-k", "chats", "--treadle-record=new", online=True).assert_outcomes(passed=1)
    [path] = pytester.path.rglob("test_chats.json")
    assert len(json.loads(path.read_bytes())["calls"]) == 2
    run("-k", "chats", "--treadle-record=all", online=True).assert_outcomes(passed=1)
    assert len(json.loads(path.read_bytes())["calls"]) == 1


def test_a_test_that_swallows_the_miss_fails_all_the_same(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_house="""
        import pytest
        from house import chat
        from treadle import RunError

        @pytest.mark.treadle_cassette
        async def test_swallows():
            try:
                await chat.run("Hello")
            except RunError:
                pass
        """
    )
    result = run("--treadle-record=none")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*There is no such file*"])


def test_a_test_that_fails_leaves_no_cassette(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_house=TESTS.replace('"Hello back."', '"Something else."'))
    run("-k", "chats", online=True).assert_outcomes(failed=1)
    assert cassettes(pytester.path) == []


def test_fixtures_are_answered_from_the_cassette_too(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_house="""
        import pytest
        from house import chat

        @pytest.fixture
        async def greeting():
            yield (await chat.run("Hello")).output
            await chat.run("Good/bye")

        @pytest.mark.treadle_cassette
        async def test_greets(greeting):
            assert greeting == "Hello back."
        """
    )
    run(online=True).assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)
    [path] = pytester.path.rglob("test_greets.json")
    assert len(json.loads(path.read_bytes())["calls"]) == 2


def test_tests_without_the_mark_ask_the_model_itself(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_house=TESTS)
    run("-k", "chats", online=True).assert_outcomes(passed=1)
    pytester.makepyfile(
        test_house=TESTS.replace("@pytest.mark.treadle_cassette\nasync def test_chats", "async def test_chats")
    )
    result = run("-k", "chats")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*set HTTP_MODEL_KEY*"])


def test_two_tests_do_not_record_to_one_cassette(run: Run, pytester: pytest.Pytester) -> None:
    two = TESTS.replace("@pytest.mark.treadle_cassette\n", '@pytest.mark.treadle_cassette("one.json")\n')
    pytester.makepyfile(test_house=two)
    chosen = ("-k", "chats or parameter")
    result = run(*chosen, online=True)
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["*would record to one cassette*one.json; give each its own*"])
    run("-k", "chats", online=True).assert_outcomes(passed=1)
    assert (pytester.path / "one.json").exists()
    run("-k", "chats or Hello").assert_outcomes(passed=2)


def test_the_fixture_without_the_mark_says_what_to_do(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_house="def test_it(treadle_cassette): pass")
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*mark it with @pytest.mark.treadle_cassette*"])


def test_a_broken_cassette_is_an_error_of_the_setup(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_house=TESTS)
    (pytester.path / "cassettes" / "test_house").mkdir(parents=True)
    (pytester.path / "cassettes" / "test_house" / "test_chats.json").write_text("{}")
    result = run("-k", "chats")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*test_chats.json is no cassette*"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("record='all'", "*record= is none of its arguments; what is recorded, --treadle-record says*"),
        ("'one', 'two'", "*2 names are given ('one', 'two')*"),
        ("'one', name='two'", "*2 names are given ('one', 'two')*"),
        ("7", "*the name 7 is no text*"),
        ("match='modal'", "*match='modal'; use 'messages', 'model'*"),
    ],
)
def test_a_mark_that_means_nothing_is_refused(run: Run, pytester: pytest.Pytester, arguments: str, why: str) -> None:
    marked = f"@pytest.mark.treadle_cassette({arguments})\nasync def test_chats"
    pytester.makepyfile(test_house=TESTS.replace("@pytest.mark.treadle_cassette\nasync def test_chats", marked))
    result = run("-k", "chats")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([why])


@pytest.mark.parametrize("scope", ["class", "module", "session"])
def test_a_fixture_that_many_tests_share_asks_no_model(run: Run, pytester: pytest.Pytester, scope: str) -> None:
    pytester.makepyfile(
        test_house=f"""
        import asyncio
        import pytest
        from house import chat
        from treadle import Cassette

        @pytest.fixture(scope="{scope}")
        def greeting():
            return asyncio.run(chat.run("Hello")).output

        @pytest.fixture(scope="{scope}")
        def own():
            with Cassette("own.json"):
                return asyncio.run(chat.run("Hello")).output

        @pytest.mark.treadle_cassette
        def test_greets(greeting):
            pass

        @pytest.mark.treadle_cassette
        def test_has_its_own(own):
            assert own == "Hello back."
        """
    )
    result = run(online=True)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*fixture 'greeting' asks model 'gpt-4o', and is made once for each {scope}*"])
    run("-k", "own").assert_outcomes(passed=1)
