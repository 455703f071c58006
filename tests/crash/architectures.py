"""A program for each architecture: agents alone and in teams, whose members charge and post for themselves. And one
that is sent on by its goals.

Each is named for its class. All models are functions of what they are shown, and leave a line on the bill for each
answer (`bill.py`).
"""

from collections.abc import Mapping, Sequence

from thinking import (
    CALLS,
    CRITIC,
    EXECUTOR,
    JUDGE,
    PROPOSER,
    REFINER,
    REFLECTOR,
    SCORER,
    SOLVER,
    STEPS,
    SYNTHESIZER,
    WRITER,
    Says,
)
from turns import calls as asks
from turns import delegates, hands_over

from treadle import Agent, Limits, Message, ModelReply
from treadle.architecture import (
    ActorCritic,
    Architecture,
    BlackboardArchitecture,
    MultiAgentDebate,
    PlanAndExecute,
    ReAct,
    Reflexion,
    ReWOO,
    Router,
    RouterRoute,
    SelfRefine,
    Supervisor,
    Swarm,
    TreeOfThoughts,
)

from .bill import paid
from .goals import goals
from .members import LESSON, in_turn, member, says_how_much, settled, uses
from .programs import Program, World, calls, desk
from .workflows import walk


def architectures() -> Mapping[str, Program]:
    """All of them, by name."""
    made = [
        Program("ReAct", lambda world: alone(world, ReAct())),
        Program("SelfRefine", lambda world: alone(world, SelfRefine())),
        Program("Reflexion", lambda world: alone(world, Reflexion(), memory=True)),
        Program("TreeOfThoughts", lambda world: alone(world, TreeOfThoughts(2, 2))),
        Program("PlanAndExecute", lambda world: alone(world, PlanAndExecute())),
        Program("ReWOO", lambda world: alone(world, ReWOO())),
        Program("Router", router, TWO_PROMPTS),
        Program("Supervisor", lambda world: led(world, supervisor(world))),
        Program("ActorCritic", actor_critic),
        Program("MultiAgentDebate", debate),
        Program("Swarm", swarm, TWO_PROMPTS),
        Program("BlackboardArchitecture", blackboard),
        Program("Reflexion of Supervisor", lambda world: led(world, Reflexion(supervisor(world)))),
        Program("Goals", goals),
        Program("Workflow", lambda world: desk(world, calls()), (), afterwards=walk),
    ]
    return {program.name: program for program in made}


TWO_PROMPTS = (("conv-1", "Settle the account."), ("conv-1", "And the other one?"))
"""Of one conversation, for teams that go on with those of their members."""

PLAN = """[{"id": "E1", "tool": "charge", "args": {"amount": 1}}, {"id": "E2", "tool": "post", "args": {"amount": 2}},
           {"id": "E3", "tool": "look", "args": {"amount": 3, "after": "#E1 and #E2"}}]"""

PARTS: Mapping[str, Says] = {
    CRITIC: lambda messages: "no issues" if "made of" in messages[-2].content else "- say more",
    REFINER: says_how_much,
    JUDGE: lambda messages: "score: 0.9" if "counted" in messages[-2].content else "score: 0.2",
    REFLECTOR: LESSON,
    PROPOSER: lambda messages: f"1. a{len(messages)}\n2. b{len(messages)}",
    SCORER: lambda messages: f"score: 0.{len(messages[-2].content) % 10}",
    WRITER: says_how_much,
    STEPS: '["one", "two"]',
    EXECUTOR: says_how_much,
    SYNTHESIZER: says_how_much,
    CALLS: PLAN,
    SOLVER: says_how_much,
    "": in_turn(uses("charge", "post", "wipe"), uses("look"), settled),
}
"""What one agent says in all parts that there are."""


def alone(world: World, architecture: Architecture, *, memory: bool = False) -> Agent:
    """An agent that plays all parts itself."""
    return desk(world, paid(world, PARTS), memory=memory, architecture=architecture)


# --- teams -----------------------------------------------------------------------------------------------------------


def team(world: World, architecture: Architecture, parts: Mapping[str, Says] = PARTS) -> Agent:
    return desk(world, paid(world, parts), budget=Limits(max_tokens=100_000), architecture=architecture)


def router(world: World) -> Agent:
    """Its specialist has a conversation of its own."""
    billing = member(world, uses("charge"), uses("post"), settled)
    routes = [RouterRoute("billing", billing, "accounts"), RouterRoute("tech", member(world, "off"), "machines")]
    return team(world, Router(routes), {"": "route: billing\nconfidence: 0.8"})


def supervisor(world: World) -> Supervisor:
    """Workers with conversations of their own, and one that is made up."""
    workers = {
        "teller": member(world, uses("charge"), uses("wipe"), settled),
        "clerk": member(world, uses("post"), settled),
    }
    auditor = member(world, uses("charge"), settled)
    return Supervisor(workers, persistent_subagents=True, allow_spawn=True, spawn_template=auditor)


def led(world: World, architecture: Architecture) -> Agent:
    """A lead: two work beside one another, a third is made up, it goes on with the first, and hands on or answers."""

    def ends(messages: Sequence[Message]) -> str | ModelReply:
        return settled(messages) if LESSON in messages[0].content else asks(("forward_message", {"worker": "auditor"}))

    leads = in_turn(
        delegates(teller="Pay.", clerk="Book."),
        asks(("spawn_worker", {"role": "auditor", "instructions": "You audit."})),
        delegates(auditor="Check."),
        asks(("send_message", {"to": "teller", "content": "Once more."})),
        ends,
    )
    return team(world, architecture, {**PARTS, "": leads})


def actor_critic(world: World) -> Agent:
    """Two drafts."""
    actor = member(world, uses("charge"), lambda messages: "a draft" + "!" * ("dull" in asked(messages)))
    critic = member(world, uses("look"), lambda messages: GOOD if "a draft!" in asked(messages) else DULL)
    return team(world, ActorCritic(actor, critic))


GOOD, DULL = '{"score": 0.95}', '{"score": 0.3, "issues": ["dull"]}'


def debate(world: World) -> Agent:
    """Two that do not agree, and a judge."""
    debaters = [member(world, uses("charge"), "Final answer: 4"), member(world, uses("post"), "Final answer: 5")]
    return team(world, MultiAgentDebate(debaters, member(world, "It is 4."), rounds=1))


def swarm(world: World) -> Agent:
    """Control goes to the second peer, and so does the next prompt."""
    triage = member(world, uses("look"), hands_over("billing", "Pay it."))
    return team(world, Swarm({"triage": triage, "billing": member(world, uses("charge"), settled)}, "triage"))


def blackboard(world: World) -> Agent:
    """A coordinator, two that work, and one that decides."""

    def next_one(messages: Sequence[Message]) -> str:
        board = asked(messages)
        if "contribution of checker" in board:
            return '{"terminate": true}'
        name = "checker" if "contribution of teller" in board else "teller"
        return f'{{"next_agent": "{name}", "instruction": "Go on."}}'

    workers = {"teller": member(world, uses("charge"), settled), "checker": member(world, uses("post"), settled)}
    return team(world, BlackboardArchitecture(workers, member(world, next_one), member(world, "It is settled.")))


def asked(messages: Sequence[Message]) -> str:
    """The last prompt."""
    return [message.content for message in messages if message.role == "user"][-1]
