"""Commands that look: at a journal whose system has ended, and each with `--json`."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from treadle import (
    Agent,
    FunctionModel,
    Limits,
    Memory,
    Message,
    ModelReply,
    System,
    ToolCall,
    Usage,
    Workspace,
    delegate,
    tool,
)
from treadle.gateways.journals.sqlite_recorder import EVENTS

Invoke = Callable[..., Result]


@tool(read_only=True)
async def disk_usage(path: str) -> str:
    """How full the disk is."""
    return f"{path} is 91 % full"


def rules(messages: Sequence[Message], tools: object) -> ModelReply:
    """Measure and delegate at once, then answer."""
    if messages[-1].role == "tool":
        return ModelReply("clean up", usage=Usage(9, 1))
    calls = ToolCall("1", "disk_usage", {"path": "/"}), ToolCall("2", "delegate_to_prober", {"prompt": "probe"})
    return ModelReply(tool_calls=calls, usage=Usage(100, 10, cost_usd=0.5))


async def record(directory: Path) -> None:
    """A desk that measures and delegates, for alice; an echo for bob; what alice's memory holds."""
    desk = Agent(model=FunctionModel(rules), tools=[disk_usage, delegate("prober")], budget=Limits(max_tokens=100_000))
    async with System(journal=f"sqlite:{directory / 'treadle.db'}") as system:
        system.host(Agent(model="echo"), "prober")
        system.host(desk, "desk")
        await desk.run("what fills the disk?", user_id="alice", session_id="night")
        await system.host(Agent(model="echo"), "echo").run("hello", user_id="bob")
        memory = Memory(system)
        notes = Workspace("ops", system).of("alice").member("desk")
        await notes.note("The disk is full", "of [old] logs\x1b", kind="question", plan="p-1", step="2")
        await notes.update("the-disk-is-full", body="of old logs")
        await notes.answer("the-disk-is-full", "Delete them.")
        await notes.note("Over", "long ago")
        await notes.archive("over")
        await system.projections.catch_up()
        await memory.add_fact(
            "db-1", "runs", "PostgreSQL 16", user_id="alice", valid_from=datetime(2025, 1, 1, tzinfo=UTC)
        )
        await memory.add_fact(
            "db-1", "runs", "PostgreSQL 17", user_id="alice", valid_from=datetime(2026, 1, 1, tzinfo=UTC)
        )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory: Path = tmp_path_factory.mktemp("recorded")
    asyncio.run(record(directory))
    return directory


@pytest.fixture
def look(recorded: Path, tmp_path: Path, invoke: Invoke) -> Callable[..., list[dict[str, Any]]]:
    """What a command says with `--json` of a copy of the recorded journal."""
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)

    def look(*args: str, code: int = 0) -> list[dict[str, Any]]:
        done = invoke(*args, "--json")
        assert done.exit_code == code, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]

    return look


Look = Callable[..., list[dict[str, Any]]]


def run_of(look: Look, agent: str) -> str:
    [row] = look("runs", "--agent", agent)
    return str(row["run_id"])


EVERYTHING = [
    ("runs",),
    ("facts", "--user", "alice"),
    ("notes",),
    ("notes", "the-disk-is-full", "--user", "alice", "--workspace", "ops"),
    ("budget",),
    ("audit", "verify"),
    ("audit", "list"),
    ("projection", "list"),
    ("projection", "rebuild"),
    ("events", "export"),
]


@pytest.mark.parametrize("args", EVERYTHING, ids=" ".join)
def test_every_answer_is_lines_of_json_and_nothing_else(args: tuple[str, ...], look: Look) -> None:
    assert look(*args)


@pytest.mark.parametrize("args", EVERYTHING[:-1], ids=" ".join)
def test_every_answer_can_be_read_by_people(args: tuple[str, ...], look: Look, invoke: Invoke) -> None:
    done = invoke(*args)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip()
    assert "{" not in done.stdout.splitlines()[0]


