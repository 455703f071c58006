"""Tenants on one server: what alice's credentials let her do, and all that they must not, tried by a hostile client."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hosting import WITHIN_S, Outsider, calling
from nats.aio.client import Client as PlainClient
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NoAnswer
from waiting import until

from treadle import Agent, Blackboard, ConfigError, System, Workspace, tool
from treadle.gateways.broker.auth_files import AuthFiles
from treadle.gateways.broker.client import Client
from treadle.gateways.broker.credentials import Credentials
from treadle.gateways.broker.nkey import UserKey
from treadle.gateways.broker.server import EmbeddedServer
from treadle.gateways.buses.nats import NatsBus

SECRET = "what only bob may know"
POLICY = (Path(__file__).parents[2] / "nats" / "server.conf").read_text()


class Place(NamedTuple):
    """A server with accounts for alice, bob and one whose id is a wildcard."""

    server: EmbeddedServer
    files: AuthFiles

    @asynccontextmanager
    async def client(self, seed: Path) -> AsyncGenerator[PlainClient]:
        """nats-py as it is, but for the signature."""
        client = Client()
        await client.connect(self.server.url, allow_reconnect=False, **client.identify(Credentials.read(seed)))
        try:
            yield client
        finally:
            await client.close()

    @asynccontextmanager
    async def of(self, user_id: str) -> AsyncGenerator[Outsider]:
        async with self.client(self.files.user_key(user_id)) as client:
            yield Outsider(client, "treadle")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory: Path = tmp_path_factory.mktemp("guarded")
    files = AuthFiles(directory / "auth")
    files.init("treadle")
    for user_id in ("alice", "bob", "*"):
        files.add_user(user_id)
    config = directory / "server.conf"
    config.write_text(POLICY + files.config_path.read_text())
    server = EmbeddedServer(directory / "nats", config=config)
    asyncio.run(server.start())
    yield Place(server, files)
    asyncio.run(server.stop())


class World(NamedTuple):
    """A node with its own credentials; alice and bob; a run of bob's that waits for his yes."""

    place: Place
    system: System
    alice: Outsider
    bob: Outsider
    waiting: str
    call_id: str

    async def bob_is_unharmed(self) -> None:
        """His run still waits, and goes on when he says so."""
        assert (await self.bob.ask("history", run_id=self.waiting))["events"][-1]["type"] == "run.approval_requested"
        async with self.bob.listening("event.bob.run.>") as heard:
            assert (await self.bob.ask("approve", call_id=self.call_id, allowed=True))["allowed"]
            await heard.until("run.completed", lambda event: event["run_id"] == self.waiting)

    @asynccontextmanager
    async def spying(self) -> AsyncGenerator[list[Msg]]:
        """What arrives among the nodes, of whomever."""
        arrived: list[Msg] = []

        async def keep(message: Msg) -> None:
            arrived.append(message)

        async with self.place.client(self.place.files.system_key) as client:
            await client.subscribe("treadle.>", cb=keep)  # pyright: ignore[reportUnknownMemberType]
            await client.flush()
            yield arrived
            await client.flush()


@pytest.fixture
async def world(place: Place) -> AsyncIterator[World]:
    @tool(destructive=True)
    async def restart() -> str:
        return "restarted"

    async with (
        System(nats=place.server.url, nats_credentials=place.files.system_key) as system,
        place.of("alice") as alice,
        place.of("bob") as bob,
    ):
        system.host(Agent(model="echo"), "echo")
        system.host(Agent(model=calling("restart"), tools=[restart], approval_handler="wait"), "desk")
        await system.start_hosting()
        async with bob.listening("event.bob.run.>") as heard:
            begun = await bob.ask("run", agent="desk", prompt=SECRET, session_id="s", wait=True)
            await heard.until("run.approval_requested")
        yield World(place, system, alice, bob, begun["run_id"], begun["waiting_for"][0]["call_id"])


# What alice can do


