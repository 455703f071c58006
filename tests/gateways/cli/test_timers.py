"""`treadle timers`: set, listed and cancelled from a shell."""

from collections.abc import Iterator

import pytest
from shell import Shell


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with Shell(tmp_path_factory.mktemp("running")) as shell:
        shell.up()
        yield shell


def test_a_timer_is_set_listed_and_cancelled(running: Shell) -> None:
    args = ("--every", "0 9 * * mon-fri", "--zone", "Europe/Berlin", "--user", "alice", "--id", "report")
    [added] = running.lines("timers", "add", "desk", "Write the report", *args, "--payload", '{"a": 1}')
    assert (added["schedule"], added["zone"], added["at"]) == ("0 0 9 * * mon-fri", "Europe/Berlin", None)
    [listed] = running.lines("timers")
    assert {**listed, "set_at": None} == added
    assert listed == running.lines("timers", "list")[0]
    assert listed["signal"]["payload"] == {"a": 1}
    shown = running.run("timers").stdout
    assert "0 0 9 * * mon-fri Europe/Berlin" in shown
    assert running.lines("timers", "cancel", "report") == [{"id": "report", "cancelled": True}]
    assert running.lines("timers") == []
    assert "no timer 'report'" in running.run("timers", "cancel", "report", code=1).stderr


def test_a_timer_that_fires_leads_to_a_run(running: Shell) -> None:
    running.run("timers", "add", "desk", "hello", "--after", "0.3", "--session", "later")
    [row] = running.waits("runs", "--session", "later", "--state", "completed")
    assert row["prompt"].startswith("hello\n\ntype: scheduled_job\nsource: cron")


@pytest.mark.parametrize(
    ("args", "said", "code"),
    [
        (("desk", "x"), "--after SECONDS, --at TIME, --every PATTERN", 2),
        (("desk", "x", "--after", "1", "--every", "60"), "say when: one of", 2),
        (("desk", "x", "--after", "1", "--zone", "UTC"), "--zone 'UTC' is for --every", 2),
        (("desk", "x", "--at", "noon"), "--at 'noon' is no time", 2),
        (("desk", "x", "--after", "1", "--payload", "{"), "--payload is no JSON", 2),
        (("desk", "x", "--at", "2020-01-01"), "2020-01-01T00:00:00+00:00 is past", 1),
        (("desk", "x", "--every", "0 9 * *"), "'0 9 * *' has 4 fields", 1),
        (("desk", "x", "--every", "0.5"), "0.5 s is not possible", 1),
        (("nobody", "x", "--every", "60"), "no agent 'nobody'", 1),
    ],
)
def test_a_timer_that_cannot_be_is_refused_in_one_line(
    running: Shell, args: tuple[str, ...], said: str, code: int
) -> None:
    done = running.run("timers", "add", *args, code=code)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert running.lines("timers") == []
