"""Every fault on the wire, for every adapter, through whole runs; and the page that says what becomes of each.

The page is made with `pytest tests/gateways/models/test_wire_faults.py --write-pages`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faults.wire_faults import FAULTS, REFUSED, TOO_LONG, WELL, Fault, Mode
from model_servers import AiMock
from wire import REQUEST_ID, Answer, Wire, closed_port, record

from treadle import Agent, RetryPolicy, Run, RunResult, RunState
from treadle.actors.clock import SystemClock
from treadle.actors.model_errors import TransientModelError, model_error_class
from treadle.events.model_step import ModelAttemptFailed, ModelFailed
from treadle.events.run import run_stream
from treadle.gateways.journals.memory import MemoryJournal
from treadle.gateways.models.anthropic import AnthropicModel
from treadle.gateways.models.hosted import HostedModel
from treadle.gateways.models.litellm import LiteLLMModel
from treadle.gateways.models.openai import OpenAIModel
from treadle.gateways.models.prices import Price
from treadle.gateways.node import Node

TEXT = "Good morning to all of you, and a good day to everybody who reads this."
SOON_S, LATE_S, WITHIN_S = 0.3, 20.0, 100.0
"""How long a client waits that is to give up, and one that is not; how long all may take together."""
MANY, FEW = 40, 12
"""How many cases go on at once."""
PRICE = Price(input=1.0, output=1.0)
RETRY = RetryPolicy(max_attempts=2, initial_delay_s=0, circuit_open_after=0)


class Api(NamedTuple):
    """A way to ask a provider.

    Attributes:
        base, path: The address that the SDK is given, at the server, and what it adds.
        asks: What is asked so, beside the model; `streams` what more for a stream.
        client: Makes a client of the SDK, which all cases share.
        model: Makes the model of a case.
    """

    name: str
    base: str
    path: str
    asks: Mapping[str, Any]
    streams: Mapping[str, Any]
    client: Callable[[str, float], Any]
    model: Callable[[str, Any], HostedModel[Any]]


HELLO = [{"role": "user", "content": "Hello"}]


def _openai(url: str, timeout_s: float) -> Any:
    return OpenAIModel("m", base_url=url, api_key="key", request_timeout_s=timeout_s).client


def _anthropic(url: str, timeout_s: float) -> Any:
    return AnthropicModel("m", base_url=url, api_key="key", request_timeout_s=timeout_s).client


def _chat(name: str, client: Any) -> HostedModel[Any]:
    return OpenAIModel(name, client=client, price=PRICE)


def _responses(name: str, client: Any) -> HostedModel[Any]:
    return OpenAIModel(name, api="responses", client=client, price=PRICE)


def _messages(name: str, client: Any) -> HostedModel[Any]:
    return AnthropicModel(name, client=client, price=PRICE)


class _Place(NamedTuple):
    """What LiteLLM is told with each call; its clients are its own."""

    url: str
    timeout_s: float

    async def close(self) -> None:
        """Its models do."""


def _litellm(name: str, place: _Place) -> HostedModel[Any]:
    return LiteLLMModel(
        f"openai/{name}", base_url=place.url, api_key="key", request_timeout_s=place.timeout_s, price=PRICE
    )


APIS = [
    Api(
        "OpenAI chat",
        "/v1",
        "/chat/completions",
        {"messages": HELLO},
        {"stream_options": {"include_usage": True}},
        _openai,
        _chat,
    ),
    Api("OpenAI responses", "/v1", "/responses", {"input": "Hello"}, {}, _openai, _responses),
    Api("Anthropic", "", "/v1/messages", {"messages": HELLO, "max_tokens": 100}, {}, _anthropic, _messages),
    Api(
        "LiteLLM",
        "/v1",
        "/chat/completions",
        {"messages": HELLO},
        {"stream_options": {"include_usage": True}},
        _Place,
        _litellm,
    ),
]
MODES: tuple[Mode, ...] = ("whole", "streamed")
EVERYTHING = (WELL, *FAULTS)

PAGE = Path(__file__).parents[3] / "docs" / "models.md"
BEGIN, END = "<!-- made by tests/gateways/models/test_wire_faults.py -->", "<!-- until here -->"


class Case(NamedTuple):
    """One fault in one way to ask."""

    api: Api
    mode: Mode
    fault: Fault

    @property
    def model(self) -> str:
        """The name by which the server knows it."""
        return f"m-{APIS.index(self.api)}-{self.mode}-{EVERYTHING.index(self.fault)}"

    def __str__(self) -> str:
        return f"{self.fault.name} ({self.api.name}, {self.mode})"


class Ending(NamedTuple):
    """What became of it.

    Attributes:
        failures: Of each attempt.
        waits_s: The time between a failure and the next attempt, as recorded.
        asked: How often the server was.
        shown: What whoever watches saw of an answer.
    """

    case: Case
    result: RunResult
    failures: Sequence[ModelAttemptFailed | ModelFailed]
    waits_s: Sequence[float]
    asked: int
    shown: str

    @property
    def kind(self) -> str:
        return self.failures[0].kind

    @property
    def charged(self) -> str:
        return "the most" if self.result.estimated.total_tokens else "nothing"


class Hasty(SystemClock):
    """Nobody waits here for a `Retry-After`; that it is to be waited for is recorded."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Ending]:
    """Each case, once."""
    fixtures = [{"match": {"userMessage": "Hello"}, "response": {"content": TEXT}}]
    with AiMock(tmp_path_factory.mktemp("aimock"), fixtures) as server:
        answers = {(api.name, mode): recorded(server, api, mode) for api in APIS for mode in MODES}
    cases = [Case(api, mode, fault) for api in APIS for fault in EVERYTHING for mode in fault.kinds]
    plays = {case.model: (answers[case.api.name, case.mode], case.fault.play) for case in cases}
    with Wire(plays) as wire:
        return asyncio.run(run_all(cases, wire))


