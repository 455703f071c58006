"""What tests of hosted systems share: models, and a client that knows nothing but NATS and JSON."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from treadle import Agent, FunctionModel, Message, ModelReply, System, ToolCall, ToolSpec
from treadle.gateways.broker.server import EmbeddedServer

WITHIN_S = 15.0

PARTITIONS = 32
"""As `nats/streams/signals.json` has it."""


def namespace() -> str:
    """A namespace that nobody else has."""
    return f"t-{uuid4().hex[:12]}"


def calling(*names: str, **args: Any) -> FunctionModel:
    """A model that calls these tools in one turn, and then answers with what they said."""

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        said: list[str] = []
        for message in reversed(messages):
            if message.role != "tool":
                break
            said.insert(0, message.content)
        if said and messages[-1].role == "tool":
            return ModelReply(" | ".join(said))
        return ModelReply(tool_calls=tuple(ToolCall(str(slot), name, args) for slot, name in enumerate(names)))

    return FunctionModel(answer)


class Gate:
    """A model that waits until it is opened, and says how many wait."""

    def __init__(self) -> None:
        self.waiting = 0
        self.prompts: list[str] = []
        self._open = asyncio.Event()
        self.model = FunctionModel(self._answer, name="gate")

    def open(self) -> None:
        self._open.set()

    async def _answer(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        self.prompts.append(messages[-1].content)
        self.waiting += 1
        try:
            await self._open.wait()
        finally:
            self.waiting -= 1
        return f"answer to {messages[-1].content}"


class Outsider:
    """A program that has `nats-py` and JSON, and no Treadle."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.js = client.jetstream()  # pyright: ignore[reportUnknownMemberType]

    async def signal(self, path: str, body: Any, headers: dict[str, str] | None = None) -> bool:
        """Publish to `<ns>.signal.<path>`; False when the broker knows it already."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        ack = await self.js.publish(f"{self.namespace}.signal.{path}", data, headers=headers)
        return not ack.duplicate

    async def ask(self, kind: str, timeout_s: float = WITHIN_S, **body: Any) -> Any:
        """The answer of a service, or `{"error": …, "code": …}`."""
        reply = await self.client.request(f"{self.namespace}.ask.{kind}", json.dumps(body).encode(), timeout=timeout_s)
        headers = reply.headers or {}
        if "Nats-Service-Error" in headers:
            return {"error": headers["Nats-Service-Error"], "code": headers["Nats-Service-Error-Code"]}
        return json.loads(reply.data)

    @asynccontextmanager
    async def listening(self, pattern: str) -> AsyncGenerator["Heard"]:
        """What is published under `<ns>.<pattern>` from now on."""
        subject = f"{self.namespace}.{pattern}"
        subscription = await self.client.subscribe(subject)  # pyright: ignore[reportUnknownMemberType]
        await self.client.flush()
        yield Heard(subscription)
        await subscription.unsubscribe()

    async def parked(self, count: int = 1) -> list[Msg]:
        """The signals that were set aside, when there are so many."""
        stream = f"PARKED-{self.namespace}"
        pull = await self.js.pull_subscribe(f"{self.namespace}.parked.>", durable="test", stream=stream)
        found: list[Msg] = []
        async with asyncio.timeout(WITHIN_S):
            while len(found) < count:
                found += await pull.fetch(count - len(found), timeout=WITHIN_S)
        return found

    async def stored(self) -> list[tuple[str, int]]:
        """Stream and version of every message in EVENTS, in its order."""
        stream = f"EVENTS-{self.namespace}"
        state = (await self.js.stream_info(stream)).state
        found: list[tuple[str, int]] = []
        for sequence in range(state.first_seq, state.last_seq + 1):
            event = json.loads((await self.js.get_msg(stream, sequence)).data or b"")
            found.append((event["stream"], event["version"]))
        return found


class Heard:
    """Messages as they come."""

    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription

    async def message(self) -> Msg:
        message: Msg = await self._subscription.next_msg(timeout=WITHIN_S)
        return message

    async def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads((await self.message()).data)
        return event

    async def until(self, type: str, where: Callable[[dict[str, Any]], bool] = lambda _: True) -> list[dict[str, Any]]:
        """The events up to and with the next one of this type."""
        seen = [await self.event()]
        while seen[-1]["type"] != type or not where(seen[-1]):
            seen.append(await self.event())
        return seen


@asynccontextmanager
async def outsider(url: str, namespace: str) -> AsyncGenerator[Outsider]:
    # nats-py says that its wait is an int, and takes parts of a second.
    options: dict[str, Any] = {"max_reconnect_attempts": -1, "reconnect_time_wait": 0.05}
    client = await nats.connect(url.split(","), **options)  # pyright: ignore[reportUnknownMemberType]
    try:
        yield Outsider(client, namespace)
    finally:
        await client.close()


@asynccontextmanager
async def node(
    server: EmbeddedServer, journal: str, namespace: str, *agents: Agent, worker: bool = False
) -> AsyncGenerator[System]:
    """One of several systems that host these agents over one journal and one server."""
    async with System(journal=journal, nats=server.url, namespace=namespace, worker=worker) as system:
        for agent in agents:
            system.host(agent)
        await system.start_hosting()
        yield system