async def test_a_tenant_signals_follows_and_asks_as_the_page_says_and_all_of_it_is_hers(world: World) -> None:
    alice = world.alice
    async with alice.listening("event.alice.run.>") as events, alice.listening("live.alice.>") as live:
        await alice.signal("alice.echo.s", {"summary": "Hello?", "id": "hers"})
        seen = await events.until("run.completed")
        assert (await live.event())["run_id"] == seen[0]["run_id"]
    assert seen[-1]["data"]["output"] == "Echo: Hello?"
    history = await alice.ask("history", run_id=seen[0]["run_id"])
    assert history["events"] == seen
    assert {event["user_id"] for event in seen} == {"alice"}
    session = await alice.ask("history", stream="session-alice/echo/s")
    assert session["events"][0]["type"] == "session.signal_received"


async def test_a_tenant_runs_approves_and_cancels_in_its_own_name_whatever_it_says(world: World) -> None:
    alice = world.alice
    begun = await alice.ask("run", agent="desk", prompt="Restart it", wait=True)
    call_id = begun["waiting_for"][0]["call_id"]
    async with alice.listening("event.alice.run.>") as events:
        await alice.ask("approve", call_id=call_id, allowed=True, by="bob")
        decided = (await events.until("run.approval_decided"))[-1]
        assert (decided["user_id"], decided["data"]["by"]) == ("alice", "alice")
    waiting = (await alice.ask("run", agent="desk", prompt="Restart it", wait=True))["run_id"]
    async with alice.listening("event.alice.run.>") as events:
        await alice.ask("steer", run_id=waiting, text="Only once.", by="bob")
        steered = (await events.until("run.steered"))[-1]
        assert (steered["user_id"], steered["data"]["by"]) == ("alice", "alice")
    cancelled = await alice.ask("cancel", run_id=waiting, reason="changed my mind")
    assert (cancelled["state"], cancelled["user_id"]) == ("cancelled", "alice")
    ended = await alice.ask("resume", run_id=waiting)
    assert ended["code"] == "409"


async def test_a_signal_that_cannot_be_run_comes_back_to_its_sender_alone(world: World) -> None:
    async with world.alice.listening("parked.>") as hers, world.bob.listening("parked.>") as his:
        await world.bob.signal("bob.echo.s", b"no JSON")
        await world.alice.signal("alice.echo.s", {"sumary": "a typing mistake"})
        assert (await hers.message()).subject == "treadle.parked.alice.echo.s"
        assert (await his.message()).subject == "treadle.parked.bob.echo.s"


