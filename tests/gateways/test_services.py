"""What a system can be asked, over NATS and in process: the same answers and errors, one request beside the other."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from hosting import WITHIN_S, Gate, calling, namespace, outsider
from waiting import until

from treadle import Agent, System, TreadleError, tool
from treadle.events.bus import answer
from treadle.gateways.broker.server import EmbeddedServer

Ask = Callable[..., Awaitable[Any]]


class Asked:
    """A hosted system and a way to ask it."""

    def __init__(self, system: System, ask: Ask) -> None:
        self.system = system
        self.ask = ask
        self.gate = Gate()
        self.restarted: list[str] = []

        @tool(destructive=True)
        async def restart() -> str:
            self.restarted.append("db")
            return "restarted"

        system.host(Agent(model="echo"), name="echo")
        system.host(Agent(model=self.gate.model), name="slow")
        system.host(Agent(model=calling("restart"), tools=[restart], approval_handler="wait"), name="desk")


@pytest.fixture(params=["nats", "in process"])
async def asked(request: pytest.FixtureRequest, nats_server: EmbeddedServer) -> AsyncGenerator[Asked]:
    if request.param == "nats":
        ns = namespace()
        async with System(nats=nats_server.url, namespace=ns) as system, outsider(nats_server.url, ns) as nats:
            made = Asked(system, nats.ask)
            await system.start_hosting()
            yield made
    else:
        async with System() as system:

            async def ask(kind: str, **body: Any) -> Any:
                try:
                    reply = await system.bus.request(f"treadle.ask.{kind}", json.dumps(body).encode(), WITHIN_S)
                    return json.loads(answer(reply))
                except TreadleError as exc:
                    return {"error": str(exc), "code": ""}

            made = Asked(system, ask)
            await system.start_hosting()
            yield made


async def test_a_run_is_begun_at_once_or_waited_for(asked: Asked) -> None:
    begun = await asked.ask("run", agent="slow", prompt="Go", user_id="alice", session_id="s", metadata={"a": 1})
    assert begun["session_id"] == "s"
    await until(lambda: asked.gate.waiting == 1)
    asked.gate.open()
    events = [event async for event in asked.system.watch(begun["run_id"])]
    assert events[0].payload["metadata"] == {"a": 1}
    assert events[-1].payload["output"] == "answer to Go"
    done = await asked.ask("run", agent="echo", prompt="Hello?", wait=True)
    assert (done["state"], done["output"], done["session_id"]) == ("completed", "Echo: Hello?", done["run_id"])


async def test_history_comes_in_pages_by_version(asked: Asked) -> None:
    done = await asked.ask("run", agent="echo", prompt="Hello?", user_id="alice", session_id="s", wait=True)
    seen: list[Any] = []
    while True:
        page = await asked.ask("history", run_id=done["run_id"], after=len(seen), limit=3)
        seen += page["events"]
        assert (page["head"], page["more"]) == (4, len(seen) < 4)
        if not page["more"]:
            break
    assert [event["version"] for event in seen] == [1, 2, 3, 4]
    assert (await asked.ask("history", stream=f"run-{done['run_id']}"))["events"] == seen
    session = await asked.ask("history", stream="session-alice/echo/s")
    assert [event["type"] for event in session["events"]] == ["session.run_opened", "session.run_ended"]
    empty = await asked.ask("history", run_id="nobody")
    assert (empty["events"], empty["head"], empty["more"]) == ([], 0, False)
    assert (await asked.ask("history", run_id=done["run_id"], after=99))["more"] is False


async def test_a_page_of_history_fits_into_a_message(asked: Asked) -> None:
    prompt = "x" * 200_000
    for _ in range(3):
        await asked.ask("run", agent="echo", prompt=prompt, user_id="alice", session_id="s", wait=True)
    seen: list[int] = []
    pages = 0
    while True:
        page = await asked.ask("history", stream="session-alice/echo/s", after=len(seen), limit=1000)
        assert page["events"]
        seen += [event["version"] for event in page["events"]]
        pages += 1
        if not page["more"]:
            break
    assert seen == list(range(1, 7))
    assert pages > 1


async def test_a_waiting_call_is_approved_and_a_second_answer_refused(asked: Asked) -> None:
    waiting = await asked.ask("run", agent="desk", prompt="Restart it", session_id="s", wait=True)
    assert waiting["state"] == "waiting"
    call_id = waiting["waiting_for"][0]["call_id"]
    assert await asked.ask("approve", call_id=call_id, allowed=True, by="bob") == {"call_id": call_id, "allowed": True}
    events = [event async for event in asked.system.watch(waiting["run_id"])]
    assert (events[-1].payload["output"], asked.restarted) == ("restarted", ["db"])
    again = await asked.ask("approve", call_id=call_id, allowed=False)
    assert again["code"] in ("409", "")
    assert "error" in again


async def test_a_run_is_told_something_once_and_goes_on_with_it(asked: Asked) -> None:
    begun = await asked.ask("run", agent="slow", prompt="Go", session_id="s")
    await until(lambda: asked.gate.waiting == 1)
    for _ in range(2):
        told = await asked.ask("steer", run_id=begun["run_id"], text="Use euros.", by="bob", id="1", now=True)
        assert told == {"run_id": begun["run_id"], "id": "1"}
    await until(lambda: asked.gate.prompts == ["Go", "Use euros."])
    asked.gate.open()
    events = [event async for event in asked.system.watch(begun["run_id"])]
    assert events[-1].payload["output"] == "answer to Use euros."
    assert [event.payload["by"] for event in events if event.type == "run.steered"] == ["bob"]
    late = await asked.ask("steer", run_id=begun["run_id"], text="Use pounds.")
    assert "has ended (completed)" in late["error"]


async def test_a_run_is_cancelled_and_cancelling_it_again_changes_nothing(asked: Asked) -> None:
    begun = await asked.ask("run", agent="slow", prompt="Go", session_id="s")
    await until(lambda: asked.gate.waiting == 1)
    first = await asked.ask("cancel", run_id=begun["run_id"], reason="too slow", by="bob")
    assert (first["state"], first["error"]) == ("cancelled", "cancelled: too slow")
    assert await asked.ask("cancel", run_id=begun["run_id"], reason="really") == first


@pytest.mark.parametrize(
    ("kind", "body", "code", "told"),
    [
        ("run", {"agent": "nobody", "prompt": "Hello?"}, "409", "hosted here: desk, echo, slow"),
        ("run", {"agent": "echo"}, "400", "prompt"),
        ("run", {"agent": "echo", "prompt": " \n", "wait": True}, "400", "the prompt is empty"),
        ("run", {"agent": "echo", "prompt": "", "session_id": "s"}, "400", "the prompt is empty"),
        ("run", {"agent": "echo", "prompt": "x", "colour": "red"}, "400", "colour"),
        ("history", {}, "400", "run_id or stream"),
        ("history", {"run_id": "a", "stream": "b"}, "400", "run_id or stream"),
        ("history", {"run_id": "a", "after": -1}, "400", "after"),
        ("history", {"run_id": "a", "limit": 0}, "400", "limit"),
        ("steer", {"run_id": "nobody", "text": "Use euros."}, "409", "no run 'nobody'"),
        ("steer", {"run_id": "nobody", "text": " "}, "400", "the text is empty"),
        ("steer", {"run_id": "nobody", "text": "Use euros.", "now": 1}, "400", "now"),
        ("approve", {"call_id": "r_1_0", "allowed": True}, "409", "no run 'r'"),
        ("approve", {"call_id": "", "allowed": True}, "409", "no run"),
        ("approve", {"call_id": "x", "allowed": "yes"}, "400", "allowed"),
        ("cancel", {"run_id": "nobody"}, "409", "no run 'nobody'"),
        ("resume", {"run_id": "nobody"}, "409", "no run 'nobody'"),
    ],
)
async def test_errors_say_what_is_wrong_and_whether_to_ask_again(
    asked: Asked, kind: str, body: dict[str, Any], code: str, told: str
) -> None:
    reply = await asked.ask(kind, **body)
    assert told in reply["error"]
    assert reply["code"] in (code, "")


async def test_a_request_that_waits_holds_up_no_other(asked: Asked) -> None:
    async def ask_slowly(number: int) -> dict[str, Any]:
        answer: dict[str, Any] = await asked.ask("run", agent="slow", prompt=str(number), wait=True)
        return answer

    slow = [asyncio.create_task(ask_slowly(number)) for number in range(20)]
    await until(lambda: asked.gate.waiting == 20)
    async with asyncio.timeout(WITHIN_S):
        assert (await asked.ask("run", agent="echo", prompt="quick", wait=True))["output"] == "Echo: quick"
    asked.gate.open()
    assert sorted(reply["output"] for reply in await asyncio.gather(*slow)) == sorted(
        f"answer to {number}" for number in range(20)
    )


async def test_closing_while_requests_wait_answers_them_and_leaves_nothing() -> None:
    before = asyncio.all_tasks()
    async with System() as system:
        gate = Gate()
        system.host(Agent(model=gate.model), name="slow")
        await system.start_hosting()
        body = b'{"agent": "slow", "prompt": "Go", "wait": true}'
        asking = asyncio.create_task(system.bus.request("treadle.ask.run", body, WITHIN_S))
        await until(lambda: gate.waiting == 1)
    with pytest.raises(TreadleError):
        answer(await asking)
    await until(lambda: asyncio.all_tasks() == before)


async def test_the_services_are_found_by_any_client(nats_server: EmbeddedServer) -> None:
    ns = namespace()
    async with System(nats=nats_server.url, namespace=ns) as system, outsider(nats_server.url, ns) as nats:
        await system.start_hosting()
        inbox = nats.client.new_inbox()
        subscription = await nats.client.subscribe(inbox)  # pyright: ignore[reportUnknownMemberType]
        await nats.client.publish("$SRV.INFO.treadle", b"", reply=inbox)
        while True:
            info = json.loads((await subscription.next_msg(timeout=WITHIN_S)).data)
            if info["metadata"]["namespace"] == ns:
                break
        names = {endpoint["name"] for endpoint in info["endpoints"]}
        assert {"run", "resume", "history", "steer", "approve", "cancel", "status"} <= names
