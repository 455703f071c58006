"""The same where processes share a database and a broker, and no memory and no disk (L4, L9, L10, A10, A14)."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from crash.afterwards import afterwards
from crash.children import Children, Life
from crash.databases import directory
from crash.ledger import Ledger
from crash.programs import LEDGER
from hosting import WITHIN_S, calling, namespace, node, outsider
from known_failures.agents import asks, once
from msgspec import structs
from postgres import PostgresServer
from waiting import until

from treadle import (
    Agent,
    FunctionModel,
    Limits,
    Message,
    ModelReply,
    Run,
    RunState,
    ToolSpec,
    Usage,
    current_call,
    delegate,
    tool,
)
from treadle.events.run import RunStarted
from treadle.gateways.broker.server import EmbeddedServer


async def test_a_crash_and_two_resumes_on_other_machines_make_one_payment(
    children: Children, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """L4"""
    shared = directory(tmp_path, "shared", postgres_server)
    assert children.die(Life(program="plain", directory=str(shared), kill="before effect of post 1"))
    both = [
        Life(program="plain", directory=str(shared), name=name, resume=True, barrier="door", together=2)
        for name in "ab"
    ]
    pids = [children.start(life) for life in both]
    reports = [children.report(life, children.wait(pid)) for life, pid in zip(both, pids, strict=True)]

    assert any(report.answers for report in reports)
    payments = Ledger(shared / LEDGER).effects()
    assert len(payments) == len({payment.call_id for payment in payments}) == 2
    await afterwards(shared)


async def test_two_machines_that_prompt_one_session_run_one_prompt_after_the_other(
    nats_server: EmbeddedServer, postgres_url: str
) -> None:
    """L4"""
    going: list[str] = []

    @tool
    async def post() -> str:
        """Post it."""
        going.append("begins")
        await asyncio.sleep(0.05)
        going.append("ends")
        return "posted"

    ns, ours, theirs = namespace(), *(Agent("Post.", model=calling("post"), name="desk", tools=[post]) for _ in "ab")
    async with node(nats_server, postgres_url, ns, ours), node(nats_server, postgres_url, ns, theirs):
        agents = (ours, theirs)
        results = await asyncio.gather(
            *(agents[number % 2].run(f"prompt {number}", session_id="s", user_id="alice") for number in range(6))
        )
        assert [result.state for result in results] == [RunState.COMPLETED] * 6
        assert going == ["begins", "ends"] * 6
        history = await ours.session("s", user_id="alice").history()
        assert len(history) == 12


async def test_a_delegated_task_whose_machine_died_is_continued_by_another(
    nats_server: EmbeddedServer, postgres_url: str
) -> None:
    """L9"""
    effects: list[str] = []
    stuck = asyncio.Event()

    @tool
    async def measure() -> str:
        """Measure."""
        effects.append(current_call().call_id)
        return "42"

    @tool(read_only=True)
    async def think() -> str:
        """Think about it."""
        if not stuck.is_set():
            stuck.set()
            await asyncio.Event().wait()
        return "thought"

    def in_turn(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply | str:
        said = [message.content for message in messages if message.role == "tool"]
        return asks(("measure", "think")[len(said)]) if len(said) < 2 else " | ".join(said)

    def expert() -> Agent:
        return Agent("Measure.", model=FunctionModel(in_turn), name="expert", tools=[measure, think])

    ns = namespace()
    boss = Agent("Ask.", model=calling("delegate_to_expert", prompt="measure"), name="boss", tools=[delegate("expert")])
    async with node(nats_server, postgres_url, ns, boss) as one:
        async with node(nats_server, postgres_url, ns, expert(), worker=True):
            asking = asyncio.create_task(boss.run("go", session_id="s", user_id="alice"))
            await asyncio.wait_for(stuck.wait(), WITHIN_S)
        async with node(nats_server, postgres_url, ns, expert(), worker=True):
            async with asyncio.timeout(2 * WITHIN_S):
                assert (await asking).output == "42 | thought"
        await one.projections.catch_up()
        runs = await one.projections.runs.list()
        assert sorted((run.agent, run.state) for run in runs) == [
            ("boss", RunState.COMPLETED),
            ("expert", RunState.COMPLETED),
        ]
    assert len(effects) == 1


async def test_what_a_worker_on_another_machine_spends_is_stopped_by_the_budget_of_who_led_to_it(
    nats_server: EmbeddedServer, postgres_url: str
) -> None:
    """A10"""
    asked = 0

    @tool(read_only=True)
    def measure() -> str:
        """Measure once more."""
        return "not yet"

    def never_ends(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        nonlocal asked
        asked += 1
        return structs.replace(asks("measure"), usage=Usage(300, 100))

    ns, limits = namespace(), Limits(max_tokens=2000)
    expert = Agent(model=FunctionModel(never_ends), name="expert", tools=[measure], options={"max_tokens": 500})
    lead, asks_expert = calling("delegate_to_expert", prompt="measure"), delegate("expert")
    boss = Agent(model=lead, name="boss", tools=[asks_expert], budget=limits, options={"max_tokens": 10})
    async with node(nats_server, postgres_url, ns, boss), node(nats_server, postgres_url, ns, expert, worker=True):
        async with asyncio.timeout(2 * WITHIN_S):
            result = await boss.run("go", user_id="alice")

    assert "worker 'expert' ended interrupted: budget:max_tokens" in result.output
    assert (asked, result.total_tokens) == (4, 4 * 400)


async def test_machines_whose_agents_lead_each_other_in_a_circle_come_to_its_end(
    nats_server: EmbeddedServer, postgres_url: str
) -> None:
    """A10"""

    def leads(name: str, other: str) -> Agent:
        return Agent(model=calling(f"delegate_to_{other}", prompt="you do it"), name=name, tools=[delegate(other)])

    ns, ping, pong = namespace(), leads("ping", "pong"), leads("pong", "ping")
    async with node(nats_server, postgres_url, ns, ping, worker=True) as one:
        async with node(nats_server, postgres_url, ns, pong, worker=True):
            async with asyncio.timeout(2 * WITHIN_S):
                result = await ping.run("go", user_id="alice")
        runs = [each.event for each in await one.journal.read_all(limit=10_000) if isinstance(each.event, RunStarted)]

    assert "may not delegate further; is this a circle?" in result.output
    assert [(run.agent, run.depth) for run in runs] == [(("ping", "pong")[depth % 2], depth) for depth in range(9)]


async def test_a_signal_that_came_while_no_machine_was_there_is_run_by_the_next(
    nats_server: EmbeddedServer, postgres_url: str
) -> None:
    """L10"""
    ns = namespace()
    async with node(nats_server, postgres_url, ns, Agent("Watch.", model="echo", name="desk")):
        pass  # the streams are laid, and nobody is there any more
    async with outsider(nats_server.url, ns) as client:
        await client.signal("alice.desk.s", {"summary": "The disk is full."})
    async with node(nats_server, postgres_url, ns, Agent("Watch.", model="echo", name="desk")) as system:
        signals = system.signals
        assert signals is not None
        await until(lambda: signals.done == 1, WITHIN_S)
        await system.projections.catch_up()
        [run] = await system.projections.runs.list()
        assert (run.state, "The disk is full." in run.prompt) == (RunState.COMPLETED, True)


async def test_an_approval_outlives_its_machine_and_is_given_on_another(
    nats_server: EmbeddedServer, postgres_url: str
) -> None:
    """L10"""
    wiped: list[str] = []

    @tool(destructive=True)
    def wipe() -> str:
        """Delete the account."""
        wiped.append(current_call().call_id)
        return "wiped"

    def cleaner() -> Agent:
        return Agent("Clean.", model=once("wipe"), name="desk", tools=[wipe], approval_handler="wait")

    ns, first, second = namespace(), cleaner(), cleaner()
    async with node(nats_server, postgres_url, ns, first):
        result = await first.run("Clean up.", session_id="s", user_id="alice")
        (question,) = result.waiting_for
    async with node(nats_server, postgres_url, ns, second) as system:
        run = Run(system.node, result.run_id)
        await run.approve(question.call_id, by="alice")
        ended = await run.wait()
        assert (ended.state, ended.output, wiped) == (RunState.COMPLETED, "wiped", [question.call_id])


async def test_four_machines_that_write_one_journal_leave_it_whole(
    children: Children, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """A14"""
    shared = directory(tmp_path, "shared", postgres_server)
    lives = [
        Life(program="prompts", directory=str(shared), name=user, user=user, barrier="door", together=4)
        for user in ("alice", "bob", "carol", "dave")
    ]
    pids = [children.start(life) for life in lives]
    reports = [children.report(life, children.wait(pid)) for life, pid in zip(lives, pids, strict=True)]

    assert all(len(report.answers) == 3 for report in reports)
    story = await afterwards(shared)
    assert sum(stream.startswith("run-") for stream in story) == 12


async def test_the_events_of_a_run_that_another_machine_cancelled_end(
    nats_server: EmbeddedServer, postgres_url: str
) -> None:
    """A14"""
    begun = asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        begun.set()
        await asyncio.Event().wait()
        return "never"

    ns, ours, theirs = namespace(), *(Agent("Wait.", model=once("wait"), name="desk", tools=[wait]) for _ in "ab")
    async with node(nats_server, postgres_url, ns, ours) as one, node(nats_server, postgres_url, ns, theirs):
        run = await theirs.session("s", user_id="alice").start("Wait.")
        await asyncio.wait_for(begun.wait(), WITHIN_S)
        watched: list[str] = []

        async def watch() -> None:
            async for event in one.watch(run.id):
                watched.append(event.type)

        watching = asyncio.create_task(watch())
        await Run(one.node, run.id).cancel("no longer needed")
        async with asyncio.timeout(WITHIN_S):
            await watching
        assert (watched[0], watched[-1]) == ("run.started", "run.cancelled")