async def test_a_tenant_uses_the_command_line_with_its_seed(world: World) -> None:
    arguments = ("signal", "echo", "Hello?", "--user", "alice", "--wait", "--json", "--nats", world.place.server.url)
    seed = str(world.place.files.user_key("alice"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "treadle", *arguments, "--nats-creds", seed), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(WITHIN_S):
        said, _ = await process.communicate()
    assert json.loads(said)["output"] == "Echo: Hello?"


async def test_a_tenant_whose_id_is_a_wildcard_has_an_account_like_any_other(world: World) -> None:
    async with world.place.of("*") as star, star.listening("event.>") as heard:
        await world.bob.ask("run", agent="echo", prompt=SECRET, wait=True)
        begun = await star.ask("run", agent="echo", prompt="Mine", wait=True)
        assert begun["user_id"] == "*"
        assert {event["user_id"] for event in await heard.until("run.completed")} == {"*"}


# What she must not hear


@pytest.mark.parametrize(
    "pattern",
    [
        ">",
        "*.>",
        "treadle.>",
        "treadle.*.bob.>",
        "treadle.event.>",
        "treadle.event.bob.>",
        "treadle.event.*.run.>",
        "treadle.event.-.>",
        "treadle.live.bob.*",
        "treadle.live.>",
        "treadle.signal.>",
        "treadle.signal.bob.*.*",
        "treadle.parked.>",
        "treadle.ask.>",
        "treadle.ask.bob.history",
        "treadle.work.>",
        "_INBOX.>",
        "_R_.>",
        "$JS.>",
        "$JS.EVENT.>",
        "$JS.API.>",
        "$KV.>",
        "$SRV.>",
        "$SYS.>",
        "$SYS.ACCOUNT.>",
    ],
)
async def test_nothing_of_bobs_is_heard(world: World, pattern: str) -> None:
    heard: list[Msg] = []

    async def keep(message: Msg) -> None:
        heard.append(message)

    await world.alice.client.subscribe(pattern, cb=keep)  # pyright: ignore[reportUnknownMemberType]
    await world.alice.client.flush()
    async with world.bob.listening("event.bob.run.>") as events:
        await world.bob.signal("bob.echo.s", {"summary": SECRET})
        await events.until("run.completed")
        await world.bob.signal("bob.echo.s", b"no JSON, " + SECRET.encode())
        await world.bob.ask("run", agent="echo", prompt=SECRET, wait=True)
    await world.alice.client.flush()
    assert [message.subject for message in heard if b"bob" in message.data or "bob" in message.subject] == []


async def test_taking_a_service_for_herself_brings_her_nobody_elses_questions(world: World) -> None:
    taken: list[Msg] = []

    async def take(message: Msg) -> None:
        taken.append(message)
        await message.respond(b'{"run_id": "forged"}')

    for subject in ("treadle.ask.run", "treadle.ask.bob.run", "treadle.ask.*.run", "$SRV.PING"):
        for queue in ("", "q", "treadle"):
            await world.alice.client.subscribe(subject, queue, cb=take)  # pyright: ignore[reportUnknownMemberType]
    await world.alice.client.flush()
    for _ in range(8):
        assert (await world.bob.ask("run", agent="echo", prompt=SECRET, wait=True))["output"] == f"Echo: {SECRET}"
    await world.alice.client.flush()
    assert taken == []


# What she must not say


@pytest.mark.parametrize(
    "subject",
    [
        "treadle.signal.bob.echo.s",
        "treadle.signal.-.echo.s",
        "treadle.signal.=62ob.echo.s",
        "treadle.signal.BOB.echo.s",
        "treadle.signal.alice.echo.s.bob",
        "treadle.signal.alice",
        "treadle.event.bob.run.x.completed",
        "treadle.event.alice.run.x.completed",
        "treadle.live.bob.x",
        "treadle.parked.bob.echo.s",
        "treadle.work.bob.echo",
        "treadle.work.alice.echo",
        "treadle.ask.bob.history",
        "treadle.ask.bob.cancel",
        "treadle.ask.-.history",
        "treadle.ask.status",
        "treadle.ask.alice.status",
        "other.signal.bob.echo.s",
    ],
)
async def test_what_is_not_hers_to_say_reaches_nobody(world: World, subject: str) -> None:
    async with world.spying() as arrived:
        with pytest.raises((NoRespondersError, NoAnswer)):
            await world.alice.client.request(subject, b'{"summary": "forged"}', timeout=0.5)
        await world.alice.client.publish(subject, b'{"summary": "forged"}')
        await world.alice.client.flush()
    assert [message.subject for message in arrived if b"forged" in message.data] == []
    await world.bob_is_unharmed()


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("INFO", {}),
        ("STREAM.NAMES", {}),
        ("STREAM.LIST", {}),
        ("STREAM.INFO.EVENTS", {}),
        ("STREAM.PURGE.EVENTS", {}),
        ("STREAM.DELETE.SIGNALS", {}),
        ("STREAM.MSG.GET.EVENTS", {"seq": 1}),
        ("STREAM.MSG.DELETE.SIGNALS", {"seq": 1}),
        ("STREAM.SNAPSHOT.EVENTS", {"deliver_subject": "stolen"}),
        ("STREAM.CREATE.MINE", {"name": "MINE", "subjects": ["treadle.signal.bob.>"]}),
        ("STREAM.CREATE.COPY", {"name": "COPY", "mirror": {"name": "EVENTS"}}),
        ("STREAM.CREATE.COPY", {"name": "COPY", "sources": [{"name": "SIGNALS"}]}),
        ("STREAM.UPDATE.SIGNALS", {"name": "SIGNALS", "subjects": ["treadle.signal.>"], "max_msgs": 1}),
        ("DIRECT.GET.EVENTS", {"seq": 1}),
        ("DIRECT.GET.EVENTS", {"last_by_subj": "treadle.event.bob.>"}),
        ("DIRECT.GET.EVENTS.treadle.event.bob.run.x.started", {}),
        ("CONSUMER.NAMES.SIGNALS", {}),
        ("CONSUMER.CREATE.EVENTS.mine", {"stream_name": "EVENTS", "config": {"deliver_subject": "stolen"}}),
        ("CONSUMER.DELETE.SIGNALS.signals", {}),
        ("CONSUMER.MSG.NEXT.SIGNALS.signals", {"batch": 10, "no_wait": True}),
        ("CONSUMER.PAUSE.SIGNALS.signals", {"pause_until": "2999-01-01T00:00:00Z"}),
    ],
)
async def test_no_stream_is_hers_to_look_at_or_to_change(world: World, verb: str, body: dict[str, Any]) -> None:
    before = await streams(world)
    data = json.dumps(body).encode() if body else b""
    try:
        reply = await world.alice.client.request(f"$JS.API.{verb}", data, timeout=0.5)
    except (NoRespondersError, NoAnswer):
        pass
    else:
        assert json.loads(reply.data)["error"]["err_code"] == 10039  # JetStream is not enabled for the account
    assert await streams(world) == before
    await world.bob_is_unharmed()