def test_runs_are_picked_by_all_that_is_given(look: Look) -> None:
    assert [row["agent"] for row in look("runs")] == ["echo", "prober", "desk"]
    assert [row["agent"] for row in look("runs", "--user", "alice", "--session", "night", "--state", "completed")] == [
        "desk"
    ]
    assert [row["agent"] for row in look("runs", "--limit", "1")] == ["echo"]
    assert [row["agent"] for row in look("runs", "--parent", run_of(look, "desk"))] == ["prober"]
    assert look("runs", "--state", "failed") == []


def test_views_that_are_behind_catch_up_first(look: Look, tmp_path: Path) -> None:
    for views in tmp_path.glob("treadle.views.db*"):
        views.unlink()
    assert len(look("runs")) == 3


def test_show_has_every_call_with_its_outcome_and_the_children(look: Look, invoke: Invoke) -> None:
    [shown] = look("show", run_of(look, "desk"))
    assert [(step["kind"], step["name"], step["outcome"]) for step in shown["steps"]] == [
        ("model", "", "completed"),
        ("tool", "disk_usage", "completed"),
        ("tool", "delegate_to_prober", "completed"),
        ("model", "", "completed"),
    ]
    assert all(step["duration_ms"] >= 0 for step in shown["steps"])
    assert [child["agent"] for child in shown["children"]] == ["prober"]
    assert shown["run"]["output"] == "clean up"
    text = invoke("show", run_of(look, "desk")).stdout
    assert 'disk_usage(path="/")' in text
    assert "/ is 91 % full" in text


def test_show_draws_a_run_with_its_children_into_a_file(look: Look, tmp_path: Path) -> None:
    look("show", run_of(look, "desk"), "--graph", str(tmp_path / "run.svg"))
    drawn = (tmp_path / "run.svg").read_text()
    assert all(name in drawn for name in ("desk", "disk_usage", "prober", "echo", "$0.5000"))


def test_replay_prints_what_is_stored_and_folds_up_to_a_version(look: Look) -> None:
    run = run_of(look, "desk")
    events = look("replay", run)
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    assert look("replay", run, "--after", "3") == events[3:]
    [early] = look("replay", run, "--at", "1")
    [late] = look("replay", run, "--at", str(len(events)))
    assert (early["state"], late["state"]) == ("running", "completed")
    assert look("replay", run, "--at", "999", code=1)[0]["error"]["type"] == "NotFound"


def test_replay_verifies_the_chain_and_the_projection(look: Look, tmp_path: Path) -> None:
    run = run_of(look, "desk")
    [verified] = look("replay", run, "--verify")
    assert verified["ok"]
    with sqlite3.connect(tmp_path / "treadle.views.db") as connection:
        connection.execute("UPDATE runs SET turns = 7 WHERE run_id = ?", (run,))
    connection.close()
    [wrong] = look("replay", run, "--verify", code=1)
    assert wrong["error"]["type"] == "Differs"
    assert "projection shows 7" in wrong["error"]["message"]
    look("projection", "rebuild", "runs")
    look("replay", run, "--verify")


def test_watch_follows_the_journal_when_no_system_runs(look: Look) -> None:
    run = run_of(look, "desk")
    events = look("watch", run)
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["type"], events[0]["kind"], events[-1]["type"]) == ("run.started", "started", "run.completed")
    assert look("watch", run, "--after", "3") == events[3:]
    assert look("watch", run, "--after", str(len(events))) == []
    assert look("watch", "nope", code=1)[0]["error"]["type"] == "NotFound"


def test_watch_follows_the_children_of_a_run_too(look: Look) -> None:
    desk, prober = run_of(look, "desk"), run_of(look, "prober")
    events = look("watch", desk, "--children")
    for run, alone in ((desk, look("watch", desk)), (prober, look("watch", prober))):
        assert [event["version"] for event in events if event["run_id"] == run] == [each["version"] for each in alone]
    [began] = [event for event in events if (event["run_id"], event["type"]) == (prober, "run.started")]
    assert (began["depth"], began["parent_run_id"], began["role"]) == (1, desk, "prober")
    assert (events[-1]["run_id"], events[-1]["type"]) == (desk, "run.completed")