def recorded(server: AiMock, api: Api, mode: Mode) -> Answer:
    streamed = {"stream": True, **api.streams} if mode == "streamed" else {}
    return record(f"{server.url}{api.base}{api.path}", {"model": "m", **api.asks, **streamed})


async def run_all(cases: Sequence[Case], wire: Wire) -> Sequence[Ending]:
    """Many at once, and those that hang after the others and fewer, so that nobody is late because of somebody else."""
    async with opened_node() as node, asyncio.timeout(WITHIN_S):
        nowhere = f"http://127.0.0.1:{closed_port()}"
        places = ((wire.url, LATE_S), (wire.url, SOON_S), (nowhere, LATE_S))
        clients = {(api.name, url, late): api.client(f"{url}{api.base}", late) for api in APIS for url, late in places}

        async def end(case: Case, others: asyncio.Semaphore) -> Ending:
            url = nowhere if case.fault.name == REFUSED else wire.url
            client = clients[case.api.name, url, SOON_S if case.fault.hangs else LATE_S]
            async with others:
                model = case.api.model(case.model, client)
                try:
                    return await run(case, model, node, wire)
                finally:
                    await model.aclose()

        ended: list[Ending] = []
        for hangs, limit in ((False, MANY), (True, FEW)):
            others = asyncio.Semaphore(limit)
            ended += await asyncio.gather(*(end(case, others) for case in cases if case.fault.hangs == hangs))
        for client in clients.values():
            await client.close()
    return ended


@asynccontextmanager
async def opened_node() -> AsyncGenerator[Node]:
    node = Node(MemoryJournal(), clock=Hasty())
    await node.start()
    try:
        yield node
    finally:
        await node.close()


async def run(case: Case, model: HostedModel[Any], node: Node, wire: Wire) -> Ending:
    """One run of an agent, watched if the answer is to be streamed."""
    agent = Agent(model=model, name=case.model, retry_policy=RETRY)
    agent.bind(node)
    session, shown = agent.session("conv-1"), ""
    if case.mode == "whole":
        result = await session.run("Hello", on_error="return")
    else:
        events = [event async for event in session.stream("Hello")]
        shown = "".join(event.payload["text"] for event in events if event.type == "model.chunk")
        result = await Run(node, events[0].run_id).result()
    failures: list[ModelAttemptFailed | ModelFailed] = []
    waits_s: list[float] = []
    for recorded in await node.journal.read(run_stream(result.run_id)):
        event = recorded.event
        if isinstance(event, ModelAttemptFailed | ModelFailed):
            failures.append(event)
        if isinstance(event, ModelAttemptFailed):
            waits_s.append((datetime.fromisoformat(event.retry_at) - recorded.at).total_seconds())
    return Ending(case, result, failures, waits_s, wire.asked[case.model], shown)


def ending(endings: Sequence[Ending], name: str) -> Sequence[Ending]:
    found = [each for each in endings if each.case.fault.name == name]
    assert len(found) == len(APIS) * len(MODES)
    return found


# --- what must hold --------------------------------------------------------------------------------------------------


def test_without_a_fault_the_answer_is_whole(endings: Sequence[Ending]) -> None:
    for well in ending(endings, WELL.name):
        assert (well.result.state, well.result.output) == (RunState.COMPLETED, TEXT), str(well.case)
        assert well.shown == (TEXT if well.case.mode == "streamed" else "")


def faulty(endings: Sequence[Ending]) -> Sequence[Ending]:
    return [each for each in endings if each.case.fault is not WELL]