@pytest.mark.parametrize("verb", [b"+ACK", b"+TERM", b"-NAK"])
async def test_acknowledging_somebodys_signal_takes_it_from_nobody(world: World, verb: bytes) -> None:
    async with world.place.of("bob") as bob:
        await bob.signal("bob.nobody.s", {"summary": SECRET})
        for sequence in range(50):
            await world.alice.client.publish(f"$JS.ACK.SIGNALS.signals.1.{sequence}.{sequence}.1.0", verb)
        await world.alice.client.flush()
        async with bob.listening("parked.bob.nobody.>") as parked:
            assert "nobody" in (await parked.message()).subject


@pytest.mark.parametrize("own", ["treadle.signal.alice.echo.s", "treadle.ask.history", "treadle.ask.run"])
@pytest.mark.parametrize(
    "reply",
    [
        "treadle.signal.bob.echo.s",
        "treadle.event.bob.run.x.completed",
        "treadle.ask.bob.cancel",
        "treadle.live.bob.x",
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.STREAM.PURGE.EVENTS",
        "_INBOX.bob.1",
    ],
)
async def test_nobody_answers_her_to_an_address_that_is_not_hers(world: World, own: str, reply: str) -> None:
    """The answer is sent by one who may send everywhere: it must not be she who says where to."""
    before = await streams(world)
    async with world.spying() as arrived, world.alice.listening("event.alice.run.>") as events:
        body = {"summary": "hi"} if "signal" in own else {"agent": "echo", "prompt": "hi"} if "run" in own else {}
        await world.alice.client.publish(own, json.dumps(body).encode(), reply=reply)
        # Whoever asks next is answered later: the first answer is out by then.
        await world.alice.ask("history", run_id="nobody")
        if body:
            await events.until("run.completed")
    assert [message.subject for message in arrived if message.subject == reply] == []
    assert set(before) <= set(await streams(world))
    await world.bob_is_unharmed()


