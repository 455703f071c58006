"""Workspaces: notes that agents of a user share, each written once, with where it comes from."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cuts import Noting, fresh_node, opened, run
from hosting import WITHIN_S
from turns import Turn, Turns, calls, delegates, results

from treadle import (
    Agent,
    ConfigError,
    FunctionModel,
    InMemoryWorkspace,
    LocalDiskWorkspace,
    Note,
    NoteRefused,
    NotFound,
    System,
    Team,
    Workflow,
    Workspace,
    tool,
)
from treadle.actors.living_plan import PlanNote
from treadle.actors.run_actor import ContinueRun
from treadle.actors.workspace_messages import Wanted
from treadle.architecture import RouterRoute
from treadle.events import workspace_rules
from treadle.events.child_step import ChildRequested
from treadle.events.envelope import Recorded
from treadle.events.workspace import NoteUpdated, NoteWritten
from treadle.gateways.node import Node
from treadle.gateways.workspace_plans import keep_plan, past_plans, recalled
from treadle.gateways.workspace_tools import tools_of

FINDING = ("note", {"title": "Load is high", "body": "db-1 is at 99 %", "kind": "finding", "tags": ["db"]})


@pytest.fixture
async def system() -> AsyncIterator[System]:
    async with System() as system:
        yield system


@pytest.fixture
def user() -> str:
    """A user whom no other test has: the journal in memory is one for the process."""
    return uuid4().hex


def slugs(notes: Sequence[Note]) -> list[str]:
    return [note.slug for note in notes]


def once(*turns: Any, **options: Any) -> Agent:
    """An agent that calls these tools one turn after the other, and answers with what the last one said."""
    return Agent(model=Turns(*(calls(*turn) for turn in turns), results).model, **options)


# --- notes, for programs ---------------------------------------------------------------------------------------------


async def test_a_note_is_read_back_with_all_its_versions(system: System) -> None:
    ws = Workspace("ops", system).of("ann").member("bob")
    first = await ws.note("Load is high", "db-1", kind="finding", tags=["db"])
    second = await ws.update(first.slug, body="db-1 and db-2", of_version=1)
    assert (first.slug, first.version, second.version) == ("load-is-high", 1, 2)
    assert await ws.read("load-is-high") == second
    assert await ws.read("load-is-high", 1) == first
    assert (second.author, second.kind, second.tags) == ("bob", "finding", ("db",))
    assert second.created_at == first.created_at <= second.updated_at


async def test_an_archived_note_is_read_and_neither_listed_nor_found(system: System) -> None:
    ws = Workspace("ops", system).of("ann")
    for title in ("Load is high", "Load is low"):
        await ws.note(title, "of db-1")
    archived = await ws.archive("load-is-high", reason="it is over")
    assert (archived.archived, archived.body) == (True, "of db-1")
    assert slugs(await ws.list()) == slugs(await ws.search("load")) == ["load-is-low"]
    assert slugs(await ws.list(archived=True)) == ["load-is-high"]
    assert len(await ws.list(archived=None)) == 2
    assert (await ws.read("load-is-high")).body == "of db-1"


async def test_lists_are_of_what_was_asked_for_and_what_changed_last_comes_first(system: System) -> None:
    ws = Workspace("ops", system).of("ann")
    await ws.member("bob").note("One", kind="finding", plan="p-1", step="1")
    await ws.member("eve").note("Two", tags=["db"])
    await ws.member("eve").update("one", body="more")
    assert slugs(await ws.list()) == ["one", "two"]
    assert slugs(await ws.list(author="eve")) == ["one", "two"]
    assert slugs(await ws.list(author="bob")) == slugs(await ws.list(kind="finding")) == ["one"]
    assert slugs(await ws.list(plan="p-1")) == ["one"]
    assert slugs(await ws.list(tag="db")) == ["two"]
    assert slugs(await ws.list(limit=1)) == ["one"]


async def test_a_question_is_open_until_it_is_answered_and_found_by_its_answer(system: System) -> None:
    ws = Workspace("ops", system).of("ann")
    asked = await ws.ask("Who owns db-1?", "It is on no list.")
    assert slugs(await ws.open_questions()) == [asked.slug]
    answered = await ws.member("bob").answer(asked.slug, "The storage team.")
    assert [(answer.origin.author, answer.text) for answer in answered.answers] == [("bob", "The storage team.")]
    assert await ws.open_questions() == []
    assert slugs(await ws.search("storage")) == [asked.slug]


async def test_lineage_says_what_a_note_builds_on_and_what_builds_on_it(system: System) -> None:
    ws = Workspace("ops", system).of("ann")
    await ws.note("Load", "high")
    await ws.note("Cause", "[[load]] is high since the deployment")
    await ws.note("Plan", "Roll back.", cites=["cause"], plan="p-1", step="2")
    lineage = await ws.lineage("cause")
    assert (lineage.cites, lineage.cited_by) == (("load",), ("plan",))
    (version,) = (await ws.lineage("plan")).versions
    assert (version.origin.plan, version.origin.step, version.origin.run_id) == ("p-1", "2", "")


async def test_a_program_that_writes_twice_under_one_id_writes_once(system: System) -> None:
    ws = Workspace("ops", system).of("ann")
    first = await ws.note("Load", "high", call_id="import-1")
    await ws.update("load", body="higher")
    assert await ws.note("Load", "high", call_id="import-1") == first
    assert len(await ws.list()) == 1


async def test_users_of_one_specification_share_nothing(system: System) -> None:
    ws = Workspace("ops", system)
    desk = system.host(once([FINDING], name="desk", workspace=ws))
    await desk.run("Go", user_id="ann")
    assert slugs(await ws.of("ann").list()) == ["load-is-high"]
    assert await ws.of("bob").list() == []
    reader = system.host(once([("search_notes", {"query": "load"})], name="reader", workspace="ops"))
    assert (await reader.run("Go", user_id="bob")).output == "[]"
    assert "load-is-high" in (await reader.run("Go", user_id="ann")).output
    events = await system.journal.read_all(limit=1000, category="workspace")
    assert {(event.stream, event.user_id) for event in events} == {("workspace-ann/ops", "ann")}


async def test_a_watcher_sees_all_there_is_and_all_that_comes(system: System) -> None:
    ws = Workspace("ops", system).of("ann")
    await ws.note("Load", "high")
    async with asyncio.timeout(WITHIN_S):
        seen = aiter(ws.watch())
        assert isinstance(await anext(seen), NoteWritten)
        coming = asyncio.ensure_future(anext(seen))
        await ws.update("load", body="low")
        assert isinstance(await coming, NoteUpdated)


async def test_notes_are_exported_as_files_that_stay_in_their_directory(system: System, tmp_path: Path) -> None:
    ws = Workspace("ops", system).of("..")
    await ws.member("../eve").note("Why?", "see [[load]]", kind="question")
    await ws.answer("why", "Because.")
    (path,) = await ws.export(tmp_path)
    assert path == tmp_path / "%2E." / "notes" / "%2E.%2Feve" / "why.md"
    assert path.read_text().startswith("# Why?\n\n- kind: question\n- author: ../eve\n- version: 1\n")
    assert path.read_text().endswith("see [[load]]\n\n## Answer of a program\n\nBecause.\n")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_two_nodes_of_one_journal_read_what_the_other_wrote_and_lose_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    journal = f"sqlite:{tmp_path}/events.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    async with System(journal=journal) as one, System(journal=journal) as two:
        here, there = (Workspace("ops", each).of("ann") for each in (one, two))
        await here.note("Count", "0")
        assert (await there.read("count")).body == "0"
        await there.update("count", body="1")
        assert (await here.read("count")).version == 2
        async with asyncio.timeout(WITHIN_S):
            written = [
                (here, there)[number % 2].note("Note", str(number), call_id=f"c-{number // 2}") for number in range(8)
            ]
            await asyncio.gather(*written)
        assert len(await here.list(archived=None)) == len(await there.list(archived=None)) == 5


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"title": 3}, r"Expected `str`, got `int` - at `\$.title`"),
        ({"title": "x", "tags": "db"}, "tags must be several texts, as a list, not str"),
        ({"title": "x", "cites": [1]}, "cites must be a str, not int"),
        ({"title": "x\ud800"}, "surrogates not allowed"),
        ({"title": "x", "body": None}, r"at `\$.body`"),
    ],
)
async def test_what_is_not_of_its_type_is_refused_and_nothing_is_written(
    system: System, arguments: Any, why: str
) -> None:
    ws = Workspace("ops", system).of("ann")
    with pytest.raises(ConfigError, match=why):
        await ws.note(**arguments)
    assert await ws.list() == []


async def test_reading_asks_for_what_can_be_there(system: System) -> None:
    ws = Workspace("ops", system).of("ann")
    await ws.note("Load", "high")
    with pytest.raises(NotFound, match="no note 'laod'; nearest: load"):
        await ws.read("laod")
    with pytest.raises(NotFound, match="no version '2 of load'; it has versions 1 to 1"):
        await ws.read("load", 2)
    for refused in (ws.read("load", 0), ws.list(limit=0), ws.search("load", limit=-1), ws.search(3)):  # type: ignore[arg-type]
        with pytest.raises(ConfigError):
            await refused
    for unknown in (ws.list(kind="weird"), ws.search("load", kind="weird")):
        with pytest.raises(NoteRefused, match="there is no kind 'weird'; kinds are finding, question"):
            await unknown
    assert await ws.search("???") == []


async def test_a_workspace_says_what_it_needs() -> None:
    with pytest.raises(ConfigError, match=r"say whose it is: Workspace\('ops', system\), or agent.workspace"):
        await Workspace("ops").list()
    with pytest.raises(ConfigError, match="1 to 100 characters, not 0"):
        Workspace("")
    with pytest.raises(ConfigError, match="workspace=3; use True, a name, or a Workspace"):
        Agent(model="echo", workspace=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="is that of user 'ann', and an agent runs for many"):
        Agent(model="echo", workspace=Workspace("ops").of("ann"))


async def test_an_agent_or_a_member_with_a_tool_of_such_a_name_is_refused() -> None:
    @tool
    def note(text: str) -> str:
        return text

    with pytest.raises(ConfigError, match="has a tool 'note' already, and a workspace brings one of that name"):
        Agent(model="echo", tools=[note], workspace=True)
    with pytest.raises(ConfigError, match="agent 'probe' has a tool 'note' already"):
        Team.supervisor({"probe": Agent(model="echo", tools=[note])}, model="echo", workspace=True)


# --- agents ----------------------------------------------------------------------------------------------------------


async def test_each_tool_does_what_it_says(user: str) -> None:
    desk = once(
        [FINDING, ("ask_question", {"question": "Since when?", "context": "db-1"})],
        [("update_note", {"slug": "load-is-high", "body": "db-1 and db-2", "version": 1})],
        [("read_note", {"slug": "load-is-high", "version": 1}), ("list_open_questions", {})],
        [("answer_question", {"slug": "since-when", "answer": "noon"}), ("list_notes", {"kind": "finding"})],
        [("archive_note", {"slug": "load-is-high", "reason": "over"}), ("search_notes", {"query": "noon"})],
        name="desk",
        workspace=True,
    )
    async with desk:
        result = await desk.run("Go", user_id=user)
        ws = desk.workspace
        assert ws is not None
        assert '"slug":"since-when"' in result.output
        notes = await ws.of(user).list(archived=None)
        assert {(note.slug, note.version, note.archived, len(note.answers)) for note in notes} == {
            ("load-is-high", 2, True, 0),
            ("since-when", 1, False, 1),
        }
        origin = (await ws.of(user).lineage("load-is-high")).versions[0].origin
        assert (origin.author, origin.run_id) == ("desk", result.run_id)
        assert origin.call_id.startswith(result.run_id)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (("read_note", {"slug": "laod"}), "no note 'laod'; the workspace has 0 notes"),
        (("note", {"title": "x", "body": "y", "kind": "rumour"}), "'finding', 'question', 'decision'"),
        (("note", {"title": "x", "body": "y" * 70_000}), "has 65536 bytes at most, this one 70000"),
        (("note", {"title": "x", "body": "y", "cites": ["z"]}), "no note 'z'"),
    ],
)
async def test_a_model_that_asks_for_what_cannot_be_is_told_why(call: Any, why: str, user: str) -> None:
    async with once([call], workspace=True) as desk:
        assert why in (await desk.run("Go", user_id=user)).output


async def test_members_of_a_team_write_under_their_roles_and_the_answer_says_what_it_cites(user: str) -> None:
    probe = Turns(calls(FINDING), "It is high: [[load-is-high]].")
    lead = Turns(
        delegates(prober="Look."),
        calls(("note", {"title": "Restart db-1", "body": "See [[load-is-high]].", "kind": "decision", "step": "2"})),
        "Restart it: [[restart-db-1]], because of [[load-is-high]].",
    )
    members = {"prober": Agent("You probe.", model=probe.model), "judge": Agent(model="echo")}
    async with Team.supervisor(members, model=lead.model, name="lead", workspace="ops") as team:
        result = await team.run("Go", user_id=user)
        assert result.cited_slugs == ("restart-db-1", "load-is-high")
        assert team.workspace is not None
        ws = team.workspace.of(user)
        assert {(note.slug, note.author) for note in await ws.list()} == {
            ("load-is-high", "prober"),
            ("restart-db-1", "lead"),
        }
        assert slugs(await ws.list(plan=result.run_id)) == ["restart-db-1"]
        assert "'ops' with judge; you write in it as 'prober'" in probe.asked[0][0].content
        assert "note" not in members["prober"].spec.tools


TEAMS: dict[str, Callable[[Agent, Agent], Agent]] = {
    "supervisor": lambda one, two: Team.supervisor(
        {"one": one}, model=Turns(delegates(one="Go"), "Done.").model, workspace="ops"
    ),
    "swarm": lambda one, two: Team.swarm({"one": one, "two": two}, "one", model="echo", workspace="ops"),
    "router": lambda one, two: Team.router(
        [RouterRoute("one", one, "all")], decider=lambda prompt, routes: "one", model="echo", workspace="ops"
    ),
    "actor_critic": lambda one, two: Team.actor_critic(one, two, max_rounds=1, model="echo", workspace="ops"),
    "debate": lambda one, two: Team.debate([one, two], rounds=1, model="echo", workspace="ops"),
    "blackboard": lambda one, two: Team.blackboard({"one": one}, max_rounds=1, model="echo", workspace="ops"),
}


@pytest.mark.parametrize("kind", TEAMS)
async def test_every_kind_of_team_hands_its_workspace_to_its_members(kind: str, user: str) -> None:
    said = Turns("I see.", "I see.", "I see.")
    one, two = Agent(model=said.model), Agent(model=FunctionModel(lambda messages, tools: '{"score": 1}'))
    async with TEAMS[kind](one, two) as team:
        await team.run("Go", user_id=user)
    assert {"note", "search_notes"} <= {tool.name for tool in said.shown[0]}
    assert "'ops'" in said.asked[0][0].content
    assert one.tools_list() == []


async def test_a_member_with_a_workspace_keeps_its_own(user: str) -> None:
    probe = Agent(model=Turns(calls(FINDING), "Done.").model, workspace="own")
    lead = Turns(delegates(prober="Look."), "Done.")
    async with Team.supervisor({"prober": probe}, model=lead.model, workspace="ops") as team:
        await team.run("Go", user_id=user)
        assert team.workspace is not None
        assert await team.workspace.of(user).list() == []
        assert len(await Workspace("own", team).of(user).list()) == 1


async def test_the_agents_and_functions_of_a_workflow_share_its_workspace(user: str) -> None:
    async def conclude(said: str) -> str:
        note = await Workspace("ops").note("Conclusion", f"{said} [[load-is-high]]", kind="summary")
        return note.slug

    probe = Agent(model=Turns(calls(FINDING), "It is high.").model, name="probe")
    async with Workflow.chain([probe, conclude], workspace="ops") as flow:
        result = await flow.run("Go", user_id=user)
        assert result.output == "conclusion"
        assert flow.workspace is not None
        notes = await flow.workspace.of(user).list()
        assert [(note.slug, note.author) for note in notes] == [("conclusion", "chain"), ("load-is-high", "probe")]
        assert notes[0].cites == ("load-is-high",)


async def test_brackets_of_an_agent_without_a_workspace_cite_nothing() -> None:
    async with Agent(model=Turns("a [[b]]").model) as desk:
        assert (await desk.run("Go")).cited_slugs == ()


async def test_a_secret_is_neither_in_a_note_nor_in_its_slug(system: System) -> None:
    secret = "sk-" + "proj-" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4"
    ws = Workspace("ops", system).of("ann")
    note = await ws.note(f"Key {secret}", f"It is {secret}.", tags=[secret])
    await ws.update(note.slug, body=f"Not {secret}")
    for event in await system.journal.read_all(limit=100):
        assert secret.encode() not in event.stored
        assert secret.lower().encode() not in event.stored
    assert await ws.search(secret[8:]) == []


# --- journals of their own -------------------------------------------------------------------------------------------


async def test_a_workspace_on_disk_outlives_the_agents_and_their_journal(tmp_path: Path) -> None:
    async with LocalDiskWorkspace(tmp_path / "notes") as ws, once([FINDING], name="desk", workspace=ws) as desk:
        await desk.run("Go", user_id="ann")
    async with LocalDiskWorkspace.open(tmp_path / "notes") as again:
        (note,) = await again.of("ann").list()
        assert (note.slug, note.author) == ("load-is-high", "desk")
    with pytest.raises(ConfigError, match="there is no workspace in"):
        LocalDiskWorkspace.open(tmp_path)


async def test_a_temporary_workspace_is_gone_when_it_is_closed() -> None:
    async with LocalDiskWorkspace.temp() as ws:
        await ws.note("Load", "high")
        assert (ws.root / "workspace.db").exists()
    assert not ws.root.exists()


async def test_workspaces_in_memory_share_nothing() -> None:
    one, two = InMemoryWorkspace(), InMemoryWorkspace()
    async with once([FINDING], workspace=one) as desk:
        await desk.run("Go")
        assert slugs(await one.list()) == ["load-is-high"]
        assert await two.list() == []


# --- plans -----------------------------------------------------------------------------------------------------------


async def test_a_plan_is_one_note_with_a_version_for_each_time_that_it_was_written(system: System) -> None:
    ws = Workspace("ops", system).of("ann").member("lead")
    for call_id, text in (("c1", "[ ] measure"), ("c1", "[ ] measure"), ("c2", "[x] measure"), ("c2", "[x] measure")):
        kept = await keep_plan(ws, goal="Free the disk", text=text, run_id="run-1", call_id=call_id)
    assert (kept.slug, kept.kind, kept.version, kept.body) == ("free-the-disk", "plan", 2, "[x] measure")
    await keep_plan(ws, goal="Free the disk", text="[ ] ask", run_id="run-2", call_id="d1")
    assert slugs(await ws.list(kind="plan", plan="run-2")) == ["free-the-disk-2"]
    large = await keep_plan(ws, goal="", text="ß" * 40_000, run_id="run-3", call_id="e1")
    assert (large.title, large.body[-2:], len(large.body.encode())) == ("Plan", "\n…", 65_536)


async def test_the_plans_of_other_runs_are_recalled_by_words(system: System) -> None:
    ws = Workspace("ops", system).of("ann")
    await keep_plan(ws, goal="Free the disk of db-1", text="1. [x] measure: logs", run_id="run-1", call_id="c1")
    await keep_plan(ws, goal="Pay the bill", text="1. [ ] pay", run_id="run-2", call_id="c2")
    await ws.note("The disk", "is no plan")
    assert slugs(await past_plans(ws, "disk", 3)) == ["free-the-disk-of-db-1"]
    assert recalled((await past_plans(ws, "logs", 1))[0])["run"] == "run-1"
    assert {made.name for made in tools_of(ws, plans=True)} - {made.name for made in tools_of(ws)} == {
        "recall_past_plans"
    }


PLAN = {"goal": "Free the disk", "steps": [{"description": "measure", "status": "doing"}, "ask"]}
DONE = {
    "steps": [
        {"description": "measure", "status": "done", "finding": "old logs fill the disk of db-1"},
        {"description": "ask", "status": "skipped"},
    ]
}


async def test_the_plan_of_a_run_is_a_note_and_what_is_written_on_the_way_belongs_to_its_step(user: str) -> None:
    probe = Turns(calls(FINDING), "It is high.")
    lead = Turns(
        calls(("plan_write", PLAN)),
        calls(("note", {"title": "Logs", "body": "are old"}), ("ask_question", {"question": "Whose?"})),
        delegates(prober="Look."),
        calls(("plan_write", DONE)),
        "It is free.",
    )
    members = {"prober": Agent(model=probe.model)}
    async with Team.supervisor(members, model=lead.model, workspace="ops", living_plan=True) as team:
        result = await team.run("Free the disk", user_id=user)
        assert team.workspace is not None
        ws = team.workspace.of(user)
        plan = await ws.read("free-the-disk")
        assert (plan.kind, plan.version, plan.versions[0].origin.plan) == ("plan", 2, result.run_id)
        assert result.plan is not None
        assert plan.body == result.plan.render()
        steps = {note.slug: note.versions[-1].origin.step for note in await ws.list(plan=result.run_id)}
        assert steps == {"free-the-disk": "", "logs": "measure", "whose": "measure", "load-is-high": "measure"}
        assert {tool.name for tool in probe.shown[0]} & {"note", "recall_past_plans"} == {"note"}

        asks = Turns(calls(("recall_past_plans", {"query": "disk"})), results)
        planner = Agent(model=asks.model, workspace="ops", living_plan={"mirror": True})
        recalled = (await planner.run("Free it again", user_id=user)).output
        assert "old logs fill the disk of db-1" in recalled
        assert result.run_id in recalled


async def test_a_plan_that_a_full_workspace_refuses_is_written_and_warned_of(
    user: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workspace_rules, "NOTES_LIMIT", 1)
    lead = Turns(calls(FINDING), calls(("plan_write", PLAN)), calls(("plan_write", DONE)), "Done.")
    async with Agent(model=lead.model, workspace="ops", living_plan=True) as agent:
        result = await agent.run("Free the disk", user_id=user)
        assert agent.workspace is not None
        assert slugs(await agent.workspace.of(user).list()) == ["load-is-high"]
    assert (result.output, result.plan and result.plan.finished) == ("Done.", True)
    warned = [entry.getMessage() for entry in caplog.records if "is not in the workspace" in entry.message]
    assert len(warned) == 2
    assert f"the plan of run {result.run_id}" in warned[0]
    assert "has 1 notes, as many as it may" in warned[0]


async def test_a_plan_is_kept_elsewhere_or_not_at_all_when_its_agent_says_so(user: str) -> None:
    kept: list[str] = []

    def keep(note: PlanNote) -> None:
        kept.append(note.plan.goal)

    said: list[dict[str, Any]] = [{"mirror": keep}, {"mirror": False, "include_recall": False}]
    for how in said:
        lead = Turns(calls(("plan_write", {**PLAN, **DONE})), "Done.")
        async with Agent(model=lead.model, workspace="ops", living_plan=how) as agent:
            await agent.run("Free the disk", user_id=user)
            assert agent.workspace is not None
            assert await agent.workspace.of(user).list() == []
            assert ("recall_past_plans" in agent.tools_list()) == ("include_recall" not in how)
    assert kept == ["Free the disk"]
    with pytest.raises(ConfigError, match="living_plan='workspace' keeps plans in a workspace, and there is none"):
        Agent(model="echo", living_plan="workspace")


# --- crashes ---------------------------------------------------------------------------------------------------------


def notetaker() -> Agent:
    """Writes through tools of the workspace and through one of its own that writes two notes."""

    @tool(idempotent=True)
    async def log(text: str) -> str:
        for part in ("first", "second"):
            await Workspace("ops").note("Log", f"{part}: {text}")
        return "logged"

    turns: list[Turn] = [
        calls(("plan_write", PLAN)),
        calls(FINDING, ("ask_question", {"question": "Why?"})),
        calls(("update_note", {"slug": "load-is-high", "body": "more"}), ("log", {"text": "it goes on"})),
        calls(("answer_question", {"slug": "why", "answer": "So."}), ("archive_note", {"slug": "load-is-high"})),
        calls(("plan_write", DONE)),
        "Done.",
    ]
    return Agent(model=Turns(*turns).model, name="taker", tools=[log], workspace="ops", living_plan=True)


async def notes_of(node: Node) -> list[Any]:
    assert node.services.workspaces is not None
    notes = await node.services.workspaces.list("alice", "ops", Wanted(archived=None), 100)
    return sorted((note.slug, note.body, note.version, note.archived, len(note.answers)) for note in notes)


def cut_where_notes_change(events: Sequence[Recorded]) -> Sequence[int]:
    """Behind each event of a workspace, before and behind it in the run that wrote it, and at the ends."""
    near = {number + step for number, event in enumerate(events) if event.category == "workspace" for step in (0, 1, 2)}
    return sorted({1, len(events), *(cut for cut in near if 0 < cut <= len(events))})


async def test_a_run_that_was_cut_anywhere_writes_each_note_once() -> None:
    journal = Noting()
    async with opened(journal) as node:
        await run(node, notetaker().spec, "Go")
        whole, events = await notes_of(node), await journal.read_all(limit=10_000)
    assert [note[0] for note in whole] == ["free-the-disk", "load-is-high", "log", "log-2", "why"]
    for cut in cut_where_notes_change(events):
        async with fresh_node(events[:cut]) as node:
            again = await run(node, notetaker().spec, "Go")
            assert again.output == "Done.", f"cut after event {cut} of {len(events)}"
            assert await notes_of(node) == whole, f"cut after event {cut} of {len(events)}"
            written = await node.journal.read_all(limit=10_000, category="workspace")
        assert len(written) == sum(event.category == "workspace" for event in events)


async def test_a_member_that_a_node_goes_on_with_by_its_name_is_in_the_workspace_again() -> None:
    def members() -> tuple[Agent, Agent]:
        probe = Agent(model=Turns(calls(FINDING), results).model, name="probe")
        lead = Turns(delegates(prober="Look."), "Done.")
        team = Team.supervisor({"prober": probe}, model=lead.model, workspace="ops", persistent_subagents=False)
        return team, probe

    journal = Noting()
    async with opened(journal) as node:
        await run(node, members()[0].spec, "Go")
        events = await journal.read_all(limit=1000)
    cut = next(number for number, event in enumerate(events) if event.category == "workspace")
    child = next(event.event.run_id for event in events if isinstance(event.event, ChildRequested))
    async with fresh_node(events[:cut]) as node:
        node.host.add(members()[1].spec)  # hosted by itself, it knows nothing of the team
        assert "load-is-high" in (await node.host.result(node.host.run(child), ContinueRun())).output
        assert node.services.workspaces is not None
        (note,) = await node.services.workspaces.list("alice", "ops", Wanted(), 10)
        assert (note.author, note.versions[0].origin.run_id) == ("prober", child)


async def test_a_note_that_is_refused_stays_refused_and_the_workspace_goes_on(system: System) -> None:
    ws = Workspace("ops", system).of("ann")
    for _ in range(2):
        with pytest.raises(NoteRefused, match="a note needs a title"):
            await ws.note(" ")
    assert (await ws.note("Load")).slug == "load"


async def test_what_a_snapshot_holds_is_the_workspace(tmp_path: Path) -> None:
    journal = f"sqlite:{tmp_path}/events.db"
    async with System(journal=journal) as system:
        ws = Workspace("ops", system).of("ann")
        await ws.note("Count", "0")
        for number in range(1, 520):
            await ws.update("count", body=str(number))
    async with System(journal=journal) as system:
        ws = Workspace("ops", system).of("ann")
        assert (await ws.read("count")).version == 520
        assert (await ws.read("count", 300)).body == "299"
        assert slugs(await ws.search("519")) == ["count"]