def test_no_half_answer_is_taken_for_whole_and_every_fault_ends_as_the_taxonomy_says(
    endings: Sequence[Ending],
) -> None:
    wrong = [
        f"{each.case}: {each.result.error_kind} and not {kind}: {each.result.error}"
        for each in faulty(endings)
        if each.result.error_kind != f"model:{(kind := each.case.fault.kind(each.case.mode, each.case.api.name))}"
        or (each.result.state, each.result.output) != (RunState.FAILED, "")
        or {failure.kind for failure in each.failures} != {kind}
    ]
    assert not wrong, "\n".join(wrong)


def test_only_what_may_pass_is_tried_again_and_nothing_that_somebody_has_seen_a_part_of(
    endings: Sequence[Ending],
) -> None:
    for each in faulty(endings):
        passing = issubclass(model_error_class(each.kind), TransientModelError)
        again = passing and not each.shown and each.case.fault.name != TOO_LONG
        assert len(each.failures) == (2 if again else 1), str(each.case)
        if each.case.fault.name == REFUSED:
            assert each.asked == 0
        elif not each.case.fault.hangs:  # under load, a connection that hangs may not even have begun
            assert each.asked == len(each.failures), str(each.case)


def test_the_provider_is_left_alone_for_as_long_as_it_says(endings: Sequence[Ending]) -> None:
    for name, least_s, most_s in (
        ("429 with `Retry-After` in seconds", 6.9, 7.1),
        ("429 with `Retry-After` as a date", 20, 30),
        ("429 with `retry-after-ms`", 1.4, 1.6),
        ("429", -1, 0.1),
    ):
        for each in ending(endings, name):
            assert least_s < each.waits_s[0] < most_s, str(each.case)


def test_what_was_refused_costs_nothing_and_what_was_sent_is_charged_as_a_guess(endings: Sequence[Ending]) -> None:
    for each in faulty(endings):
        total, guess = each.result.total_tokens, each.result.estimated.total_tokens
        assert total == guess == sum(failure.usage.total_tokens for failure in each.failures), str(each.case)
        if not each.case.fault.hangs:
            assert (guess > 0) == each.case.fault.sent, str(each.case)


def test_a_refusal_says_which_request_it_was(endings: Sequence[Ending]) -> None:
    for each in faulty(endings):
        if each.failures[0].status:
            assert each.failures[0].request_id == REQUEST_ID, str(each.case)
    assert sum(each.failures[0].status > 0 for each in faulty(endings)) > len(endings) / 3


def test_the_page_says_what_becomes_of_each_fault(endings: Sequence[Ending], pytestconfig: pytest.Config) -> None:
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"{PAGE.name} has no place for the table"
    page = f"{before}{BEGIN}\n{table(endings)}\n{END}{after}"
    if pytestconfig.getoption("--write-pages"):
        PAGE.write_text(page)
        return
    assert page == text, "what becomes of a fault has changed: run this with --write-pages, and read the page"


def table(endings: Sequence[Ending]) -> str:
    rows = ["| what happens | answer | error | tried again | charged | the run ends as |", "|---|---|---|---|---|---|"]
    for fault in FAULTS:
        found: dict[tuple[str, ...], dict[Mode, list[str]]] = {}
        its = [each for each in endings if each.case.fault is fault]
        for each in its:
            error = f"`{model_error_class(each.kind).__name__}`"
            again = _again(each, [other for other in its if other.case.mode == each.case.mode])
            told = (error, again, each.charged, f"`{each.result.state.value}`, `{each.result.error_kind}`")
            found.setdefault(told, {}).setdefault(each.case.mode, []).append(each.case.api.name)
        for what, modes in found.items():
            rows += [f"| {fault.name} | {asked} | {' | '.join(what)} |" for asked in _asked_for(modes)]
    return "\n".join(rows)


def _again(ending: Ending, alike: Sequence[Ending]) -> str:
    passing = issubclass(model_error_class(ending.kind), TransientModelError)
    if passing and any(other.shown for other in alike):
        # Whether a client sees what came just before the fault is left to its own haste.
        return "unless its beginning was seen"
    if len(ending.failures) == 1:
        return "no"
    return "yes, not before it says" if max(ending.waits_s) > 1 else "yes"


def _asked_for(modes: Mapping[Mode, Sequence[str]]) -> list[str]:
    """Which answers these are: of all, or of some."""
    if len(modes) == 2 and len({tuple(apis) for apis in modes.values()}) == 1:
        return ["both" + _of(next(iter(modes.values())))]
    return [mode + _of(apis) for mode, apis in modes.items()]


def _of(apis: Sequence[str]) -> str:
    missing = [api.name for api in APIS if api.name not in apis]
    if not missing:
        return ""
    return f", {', '.join(apis)}" if len(apis) < len(missing) else f", not {', '.join(missing)}"