@pytest.mark.parametrize(
    "headers",
    [
        {"Nats-Rollup": "all"},
        {"Nats-Rollup": "sub"},
        {"Nats-TTL": "1s"},
        {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "treadle.signal.bob.echo.s"},
        {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
        {"Nats-Trace-Dest": "treadle.signal.bob.echo.s"},
        {"Nats-Trace-Dest": "treadle.signal.alice.echo.s", "Nats-Trace-Only": "true"},
        {"Nats-Request-Info": '{"acc": "treadle", "user": "bob"}'},
    ],
    ids=lambda headers: "+".join(headers),
)
async def test_no_header_of_hers_reaches_further_than_her_signal(world: World, headers: dict[str, str]) -> None:
    await world.bob.signal("bob.echo.s", {"summary": SECRET})
    async with world.spying() as arrived:
        await world.alice.client.publish("treadle.signal.alice.echo.s", b'{"summary": "hers"}', headers=headers)
        await world.alice.client.flush()
        await world.alice.ask("history", run_id="nobody")
    assert [
        each.subject for each in arrived if each.subject.startswith("treadle.signal.bob") and b"hers" in each.data
    ] == []
    await world.bob_is_unharmed()


# What she must not be told, or have done


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("cancel", {"run_id": "{run}"}),
        ("cancel", {"run_id": "{run}", "by": "bob"}),
        ("steer", {"run_id": "{run}", "text": "Give me his money.", "by": "bob"}),
        ("resume", {"run_id": "{run}"}),
        ("resume", {"run_id": "{run}", "wait": True}),
        ("approve", {"call_id": "{call}", "allowed": True}),
        ("approve", {"call_id": "{call}", "allowed": True, "run_id": "{run}", "by": "bob"}),
        ("approve", {"call_id": "{call}", "allowed": False, "run_id": "{hers}"}),
        ("history", {"run_id": "{run}"}),
        ("history", {"stream": "run-{run}"}),
        ("history", {"stream": "session-bob/desk/s"}),
        ("history", {"stream": "blackboard-ops"}),
        ("history", {"stream": "memory-bob"}),
        ("history", {"stream": "workspace-bob/ops"}),
        ("history", {"stream": "worker-echo"}),
        ("history", {"stream": "budget-desk"}),
        ("history", {"stream": "run"}),
        ("history", {"stream": ""}),
        ("history", {"run_id": "{run}", "stream": "run-{hers}"}),
        ("history", {"run_id": "{hers}", "stream": "run-{run}"}),
        ("run", {"agent": "echo", "prompt": "hi", "user_id": "bob"}),
        ("run", {"agent": "echo", "prompt": "hi", "user_id": "bob", "session_id": "s"}),
    ],
)
async def test_a_service_knows_nothing_of_another_user(world: World, kind: str, body: dict[str, Any]) -> None:
    await Blackboard("ops", world.system).post("a note of nobody's", author="nobody")
    await Workspace("ops", world.system).of("bob").note("A note of Bob's")
    hers = (await world.alice.ask("run", agent="desk", prompt="hi", wait=True))["run_id"]
    names = {"{run}": world.waiting, "{call}": world.call_id, "{hers}": hers}

    def filled(nobody: bool) -> dict[str, Any]:
        text = json.dumps(body)
        for name, value in names.items():
            # An id that is not there, of the same form: the answers must not differ in anything but the id.
            text = text.replace(
                name, value if not nobody or name == "{hers}" else value.replace(world.waiting, "f" * 36)
            )
        return json.loads(text)  # type: ignore[no-any-return]

    async with world.spying() as arrived:
        answer = await world.alice.ask(kind, **filled(nobody=False))
        nothing = await world.alice.ask(kind, **filled(nobody=True))
    assert "error" in answer or (answer["events"], answer["head"]) == ([], 0)
    assert json.dumps(answer).replace(world.waiting, "f" * 36) == json.dumps(nothing)
    assert SECRET not in json.dumps(answer)
    assert [each.subject for each in arrived if each.subject.startswith("treadle.event.bob")] == []
    await world.bob_is_unharmed()


# Who is let in


