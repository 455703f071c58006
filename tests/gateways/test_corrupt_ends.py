"""Damage that the audit never saw is found all the same: it leaves corrupt rows out, and the verification does not."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from treadle import Agent
from treadle.gateways.journals.sqlite import SqliteJournal
from treadle.gateways.read_models import open_read_models
from treadle.projections import AuditReport, Projections, verify_audit

Damage = Callable[[sqlite3.Connection], object]


async def verified(path: Path) -> AuditReport:
    journal = await SqliteJournal.open(path)
    views, kept = open_read_models(f"sqlite:{path}", path.parent)
    try:
        async with Projections(journal, views, kept) as projections:
            await projections.catch_up(20)
            return await verify_audit(journal, projections.audit)
    finally:
        await views.close()
        await journal.close()


def edit_newest(connection: sqlite3.Connection) -> None:
    connection.execute(
        "UPDATE stored_events SET state = replace(CAST(state AS TEXT), 'Echo: two', 'Echo: six') "
        "WHERE rowid = (SELECT max(rowid) FROM stored_events)"
    )


def append_junk(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO stored_events VALUES ('run-fake', 1, 'run.started', x'00')")


def append_a_copy(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO stored_events SELECT 'run-fake', 1, topic, state FROM stored_events WHERE rowid = 1"
    )


def rename_a_topic(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE stored_events SET topic = 'run.zzz' WHERE rowid = 3")


DAMAGES = [edit_newest, append_junk, append_a_copy, rename_a_topic]


def forget_views(directory: Path) -> None:
    for views in directory.glob("runs.views.db*"):
        views.unlink()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_damage_that_was_done_before_the_audit_came_by_is_located(damage: Damage, tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with Agent("You echo.", model="echo", name="desk", runtime=f"sqlite:{path}") as agent:
        for prompt in ("one", "two"):
            await agent.run(prompt)
    assert (await verified(path)).ok
    forget_views(tmp_path)
    with closing(sqlite3.connect(path)) as connection, connection:
        damage(connection)
    report = await verified(path)
    assert not report.ok
    assert any(finding.stream and finding.version and finding.position for finding in report.findings)
