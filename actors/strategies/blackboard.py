"""Blackboard: agents work on one board; a coordinator picks who is next, a decider has the last word.

The board is a blackboard actor under the run's id (`board.py`): `Blackboard(run_id, system).watch()` follows it while
it fills, and what others post there is read with the rest. One call for the coordinator and one for an agent in each
round, one for the decider.

Source: Erman, Hayes-Roth, Lesser and Reddy, "The Hearsay-II Speech-Understanding System: Integrating Knowledge to
Resolve Uncertainty", ACM Computing Surveys 12(2), 1980; with language models: Han and Zhang, "Exploring Advanced LLM
Multi-Agent Systems Based on Blackboard Architecture", 2025 (arXiv:2507.01701).
"""

from collections.abc import Mapping
from functools import partial

from msgspec import Struct, to_builtins

from ...events.child_step import ChildEnded
from ...events.errors import ConfigError
from ..children import Asked
from ..steps import Steps
from .board import Board
from .checks import check_count
from .members import (
    ADVISES,
    ANSWERS,
    SPEAKS,
    GaveUp,
    MemberFailed,
    answer_of,
    ask,
    check_agent,
    check_budgets,
    check_members,
    check_name,
    question_of,
    said_of,
)
from .replies import object_in, plain
from .templates import check_template, filled

COORDINATOR_TEMPLATE = """\
Agents work on this together, on a board that all of them read:
{prompt}

The agents: {agents}

The board:
{board}

You say who is next. Reply with one JSON object and nothing else; "terminate" is true when the board has what is needed.
{"terminate": false, "next_agent": "the name of one agent", "instruction": "what it is to do"}"""

AGENT_TEMPLATE = """\
You are {agent}, one of several agents who work on this together, on a board that all of them read:
{prompt}

The board:
{board}

{instruction}
Reply with what you add to the board. Do not say again what is there."""

DECIDER_TEMPLATE = """\
Agents have worked on this together:
{prompt}

Their board:
{board}

Reply with the answer, made of what stands there."""

_YES = ("true", "yes", "1")
ANSWER, CONTRIBUTION, FAILURE, INSTRUCTION = "answer", "contribution", "failure", "instruction"


class Turn(Struct, frozen=True):
    """What the coordinator said.

    Attributes:
        agent: Who is next; empty when nobody is.
        skipped: Why nobody is, although the work has not ended.
    """

    agent: str = ""
    instruction: str = ""
    terminate: bool = False
    skipped: str = ""


