"""What is printed: JSON and nothing else, or text that steers no terminal."""

import json
from datetime import UTC, datetime

import pytest

from treadle.gateways.cli.narration import line_of
from treadle.gateways.cli.output import Output, plain, text_of
from treadle.gateways.run_event import Event


def test_text_that_anybody_may_have_sent_steers_no_terminal() -> None:
    assert plain("\x1b[2Jhello\x07\x9b1m\n") == "\\x1b[2Jhello\\x07\\x9b1m\n"


def test_rows_hold_no_markup_and_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    Output().rows(["[red]x[/red] \x1b]0;owned\x07"], {"prompt": lambda text: text})
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "\x1b" not in out


def test_ids_are_whole_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Output().rows(["a" * 300], {"run": lambda text: text, "again": lambda text: text})
    assert capsys.readouterr().out.count("a" * 300) == 2


def test_json_says_nothing_but_json(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(json=True)
    out.say("for people")
    out.rows([{"run": 1}, {"run": 2}], {"run": lambda row: row})
    out.error("NotFound", "no run")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"run": 1}, {"run": 2}, {"error": {"type": "NotFound", "message": "no run"}}]


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output().error("X", "two\nlines", "a hint")
    assert capsys.readouterr().err == "error: two lines; a hint\n"


@pytest.mark.parametrize(("value", "text"), [(None, ""), (True, "yes"), (0.5, "0.5"), (1.0, "1"), (3, "3"), ("x", "x")])
def test_values_read_as_people_write_them(value: object, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(("step", "shown"), [("run_1_1-2_0", "1-2"), ("1-2", "1-2"), ("run_10_1-2_0", "run_10_1-2_0")])
def test_what_a_tool_asks_of_an_agent_belongs_to_the_step_of_the_tool(step: str, shown: str) -> None:
    line = line_of(Event(type="child.requested", run_id="run_1", version=5, payload={"step": step, "call_id": step}))
    assert line.endswith(f"child.requested       step {shown}")


def test_an_event_is_one_line_whatever_it_holds() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    payload = {"call_id": "c", "tool": "look", "args": {"text": "a\nb" * 500}, "attempt": 2}
    line = line_of(Event(type="tool.requested", run_id="r", version=4, at=at, payload=payload))
    assert "\n" not in line
    assert len(line) < 400
    assert line.endswith("attempt 2")
