"""A model that costs money, in processes that die: what was sent is charged, and what is a guess is called one."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from crash import databases
from crash.afterwards import afterwards, read
from crash.billed import BILLED, OTHERWISE, PROVIDER_URL, TEAM, answer
from crash.children import Children, Life
from crash.every_place import one_of_each_kind
from crash.provider import Asked, Provider
from postgres import PostgresServer

from treadle import Usage
from treadle.events.budget import Budget
from treadle.events.budget import evolve as spend
from treadle.events.envelope import Recorded
from treadle.events.model_step import ModelAttemptFailed, ModelCompleted, ModelRequested
from treadle.events.run import Run, evolve, run_stream

PLACES = 6
"""How many places are tried on PostgreSQL, spread over all: a database for each life takes its time."""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider(answer) as running:
        yield running


def directory(parent: Path, name: object, provider: Provider, server: PostgresServer | None = None) -> Path:
    made = databases.directory(parent, name, server) if server is not None else parent / str(name)
    made.mkdir(exist_ok=True)
    (made / PROVIDER_URL).write_text(provider.url(_account(made)))
    return made


def _account(directory: Path) -> str:
    return f"{directory.parent.name}-{directory.name}"


async def check_bill(directory: Path, provider: Provider) -> set[str]:
    """What the provider asks for is charged, a guess is marked, and all books agree; how attempts had failed."""
    events, asked = await read(directory), provider.account(_account(directory))
    charged, guessed, failures = _attempts(events)
    unpaid = [line for line in asked if (line.call_id, line.attempt) not in charged]
    assert not unpaid, f"answers that nobody was charged for: {unpaid}"
    for line in asked:
        was = charged[line.call_id, line.attempt]
        if (line.call_id, line.attempt) in guessed:
            assert (was.input_tokens, was.output_tokens) >= (line.usage.input_tokens, line.usage.output_tokens)
            assert was.cost_usd >= line.usage.cost_usd
        else:
            assert was == line.usage
    _check_not_sent(asked, charged, guessed)

    runs, budgets = _folded(events)
    total = sum(charged.values(), Usage())
    same(sum((run.usage for run in runs.values()), Usage()), total)
    same(sum((run.estimated for run in runs.values()), Usage()), sum((charged[each] for each in guessed), Usage()))
    for run in runs.values():
        assert run.closed is not None
        same(run.closed.usage, run.usage)
        for child in run.children.values():
            assert child.ended is not None
            its = runs[run_stream(child.requested.run_id)]
            same(child.ended.usage, its.usage + its.usage_of_children)
    for budget in budgets.values():
        assert budget.reserved == {}
        same(budget.used, total)
    if not guessed:
        same(total, sum((line.usage for line in asked), Usage()))
    return failures


def _check_not_sent(asked: list[Asked], charged: dict[tuple[str, int], Usage], guessed: set[tuple[str, int]]) -> None:
    """Who died before the request was sent could not tell: that is charged too, and is a guess."""
    sent = {(line.call_id, line.attempt) for line in asked}
    not_sent = charged.keys() - sent
    assert all(each in guessed or charged[each] == Usage() for each in not_sent)


def _in_between(places: list[str]) -> list[str]:
    """Those between a request and its answer, and between an answer and its append."""
    found = [place for place in places if place.startswith(("the provider has", "the answer is"))]
    assert len(found) == 4  # of two calls
    return found


def _attempts(events: list[Recorded]) -> tuple[dict[tuple[str, int], Usage], set[tuple[str, int]], set[str]]:
    """What each attempt was charged, which of that is a guess, and how they had failed."""
    charged: dict[tuple[str, int], Usage] = {}
    guessed: set[tuple[str, int]] = set()
    failures: set[str] = set()
    attempt: dict[str, int] = {}
    for recorded in events:
        match recorded.event:
            case ModelRequested() as event:
                attempt[event.call_id] = event.attempt
            case ModelCompleted() as event:
                charged[event.call_id, attempt[event.call_id]] = event.reply.usage
            case ModelAttemptFailed() as event:
                assert (event.call_id, event.attempt) not in charged, "an attempt that was charged twice"
                charged[event.call_id, event.attempt] = event.usage
                failures.add(event.kind)
                if event.estimated:
                    guessed.add((event.call_id, event.attempt))
            case _:
                pass
    return charged, guessed, failures


def _folded(events: list[Recorded]) -> tuple[dict[str, Run], dict[str, Budget]]:
    runs: dict[str, Run] = {}
    budgets: dict[str, Budget] = {}
    for recorded in events:
        if recorded.category == "run":
            evolve(runs.setdefault(recorded.stream, Run()), recorded.event)
        elif recorded.category == "budget":
            spend(budgets.setdefault(recorded.stream, Budget()), recorded.event)
    return runs, budgets


def same(one: Usage, other: Usage) -> None:
    assert (one.input_tokens, one.output_tokens) == (other.input_tokens, other.output_tokens)
    assert one.cost_usd == pytest.approx(other.cost_usd)


async def test_whatever_the_provider_was_sent_before_a_kill_is_charged(
    children: Children, tmp_path: Path, provider: Provider
) -> None:
    whole = directory(tmp_path, "whole", provider)
    report = children.live(Life(program=BILLED, directory=str(whole)))
    assert await check_bill(whole, provider) == set()
    assert len(provider.account(_account(whole))) == 2

    lost: list[str] = []
    for number, place in enumerate(report.places):
        where = directory(tmp_path, number, provider)
        assert children.die(Life(program=BILLED, directory=str(where), kill=place)), place
        resumed = children.live(Life(program=BILLED, directory=str(where), name="2", resume=True))
        await afterwards(where)
        lost += [place] if "lost" in await check_bill(where, provider) else []
        assert resumed.answers == report.answers, place
    assert set(_in_between(report.places)) <= set(lost)


async def test_so_it_is_when_the_run_is_not_gone_on_with(
    children: Children, tmp_path: Path, provider: Provider
) -> None:
    """Other words close the run that was left open."""
    whole = directory(tmp_path, "whole", provider)
    report = children.live(Life(program=BILLED, directory=str(whole)))
    given_up = 0
    for number, place in enumerate(dict.fromkeys([*report.places[::3], *_in_between(report.places)])):
        where = directory(tmp_path, number, provider)
        assert children.die(Life(program=BILLED, directory=str(where), kill=place)), place
        children.live(Life(program=OTHERWISE, directory=str(where), name="2"))
        given_up += "cancelled" in await check_bill(where, provider)
    assert given_up >= 4


async def test_a_second_kill_while_the_first_is_made_good_charges_neither_twice(
    children: Children, tmp_path: Path, provider: Provider
) -> None:
    whole = directory(tmp_path, "whole", provider)
    report = children.live(Life(program=BILLED, directory=str(whole)))
    deaths = 0
    for number, place in enumerate(report.places[::4]):
        where = directory(tmp_path, number, provider)
        assert children.die(Life(program=BILLED, directory=str(where), kill=place)), place
        second = Life(program=BILLED, directory=str(where), name="2", resume=True, kill=f"#{1 + number * 7 % 19}")
        deaths += children.die(second)
        resumed = children.live(Life(program=BILLED, directory=str(where), name="3", resume=True))
        await afterwards(where)
        await check_bill(where, provider)
        assert resumed.answers == report.answers, place
    assert deaths > 2


async def test_what_the_members_of_a_team_were_sent_is_charged_to_it_wherever_it_is_killed(
    children: Children, tmp_path: Path, provider: Provider
) -> None:
    whole = directory(tmp_path, "whole", provider)
    report = children.live(Life(program=TEAM, directory=str(whole)))
    assert await check_bill(whole, provider) == set()
    assert len(provider.account(_account(whole))) == 4

    in_between = [place for place in report.places if place.startswith("the answer is")]
    for number, place in enumerate([*in_between, *one_of_each_kind(report, Random(7))]):
        where = directory(tmp_path, number, provider)
        assert children.die(Life(program=TEAM, directory=str(where), kill=place)), place
        resumed = children.live(Life(program=TEAM, directory=str(where), name="2", resume=True))
        await afterwards(where)
        failures = await check_bill(where, provider)
        assert (place in in_between) <= ("lost" in failures), place
        assert resumed.answers == report.answers, place


async def test_whatever_the_provider_was_sent_is_charged_on_postgresql_too(
    children: Children, tmp_path: Path, provider: Provider, postgres_server: PostgresServer
) -> None:
    whole = directory(tmp_path, "whole", provider, postgres_server)
    report = children.live(Life(program=BILLED, directory=str(whole)))
    assert await check_bill(whole, provider) == set()

    spread = report.places[:: max(1, len(report.places) // PLACES)]
    in_between = _in_between(report.places)
    for number, place in enumerate(dict.fromkeys([*spread, *in_between])):
        where = directory(tmp_path, number, provider, postgres_server)
        assert children.die(Life(program=BILLED, directory=str(where), kill=place)), place
        resumed = children.live(Life(program=BILLED, directory=str(where), name="2", resume=True))
        await afterwards(where)
        failures = await check_bill(where, provider)
        assert (place in in_between) <= ("lost" in failures), place
        assert resumed.answers == report.answers, place