def test_notes_are_listed_by_where_they_come_from_and_one_is_shown_with_its_lineage(look: Look, invoke: Invoke) -> None:
    def listed(*args: str) -> list[str]:
        return [note["slug"] for note in look("notes", *args)]

    assert listed("--user", "alice") == listed("--plan", "p-1", "--kind", "question") == ["the-disk-is-full"]
    assert listed("--archived") == ["over"]
    assert listed("--user", "bob") == listed("--run", "r-1") == listed("--workspace", "other") == []
    [shown] = look("notes", "the-disk-is-full", "--user", "alice", "--workspace", "ops")
    assert [(each["version"], each["body"], each["plan"]) for each in shown["versions"]] == [
        (1, "of [old] logs\x1b", "p-1"),
        (2, "of old logs", ""),
    ]
    assert [each["text"] for each in shown["answers"]] == ["Delete them."]
    done = invoke("notes", "the-disk-is-full", "--user", "alice", "--workspace", "ops")
    assert "of old logs" in done.stdout
    assert "Answer of desk: Delete them." in done.stdout
    assert "there is no kind 'weird'; kinds are finding" in invoke("notes", "--kind", "weird").output
    missing = invoke("notes", "the-disk-is-full")
    assert missing.exit_code == 1
    assert "no note 'the-disk-is-full'; in workspace 'default' of user ''" in missing.output


def test_facts_hold_at_a_time_and_were_believed_at_another(look: Look) -> None:
    def objects(*args: str) -> list[str]:
        return [fact["object"] for fact in look("facts", "--user", "alice", *args)]

    assert objects() == ["PostgreSQL 16", "PostgreSQL 17"]
    assert objects("--valid-at", "2025-06-01") == ["PostgreSQL 16"]
    assert objects("--valid-at", "2026-01-01T00:00:00Z") == ["PostgreSQL 17"]
    assert objects("--as-of", "2001-01-01") == []
    assert objects("--subject", "db-2") == []
    assert objects("--history") == ["PostgreSQL 16", "PostgreSQL 16", "PostgreSQL 17"]
    assert look("facts", "--user", "bob") == []


def test_a_time_that_is_none_is_wrong_usage(look: Look, invoke: Invoke) -> None:
    done = invoke("facts", "--as-of", "yesterday")
    assert done.exit_code == 2
    assert "write 2026-01-31" in done.stderr


def test_budget_sums_usage_and_shows_the_caps(look: Look) -> None:
    [found] = look("budget", "--by", "user_id", "--user", "alice", "--agent", "desk")
    [usage] = found["usage"]
    assert (usage["user_id"], usage["calls"], usage["input_tokens"], usage["cost_usd"]) == ("alice", 2, 109, 0.5)
    [scope] = found["scopes"]
    assert (scope["used_tokens"], scope["limits"]["max_tokens"]) == (123, 100_000)  # with what it had delegated


def test_events_are_exported_as_they_are_stored(look: Look, tmp_path: Path, invoke: Invoke) -> None:
    events = look("events", "export")
    with sqlite3.connect(tmp_path / "treadle.db") as connection:
        [(count,)] = connection.execute(f"SELECT count(*) FROM {EVENTS}")
    connection.close()
    assert len(events) == count
    run = run_of(look, "desk")
    assert look("events", "export", "--stream", f"run-{run}") == look("replay", run)
    assert {event["stream"].partition("-")[0] for event in look("events", "export", "--category", "memory")} == {
        "memory"
    }
    assert {event["user_id"] for event in look("events", "export", "--user", "bob")} == {"bob"}
    [written] = look("events", "export", "-o", "events.jsonl")
    assert written["events"] == len((tmp_path / "events.jsonl").read_bytes().splitlines()) == len(events)
    assert invoke("events", "export", "-o", "events.jsonl").exit_code == 1


