"""Commands that speak to a system that runs: signal, watch, steer, approve, cancel, resume, status."""

import json
import signal
import threading
from collections.abc import Iterator

import pytest
from shell import DEADLINE_S, Shell


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with Shell(tmp_path_factory.mktemp("running")) as shell:
        shell.up()
        yield shell


def open_run(shell: Shell, session: str, state: str) -> str:
    [row] = shell.waits("runs", "--session", session, "--state", state)
    return str(row["run_id"])


def test_a_signal_is_acknowledged_by_jetstream_and_sent_once(running: Shell) -> None:
    args = ("signal", "desk", "hello", "--user", "u.1", "--session", "once", "--id", "one", "--payload", '{"a": 1}')
    [sent] = running.lines(*args)
    [again] = running.lines(*args)
    assert sent["subject"] == "treadle.signal.u=2E1.desk.once"
    assert (sent["signal_id"], sent["duplicate"], again["duplicate"]) == ("one", False, True)
    [row] = running.waits("runs", "--session", "once", "--state", "completed")
    assert '"a": 1' in row["prompt"]


@pytest.mark.parametrize("args", [(), (" ",), ("", "--payload", "{}"), ("", "--payload", "null")])
def test_a_signal_that_says_nothing_is_not_sent(running: Shell, args: tuple[str, ...]) -> None:
    done = running.run("signal", "desk", *args, "--session", "nothing", code=2)
    assert "neither a summary nor a payload" in " ".join(done.stderr.replace("│", " ").split())


def test_waiting_for_a_signal_answers_with_the_end_of_its_run(running: Shell) -> None:
    [outcome] = running.lines("signal", "desk", "hello", "--user", "alice", "--session", "waits", "--wait")
    assert (outcome["state"], outcome["output"]) == ("completed", "Echo: hello")
    told = running.run("signal", "desk", "again", "--user", "alice", "--session", "waits", "--wait").stdout
    assert "run.started" in told.splitlines()[0]
    assert "Echo: again" in told.splitlines()[-1]


def test_waiting_for_a_signal_that_was_sent_before_finds_its_run(running: Shell) -> None:
    first = running.lines("signal", "desk", "hello", "--session", "twice", "--id", "two", "--wait")
    second = running.lines("signal", "desk", "hello", "--session", "twice", "--id", "two", "--wait")
    assert first == second


def test_waiting_for_a_signal_that_cannot_be_run_says_why(running: Shell) -> None:
    done = running.run("signal", "nobody", "hello", "--session", "parked", "--wait", "--timeout", "20", code=1)
    assert "was parked: no agent 'nobody'" in done.stderr


def test_a_run_is_told_something_while_its_tool_goes_on(running: Shell) -> None:
    running.run("signal", "ops", "look first", "--session", "told")
    run = open_run(running, "told", "running")
    for _ in range(2):
        assert running.lines("steer", run, "look second", "--by", "ann", "--id", "1") == [{"run_id": run, "id": "1"}]
    for gate in ("first", "second"):
        (running.directory / gate).touch()
    told = running.run("watch", run).stdout
    assert "ann: look second" in told
    assert told.count("run.steered") == 1
    assert "The tool said: seen second" in told.splitlines()[-1]
    assert "has ended (completed)" in running.run("steer", run, "too late", code=1).stderr


def test_a_wait_that_is_given_up_says_that_the_run_goes_on(running: Shell) -> None:
    done = running.run("signal", "ops", "look patience", "--session", "slow", "--wait", "--timeout", "1", code=1)
    assert "its run has not ended within 1 s; it goes on" in done.stderr
    running.open("patience")
    running.waits("runs", "--session", "slow", "--state", "completed")


def test_watch_joins_history_and_live_events_without_a_gap_or_a_double(running: Shell) -> None:
    running.run("signal", "ops", "look door", "--user", "alice", "--session", "watched")
    run = open_run(running, "watched", "running")
    whole, tail = running.start("watch", run, "--json"), running.start("watch", run, "--after", "3", "--json")
    assert whole.stdout is not None
    first = json.loads(whole.stdout.readline())
    running.open("door")
    # Not `communicate`: it would miss what came together with the first line.
    events = [first, *(json.loads(line) for line in whole.stdout)]
    whole.communicate(timeout=DEADLINE_S)
    later = [json.loads(line) for line in tail.communicate(timeout=DEADLINE_S)[0].splitlines()]
    recorded = [event for event in events if event["version"]]
    assert [event["version"] for event in recorded] == list(range(1, len(recorded) + 1))
    assert recorded[-1]["type"] == "run.completed"
    assert [event for event in later if event["version"]] == recorded[3:]


def test_watching_a_user_tells_every_run_from_its_first_event(running: Shell) -> None:
    running.run("signal", "ops", "look curtain", "--user", "carol", "--session", "before")
    open_run(running, "before", "running")
    watching = running.start("watch", "--user", "carol", "--json")
    foreign = running.start("watch", "--user", "carol", "--agent", "desk", "--json")
    ended: dict[str, list[int]] = {}

    def follow() -> None:
        assert watching.stdout is not None
        for line in watching.stdout:
            event = json.loads(line)
            if event["version"]:
                ended.setdefault(event["run_id"], []).append(event["version"])
            if event["type"] == "run.completed" and len(ended) >= 2:
                return

    following = threading.Thread(target=follow, daemon=True)
    following.start()
    # It may not listen yet: what is told is that run which moves after it does.
    number = 0
    while len(ended) < 1:
        number += 1
        running.run("signal", "desk", "hello", "--user", "carol", "--session", f"s{number}", "--wait")
    running.open("curtain")
    following.join(DEADLINE_S)
    assert not following.is_alive()
    watching.terminate()
    watching.communicate(timeout=DEADLINE_S)
    foreign.terminate()
    out, _ = foreign.communicate(timeout=DEADLINE_S)
    agents = {event["payload"]["agent"] for event in map(json.loads, out.splitlines()) if event["version"] == 1}
    for versions in ended.values():
        assert versions == list(range(1, len(versions) + 1))
    assert agents <= {"desk"}