class BlackboardArchitecture:
    """Take turns at a board.

    A coordinator that says something that names none of the agents skips the round: that is recorded, and said to it in
    the next. An agent that fails leaves its error on the board. When the coordinator or the decider fails, the run is
    interrupted with its error and the last contribution (`blackboard:coordinator_failed`). When nobody has added
    anything, it ends as `blackboard:no_contribution`.

    Args:
        agents: Who works, by names.
        coordinator: Picks who is next, and when the work has ended; without one the agents take turns, all rounds.
        decider: Makes the answer of the board. Without one it is the last entry of the kind `answer`, which a program
            or a tool may post, or else the last contribution.
        max_rounds: How many turns there are at most.
        coordinator_template: What the coordinator is asked, with places for `{prompt}`, `{agents}` and `{board}`.
        agent_template: What an agent is asked, with places for `{agent}`, `{prompt}`, `{board}` and `{instruction}`.
        decider_template: What the decider is asked, with places for `{prompt}` and `{board}`.
    """

    name = "blackboard"
    calls_tools = False

    def __init__(
        self,
        agents: Mapping[str, Asked],
        coordinator: "Asked | None" = None,
        decider: "Asked | None" = None,
        max_rounds: int = 10,
        coordinator_template: str | None = None,
        agent_template: str | None = None,
        decider_template: str | None = None,
    ) -> None:
        check_members("BlackboardArchitecture(agents=)", agents)
        if not agents:
            raise ConfigError("BlackboardArchitecture(agents={}) has nobody who works; give it agents by their names")
        for name, agent in agents.items():
            check_name("the name of an agent at a board", name)
            check_agent(f"agent {name!r}", agent)
        for role, one in (("coordinator", coordinator), ("decider", decider)):
            if one is not None:
                check_agent(f"BlackboardArchitecture({role}=)", one)
        check_count("max_rounds", max_rounds)
        self._agents = dict(agents)
        self._coordinator = coordinator
        self._decider = decider
        self._max_rounds = max_rounds
        self._to_coordinator = check_template(
            "coordinator_template", coordinator_template or COORDINATOR_TEMPLATE, ["agents", "board"]
        )
        self._to_agent = check_template("agent_template", agent_template or AGENT_TEMPLATE, ["board", "instruction"])
        self._to_decider = check_template("decider_template", decider_template or DECIDER_TEMPLATE, ["board"])

    def __repr__(self) -> str:
        return f"BlackboardArchitecture({', '.join(self._agents)}, max_rounds={self._max_rounds})"

    def declared_workers(self) -> Mapping[str, Asked]:
        ends = {"coordinator": self._coordinator, "decider": self._decider}
        return {**self._agents, **{role: agent for role, agent in ends.items() if agent is not None}}

    async def run(self, steps: Steps) -> str:
        board, problem = Board(steps), question_of(steps)
        wrong: list[str] = []
        for number in range(self._max_rounds):
            await board.look()
            turn = await self._turn(steps, board, problem, number, wrong[-1] if wrong else "")
            await steps.value("blackboard.turn", partial(to_builtins, turn))
            if turn.terminate:
                break
            if turn.skipped:
                wrong.append(turn.skipped)
                continue
            ended = await self._work(steps, board, problem, turn)
            check_budgets(steps, [ended], board.last(ANSWER, CONTRIBUTION) or "")
            wrong += [] if ended.answered else [said_of(ended, turn.agent)]
        await board.look()
        return await self._decide(steps, board, problem, wrong)

    # --- one round ---

    async def _turn(self, steps: Steps, board: Board, problem: str, number: int, wrong: str) -> Turn:
        """Who is next. Without a coordinator, each in turn."""
        if self._coordinator is None:
            return Turn(list(self._agents)[number % len(self._agents)])
        prompt = filled(self._to_coordinator, prompt=problem, agents=", ".join(self._agents), board=board.text())
        if wrong:
            prompt = f"{prompt}\n\nThe last round came to nothing: {wrong}"
        ended = await ask(steps, self._coordinator, prompt, "coordinator")
        said = answer_of(steps, ended, self.name, "coordinator", instead=board.last(ANSWER, CONTRIBUTION) or "")
        turn = turn_in(said, self._agents)
        if turn.agent:
            told = turn.instruction or "It is your turn."
            await board.post(ended.call_id, "coordinator", told, INSTRUCTION, {"next_agent": turn.agent})
        return turn

    async def _work(self, steps: Steps, board: Board, problem: str, turn: Turn) -> ChildEnded:
        prompt = filled(
            self._to_agent, agent=turn.agent, prompt=problem, board=board.text(), instruction=turn.instruction
        )
        part = SPEAKS if self._decider is None else ADVISES
        ended = await ask(steps, self._agents[turn.agent], prompt, turn.agent, part)
        if ended.answered:
            await board.post(ended.call_id, turn.agent, ended.output, CONTRIBUTION)
        else:
            await board.post(ended.call_id, turn.agent, said_of(ended, turn.agent), FAILURE)
        return ended

    # --- the end ---

    async def _decide(self, steps: Steps, board: Board, problem: str, wrong: list[str]) -> str:
        last = board.last(ANSWER, CONTRIBUTION)
        if last is None and (wrong or self._decider is None):
            word, why = f"{self.name}:no_contribution", "; ".join(wrong) or "it was ended before anybody had worked"
            failed = board.last(FAILURE) is not None
            raise MemberFailed(f"{word}: {why}") if failed else GaveUp(word, why)
        if self._decider is None:
            return last or ""
        prompt = filled(self._to_decider, prompt=problem, board=board.text())
        ended = await ask(steps, self._decider, prompt, "decider", ANSWERS)
        answer = answer_of(steps, ended, self.name, "decider", instead=last or "")
        await board.post(ended.call_id, "decider", answer, ANSWER)
        return answer


def turn_in(reply: str, agents: Mapping[str, Asked]) -> Turn:
    """What a coordinator's reply says."""
    found = object_in(reply)
    if found is None:
        return Turn(skipped=f"the coordinator's reply has no JSON object: {reply[:200]!r}")
    if plain(str(found.get("terminate"))) in _YES:
        return Turn(terminate=True)
    named = str(found.get("next_agent") or "").strip()
    agent = named if named in agents else {plain(each): each for each in agents}.get(plain(named))
    if agent is None:
        return Turn(skipped=f"the coordinator named {named!r}, and the agents are: {', '.join(agents)}")
    return Turn(agent, str(found.get("instruction") or "").strip())