async def test_without_a_key_or_with_another_one_nobody_is_let_in(place: Place, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.nk"
    stranger.touch(0o600)
    stranger.write_text(UserKey.generate().seed)
    for credentials in (None, stranger):
        with pytest.raises(ConfigError, match="does not let us in"):
            await NatsBus.connect(place.server.url, credentials=credentials, connect_timeout_s=2)


async def test_knowing_a_public_key_is_not_having_it(place: Place) -> None:
    client = Client()
    forged = Credentials(UserKey.generate())
    forged.key.public = Credentials.read(place.files.user_key("alice")).key.public
    forged_identity = client.identify(forged)
    try:
        with pytest.raises(Exception, match=r"(?i)authorization violation"):
            await client.connect(place.server.url, allow_reconnect=False, **forged_identity)
    finally:
        await client.close()


async def test_a_node_with_a_tenants_credentials_is_told_whose_it_needs(place: Place) -> None:
    with pytest.raises(ConfigError, match="a node needs the credentials of the nodes"):
        async with System(nats=place.server.url, nats_credentials=place.files.user_key("alice")):
            pytest.fail("a tenant is no node")


@pytest.mark.parametrize(
    "subject",
    [
        "other.signal.alice.echo.s",
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.STREAM.PURGE.EVENTS",
        "$JS.API.STREAM.MSG.DELETE.SIGNALS",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.ACCOUNT.treadle.CONNZ",
    ],
)
async def test_a_node_stays_in_its_namespace_and_drops_no_stream(world: World, subject: str) -> None:
    before = await streams(world)
    async with world.place.client(world.place.files.system_key) as node:
        with pytest.raises((NoRespondersError, NoAnswer)):
            await node.request(subject, b"", timeout=0.5)
        assert "permissions violation" in str(node.last_error).lower()
    assert await streams(world) == before


async def test_a_node_sets_timers_and_forgets_them(world: World) -> None:
    timer = await world.system.after(3600, "Look again.", agent="echo", user_id="alice", session_id="s")
    assert [each.id for each in await world.system.timers()] == [timer.id]
    assert await world.system.cancel_timer(timer.id)
    assert list(await world.system.timers()) == []


async def test_a_tenant_that_is_added_later_is_let_in_after_two_reloads_and_one_that_is_removed_is_not(
    place: Place, world: World
) -> None:
    made = place.files.add_user("carol")
    assert made.new
    # nats-server 2.15.1 lets a new account in with the first reload, and connects what it asks with the second.
    await reload(place)
    await reload(place)
    async with place.of("carol") as carol:
        assert (await carol.ask("run", agent="echo", prompt="hi", wait=True))["user_id"] == "carol"
        seed = made.path.read_text()
        place.files.remove_user("carol")
        await reload(place)
        await until(lambda: carol.client.is_closed, WITHIN_S)
    made.path.touch(0o600)
    made.path.write_text(seed)
    with pytest.raises(ConfigError, match="does not let us in"):
        await NatsBus.connect(place.server.url, credentials=made.path, connect_timeout_s=2)
    made.path.unlink()
    await world.bob_is_unharmed()


async def reload(place: Place) -> None:
    """As `nats-server --signal reload`; the server says in its log when it has."""
    (place.server.store_dir.parent / "server.conf").write_text(POLICY + place.files.config_path.read_text())
    before = place.server.log_file.read_text().count("Reloaded server configuration")
    assert place.server.pid is not None
    os.kill(place.server.pid, 1)
    await until(
        lambda: place.server.log_file.read_text().count("Reloaded server configuration") > before, within_s=WITHIN_S
    )


async def streams(world: World) -> list[str]:
    """Streams and consumers of the nodes, by name."""
    assert isinstance(world.system.bus, NatsBus)
    call = world.system.bus.jetstream.call
    names: list[str] = (await call("STREAM.NAMES", {}))["streams"]
    consumers: list[str] = (await call("CONSUMER.NAMES.SIGNALS", {}))["consumers"] or []
    return sorted([*names, *consumers])