@pytest.mark.parametrize(("answer", "done"), [("--allow", ["restart allow"]), ("--deny", [])])
def test_a_call_waits_for_its_approval(running: Shell, answer: str, done: list[str]) -> None:
    session = answer.strip("-")
    running.run("signal", "ops", f"restart {session}", "--user", "alice", "--session", session)
    run = open_run(running, session, "waiting")
    [shown] = running.lines("show", run)
    [waiting] = shown["waiting"]
    assert waiting["tool"] == "restart"
    assert f"treadle approve {waiting['call_id']} --allow" in running.run("show", run).stdout
    named = [waiting["call_id"]] if answer == "--allow" else [run, waiting["call_id"]]
    [answered] = running.lines("approve", *named, answer, "--by", "user:dora", "--note", "fine")
    assert answered["allowed"] == (answer == "--allow")
    running.lines("watch", run)
    assert [line for line in running.ledger() if line.startswith(f"restart {session}")] == done
    [entry] = running.lines("audit", "list", "--run", run, "--action", "run.approval_decided")
    assert entry["actor"] == "user:dora"
    [error] = running.lines("approve", waiting["call_id"], "--deny" if answer == "--allow" else "--allow", code=1)
    assert error["error"]["type"] in ("RunClosed", "NothingToApprove")


def test_a_cancelled_run_ends_and_cancelling_again_says_so(running: Shell) -> None:
    running.run("signal", "ops", "look never", "--user", "alice", "--session", "stopped")
    run = open_run(running, "stopped", "running")
    [result] = running.lines("cancel", run, "--reason", "enough", "--by", "user:dora")
    assert result["state"] == "cancelled"
    assert running.lines("watch", run, code=1)[-1]["payload"]["reason"] == "enough"
    assert running.lines("cancel", run)[0]["state"] == "cancelled"
    [error] = running.lines("cancel", "nope", code=1)
    assert error["error"]["type"] == "NotFound"


def test_cancelling_what_has_ended_otherwise_fails(running: Shell) -> None:
    [outcome] = running.lines("signal", "desk", "hello", "--wait")
    done = running.run("cancel", outcome["run_id"], code=1)
    assert "had ended before: completed" in done.stderr


def test_an_ended_run_cannot_be_resumed(running: Shell) -> None:
    [outcome] = running.lines("signal", "desk", "hello", "--session", "over", "--wait")
    assert running.lines("resume", outcome["run_id"], code=1)[-1]["error"]["type"] == "RunClosed"
    assert running.lines("resume", "over", code=1)[-1]["error"]["type"] == "NotFound"


def test_a_run_that_goes_on_can_be_resumed_by_its_session(running: Shell) -> None:
    running.run("signal", "ops", "look window", "--user", "alice", "--session", "goes-on")
    run = open_run(running, "goes-on", "running")
    [answer] = running.lines("resume", "goes-on", "--no-wait")
    assert answer == {"run_id": run, "session_id": "goes-on"}
    running.open("window")
    assert running.lines("watch", run)[-1]["type"] == "run.completed"
    assert running.ledger().count("look window") == 1


def test_a_run_of_a_system_that_has_ended_is_resumed_in_this_process(shell: Shell) -> None:
    up = shell.up()
    shell.run("signal", "ops", "look gate", "--user", "alice", "--session", "night")
    run = open_run(shell, "night", "running")
    up.kill()
    shell.open("gate")
    told = shell.lines("resume", "night", "--agents", "agents.toml")
    assert told[-1]["type"] == "run.completed"
    assert "run.taken_over" in [event["type"] for event in told]
    shell.run("replay", run, "--verify")


def test_two_cannot_resume_one_run(shell: Shell) -> None:
    shell.up()
    shell.run("signal", "ops", "look gate", "--user", "alice", "--session", "night")
    run = open_run(shell, "night", "running")
    # The other one does not know of the system: it has another directory.
    [*_, error] = shell.lines(
        "resume", run, "--directory", "elsewhere", "--journal", "sqlite:treadle.db", "--agents", "agents.toml", code=1
    )
    assert error["error"]["type"] == "Owned"
    shell.open("gate")
    assert shell.lines("watch", run)[-1]["type"] == "run.completed"
    assert shell.ledger() == ["look gate"]


def test_a_reader_that_has_read_enough_ends_the_command_quietly(running: Shell) -> None:
    running.lines("signal", "desk", "hello", "--wait")
    export = running.start("events", "export")
    assert export.stdout is not None
    export.stdout.readline()
    export.stdout.close()
    assert export.stderr is not None
    said = export.stderr.read()
    assert export.wait(DEADLINE_S) in (0, 141)
    assert "Traceback" not in said
    export.stderr.close()


def test_ctrl_c_ends_a_watch_quietly(running: Shell) -> None:
    running.run("signal", "ops", "look never", "--session", "interrupted")
    watching = running.start("watch", open_run(running, "interrupted", "running"), "--json")
    assert watching.stdout is not None
    watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=DEADLINE_S)
    assert (watching.returncode, said) == (130, "")
