"""The programs that are killed: agents whose model is a rule, so that it says the same in every life.

Each is what a user would write. Its client does not know whether it is the first or the fifth process on this journal:
it asks for what has no answer yet, and stands in for the person who answers approvals by looking into the ledger.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from treadle import (
    Agent,
    ApprovalQuestion,
    FunctionModel,
    Limits,
    Message,
    ModelReply,
    NothingToResume,
    Owned,
    Run,
    RunResult,
    RunState,
    RuntimeSignal,
    Session,
    Steps,
    ToolCall,
    ToolSpec,
    Usage,
    current_call,
    delegate,
    tool,
)
from treadle.actors.model import Model
from treadle.events.session import RunOpened, session_stream

from .ledger import Ledger
from .points import Points

OVER_NATS = "signal over NATS"
"""The program that needs a server, and somebody who sends the signal."""

JOURNAL = "journal.db"
ELSEWHERE = "journal-url"
LEDGER = "ledger"


class World(Struct, frozen=True):
    """Where a program runs: its directory, the ledger outside, the places where it may be killed, its user.

    Attributes:
        nats: A server outside, for the programs that want one; the namespace there is the directory's name.
    """

    directory: Path
    ledger: Ledger
    points: Points
    user: str = "alice"
    nats: str = ""

    @property
    def runtime(self) -> str:
        return journal_in(self.directory)


def journal_in(directory: Path) -> str:
    """The journal of the lives in `directory`: the one that a file there names, else one in SQLite."""
    named = directory / ELSEWHERE
    return named.read_text() if named.exists() else f"sqlite:{directory / JOURNAL}"


@asynccontextmanager
async def alone(world: World, agent: Agent) -> AsyncGenerator[None]:
    """The agent on its own small system."""
    async with agent:
        await agent.node()
        yield


class Program(Struct, frozen=True):
    """What is killed.

    Attributes:
        make: Its agent.
        prompts: Session and words of each prompt, in order.
        sent: As prompts; as signals in this process; or as signals over NATS, by somebody else (see `systems.py`).
        hosted: Where the agent runs.
        afterwards: What the client does when all prompts are answered; its answers come after theirs.
    """

    name: str
    make: Callable[[World], Agent]
    prompts: tuple[tuple[str, str], ...] = (("conv-1", "Settle the account."),)
    sent: Literal["prompts", "signals", "over NATS"] = "prompts"
    hosted: Callable[[World, Agent], AbstractAsyncContextManager[None]] = alone
    afterwards: Callable[[World, Agent], Awaitable[list[str]]] | None = None


# --- tools and models ------------------------------------------------------------------------------------------------


def tools_of(ledger: Ledger) -> list[Any]:
    """One tool of each kind. Some are coroutines and some run in threads; all leave a line in the ledger."""

    @tool
    def post(amount: int) -> str:
        """Post a booking: a plain tool, which is repeated when nobody knows."""
        call = current_call()
        ledger.write("post", call.call_id, call.attempt)
        return f"posted {amount}"

    @tool(idempotent=True)
    async def charge(amount: int) -> str:
        """Charge a card, once for a call id."""
        call = current_call()
        await asyncio.sleep(0)
        ledger.write("charge", call.call_id, call.attempt, once=True)
        await asyncio.sleep(0)
        return f"charged {amount}"

    @tool(read_only=True)
    def look(amount: int, after: str = "") -> str:
        """Look at an account, after something was done to it."""
        call = current_call()
        ledger.write("look", call.call_id, call.attempt)
        return f"balance {amount}"

    @tool(destructive=True)
    def wipe(amount: int) -> str:
        """Delete an account, which cannot be undone."""
        call = current_call()
        ledger.write("wipe", call.call_id, call.attempt)
        return f"wiped {amount}"

    return [post, charge, look, wipe]


def calls(*turns: Sequence[str], at_once: bool = False) -> FunctionModel:
    """A model that goes by `rule`.

    Args:
        at_once: It never waits, so that what is recorded before and after it is one append.
    """
    answer = rule(*turns)

    async def answer_later(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        await asyncio.sleep(0)
        return answer(messages, tools)

    return FunctionModel(answer if at_once else answer_later)


def rule(*turns: Sequence[str]) -> Callable[[Sequence[Message], Sequence[ToolSpec]], ModelReply]:
    """To ask for the tools of each turn, then to answer with the number of results."""

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        since = max(index for index, message in enumerate(messages) if message.role == "user")
        turn = sum(message.role == "assistant" for message in messages[since:])
        usage = Usage(10, 5)
        if turn == len(turns):
            results = sum(message.role == "tool" for message in messages[since:])
            return ModelReply(f"{messages[since].content} {results} calls are settled.", usage=usage)
        asked = tuple(ToolCall(f"m{turn}{slot}", name, _args(name, slot)) for slot, name in enumerate(turns[turn]))
        return ModelReply("", asked, usage, "tool_calls")

    return answer


def corrects() -> FunctionModel:
    """A model that answers in words, and as it was asked to when it is told that this does not fit."""

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        await asyncio.sleep(0)
        told = messages[-1].content.startswith("Your answer cannot be used")
        return ModelReply('{"settled": 1}' if told else "It is settled.", usage=Usage(10, 5))

    return FunctionModel(answer)


class Settled(Struct):
    """What the program with a typed answer answers."""

    settled: int


def _args(name: str, slot: int) -> dict[str, Any]:
    if name == "settling":
        return {"amount": "the account"}
    return {"prompt": f"Settle part {slot}."} if name.startswith("delegate") else {"amount": slot}


Approvals = Literal["allow", "deny", "wait"] | Callable[[ApprovalQuestion], bool]


def desk(
    world: World,
    model: Model,
    *,
    approvals: Approvals = "allow",
    budget: Limits | None = None,
    memory: bool = False,
    name: str = "desk",
    helper: str = "",
    output_schema: Any = None,
    architecture: Any = "react",
) -> Agent:
    return Agent(
        "You settle accounts.",
        model=model,
        name=name,
        tools=[*tools_of(world.ledger), *([delegate(helper)] if helper else [])],
        runtime=world.runtime,
        approval_handler=approvals,
        budget=budget,
        memory=memory,
        output_schema=output_schema,
        architecture=architecture,
    )


def team(world: World) -> Agent:
    """One that asks two others beside one another, and a third one in a tool, before it answers itself."""
    first, second = (
        Agent("You help.", model=calls(["charge"]), name=name, tools=tools_of(world.ledger))
        for name in ("first", "second")
    )

    @tool(idempotent=True)
    async def consult(amount: int) -> str:
        """Ask somebody who asks for a charge."""
        advisor = Agent("You advise.", model=calls(["charge"]), tools=tools_of(world.ledger))
        return (await advisor.run(f"Settle part {amount}.")).output

    async def think(steps: Steps) -> str:
        async def ask(agent: Agent, steps: Steps) -> str:
            return (await steps.agent(agent, steps.prompt)).output

        said = await steps.together([partial(ask, first), partial(ask, second)])
        consulted = await steps.tools([ToolCall("c", "consult", {"amount": 3})])
        reply = await steps.model([Message("user", " ".join([*said, *(each.text for each in consulted)]))], tools=False)
        return reply.text

    made = desk(world, calls(), budget=Limits(max_tokens=100_000), architecture=think)
    return made.with_tool(consult)


def steered(world: World) -> Agent:
    """One that is told something while a tool goes on; its answer says how often it was."""

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        await asyncio.sleep(0)
        turn = sum(message.role == "assistant" for message in messages)
        if turn < 2:
            return ModelReply("", (ToolCall(f"m{turn}", ["overhear", "charge"][turn], {"amount": 1}),), Usage(10, 5))
        told = sum(message.content == "In euros." for message in messages)
        return ModelReply(f"Told {told} times.", usage=Usage(10, 5))

    made = desk(world, FunctionModel(answer), budget=Limits(max_tokens=100_000))

    @tool(idempotent=True)
    async def overhear(amount: int) -> str:
        """Work while somebody says something, who says it again when in doubt."""
        await made.session("conv-1", user_id=world.user).steer("In euros.", id="told-1")
        return f"heard {amount}"

    return made.with_tool(overhear)


def clerk(world: World) -> Callable[[ApprovalQuestion], bool]:
    """A handler that looks into the ledger before it says that something shall be done, or done again."""
    return lambda question: not world.ledger.has(question.call_id)


def programs() -> Mapping[str, Program]:
    """All of them, by name."""
    from .systems import taking_signals, with_helper
    from .workflows import with_workflow

    made = [
        Program("plain", lambda world: desk(world, calls(["post"], ["post"]))),
        Program("at once", lambda world: desk(world, calls(["post"], ["charge"], at_once=True))),
        Program("idempotent", lambda world: desk(world, calls(["charge"], ["charge"]))),
        Program("read-only", lambda world: desk(world, calls(["look"], ["look"]))),
        Program("workflow", with_workflow),
        Program("destructive", lambda world: desk(world, calls(["wipe"], ["wipe"]))),
        Program(
            "destructive, asked",
            lambda world: desk(world, calls(["wipe"]), approvals=clerk(world)),
        ),
        Program("destructive, parked", lambda world: desk(world, calls(["wipe"]), approvals="wait")),
        Program("parallel", lambda world: desk(world, calls(["post", "charge", "wipe", "look", "charge"]))),
        Program(
            "prompts",
            lambda world: desk(world, calls(["charge"])),
            (("conv-1", "Settle January."), ("conv-1", "Settle February."), ("conv-1", "Settle March.")),
        ),
        Program(
            "memory",
            lambda world: desk(world, calls(["charge"]), memory=True),
            (("conv-1", "Settle January."), ("conv-2", "Settle February.")),
        ),
        Program("budget", lambda world: desk(world, calls(["charge"]), budget=Limits(max_tokens=100_000))),
        Program(
            "typed answer",
            lambda world: desk(world, corrects(), budget=Limits(max_tokens=100_000), output_schema=Settled),
        ),
        Program("signal", lambda world: desk(world, calls(["charge"])), sent="signals"),
        Program(
            "delegation",
            lambda world: desk(world, calls(["delegate_to_helper"]), helper="helper"),
            hosted=with_helper,
        ),
        Program("team", team),
        Program("steered", steered),
        Program(
            "fork",
            lambda world: desk(world, calls(["charge"]), approvals=clerk(world)),
            afterwards=fork_it,
        ),
        Program(OVER_NATS, lambda world: desk(world, calls(["charge"])), sent="over NATS", hosted=taking_signals),
    ]
    return {program.name: program for program in made}


# --- the client ------------------------------------------------------------------------------------------------------


async def live(
    program: Program, world: World, *, resume: bool = False, opened: Callable[[], None] = lambda: None
) -> list[str]:
    """One life of the program's client: returns the answers, in the order of the prompts.

    Args:
        resume: Whether it begins by resuming, as whoever comes after a crash does.
        opened: Called when the journal is open and nothing has been done yet.
    """
    agent = program.make(world)
    async with program.hosted(world, agent):
        opened()
        if resume and program.sent != "over NATS":
            for session_id in dict.fromkeys(session_id for session_id, _ in program.prompts):
                session = agent.session(session_id, user_id=world.user)
                try:
                    await settle(session, await take_over(session), world)
                except NothingToResume:
                    continue
        answers = [
            await ask(agent.session(name, user_id=world.user), words, program, world) for name, words in program.prompts
        ]
        if program.afterwards is not None:
            answers += await program.afterwards(world, agent)
        world.points.reach("before the answer")
        return answers


async def take_over(session: Session) -> RunResult:
    """Resume what a dead process left."""
    return await _when_dead(session.agent, session.resume)


async def fork_it(world: World, agent: Agent) -> list[str]:
    """Fork the run of the first session where its first tool has charged; another model goes on, and wipes."""
    journal = (await agent.node()).journal
    [opened, *_] = await journal.read(session_stream(world.user, agent.name, "conv-1"))
    assert isinstance(opened.event, RunOpened)
    run_id, other = opened.event.run_id, calls(["charge"], ["wipe"])

    async def end() -> RunResult:
        return await (await agent.fork(run_id, "2", model=other, fork_id="fork-1")).wait()

    return [(await _when_dead(agent, end)).output]


async def _when_dead(agent: Agent, take: Callable[[], Awaitable[RunResult]]) -> RunResult:
    """A database hears of the death of a process a moment later than the operating system."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await take()
            except Owned:
                if "postgresql" not in (await agent.node()).journal.name:
                    raise
                await asyncio.sleep(0.01)