def damage(directory: Path, version: int) -> None:
    """Edit one event of the desk's run in the journal."""
    with sqlite3.connect(directory / "treadle.db") as connection:
        changed = connection.execute(
            f"UPDATE {EVENTS} SET state = replace(state, '91 %', '19 %') WHERE topic = 'run.tool_completed' "
            "AND originator_version = ?",
            (version,),
        ).rowcount
        assert changed == 1
    connection.close()


def test_an_edited_event_is_found_and_located_and_the_rest_is_exported(look: Look, tmp_path: Path) -> None:
    run = run_of(look, "desk")
    [version] = [
        event["version"]
        for event in look("replay", run)
        if event["type"] == "run.tool_completed" and "91 %" in str(event["data"])
    ]
    count = len(look("events", "export"))
    damage(tmp_path, version)
    [report] = look("audit", "verify", code=1)
    assert not report["ok"]
    [finding] = report["findings"]
    assert (finding["damage"], finding["stream"], finding["version"]) == ("edited", f"run-{run}", version)
    *rest, error = look("events", "export", code=1)
    assert (len(rest), error["error"]["type"]) == (count - 1, "Damaged")
    *rest, error = look("events", "export", "--stream", f"run-{run}", code=1)
    assert version not in [event["version"] for event in rest]
    assert rest[-1]["type"] == "run.completed"
    [error] = look("replay", run, code=1)
    assert f"event {version} of stream 'run-{run}'" in error["error"]["message"]


def test_a_cut_journal_is_found(look: Look, tmp_path: Path) -> None:
    assert look("audit", "verify")[0]["signed"]
    with sqlite3.connect(tmp_path / "treadle.db") as connection:
        connection.execute(f"DELETE FROM {EVENTS} WHERE rowid > (SELECT max(rowid) - 3 FROM {EVENTS})")
    connection.close()
    [report] = look("audit", "verify", code=1)
    assert "truncated" in {finding["damage"] for finding in report["findings"]}


def test_an_export_of_the_audit_is_verified_by_its_key_alone(look: Look, tmp_path: Path) -> None:
    [written] = look("audit", "export", "audit.jsonl")
    assert look("audit", "verify", "--export", "audit.jsonl")[0]["ok"]
    path, key = tmp_path / "audit.jsonl", written["public_key"]
    for kept in tmp_path.glob("treadle.*"):
        if kept.is_file():
            kept.unlink()
    [report] = look("audit", "verify", "--export", "audit.jsonl", "--public-key", key)
    assert (report["ok"], report["entries"]) == (True, written["entries"])
    path.write_bytes(path.read_bytes().replace(b"user:alice", b"user:mallory", 1))
    [report] = look("audit", "verify", "--export", "audit.jsonl", "--public-key", key, code=1)
    assert report["findings"][0]["damage"] == "edited"


def test_the_audit_lists_who_did_what(look: Look) -> None:
    run = run_of(look, "desk")
    entries = look("audit", "list", "--run", run, "--actor", "agent:desk")
    assert entries
    assert {entry["actor"] for entry in entries} == {"agent:desk"}
    [started] = look("audit", "list", "--run", run, "--action", "run.started")
    assert started["actor"] == "user:alice"
    assert look("audit", "list", "--after", "9999") == []


def test_a_rebuilt_projection_has_the_same_state(look: Look) -> None:
    before = {row["name"]: row["state_hash"] for row in look("projection", "list")}
    after = {row["name"]: row["state_hash"] for row in look("projection", "rebuild")}
    assert after == before
    assert look("projection", "rebuild", "nope", code=1)[0]["error"]["type"] == "NotFound"


def test_status_says_that_nothing_runs(look: Look) -> None:
    [status] = look("status", code=1)
    assert (status["running"], status["open_runs"]) == (False, 0)