async def ask(session: Session, words: str, program: Program, world: World) -> str:
    """The answer to a prompt: the one that the conversation has, or a new one."""
    history = await session.history()
    # What it was told while it went on stands between the two.
    for question, answer in pairwise(each for each in history if each.role == "assistant" or each.content == words):
        if question.role == "user":
            return answer.content
    if program.sent == "prompts":
        return (await settle(session, await session.run(words), world)).output
    if program.sent == "over NATS":
        return await arrival(session)
    result = await session.signal(RuntimeSignal(id="signal-1", summary=words), wait=True)
    assert result is not None
    return (await settle(session, result, world)).output


async def arrival(session: Session) -> str:
    """The answer to a signal that somebody else sends, or has sent."""
    journal = (await session.agent.node()).journal
    while True:
        position = await journal.last_position()
        history = await session.history()
        if history:
            return history[-1].content
        await journal.wait(position)


async def settle(session: Session, result: RunResult, world: World) -> RunResult:
    """The run's end: whatever it asks meanwhile is answered yes unless the ledger says that it was done."""
    while result.state == RunState.WAITING:
        for question in result.waiting_for:
            await session.approve(question.call_id, not world.ledger.has(question.call_id), by="operator")
        try:
            result = await session.resume()
        except NothingToResume:
            result = await Run(await session.agent.node(), result.run_id).result()
    return result
