"""Swarm: peers that pass control to one another, and nobody above them. The last one's answer is the answer.

Source: OpenAI, "Orchestrating Agents: Routines and Handoffs" and Swarm, 2024.

Each peer's turn is a run of its own, a child, whose end says whether it answered or handed over. So who is at it is in
the run's events: a swarm that is resumed goes on with the right one, and so does the next message of its session.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import structs

from ...events.errors import ConfigError
from ...events.message import Image, Message, OutputFormat
from ...events.run import Run, ValueRecorded
from ..children import Asked, spec_of
from ..model_charges import Interrupted
from ..output import directive
from ..spec import AgentSpec
from ..steps import Steps
from .checks import check_count
from .handoff import HandoffTools, Passed, Peer, typed_name
from .members import SPEAKS, answer_of, check_agent, check_members, check_name, conversation_of, manner_of, question_of

CYCLE = 6
"""So many handoffs of one pair, to and fro, are a circle."""

_ACTIVE = "active peer"


class _Turn(NamedTuple):
    """What a peer is asked."""

    peer: str
    prompt: str
    history: tuple[Message, ...]
    images: tuple[Image, ...] = ()


class Swarm:
    """Peers with a `handoff` tool, or a `transfer_to_<name>` for each that takes more than a message.

    A peer that is the name of a hosted agent can be handed to, and answers: it has no tools of the swarm. Peers answer
    in any form of their own; `output_schema=` of the swarm's own agent says what its answer has to be. Peers are told,
    and an answer that does not fit is corrected by that agent.

    Args:
        agents: The peers by their names: agents, names of hosted ones, or `Handoff`s.
        entry_agent: Who begins.
        max_handoffs: After so many the last peer answers without handing over, and the run ends interrupted as
            `swarm:max_handoffs`.
        detect_cycles: Two peers that pass control to and fro, six times, end the same way: `swarm:cycle_detected`.
        pass_full_history: A peer is shown the conversation and what was handed over; else the message alone.
        handoffs: How control passes to peers, by their names, where `agents` does not say it.
        resume_last_agent: The next message of a session goes to the peer that had the last one.
    """

    name = "swarm"
    calls_tools = False

    def __init__(
        self,
        agents: "Mapping[str, Asked | Peer]",
        entry_agent: str,
        *,
        max_handoffs: int = 8,
        detect_cycles: bool = True,
        pass_full_history: bool = True,
        handoff_tool_name: str = "handoff",
        handoffs: Mapping[str, Peer] | None = None,
        resume_last_agent: bool = True,
    ) -> None:
        check_members("Swarm(agents=)", agents)
        check_members("Swarm(handoffs=)", handoffs or {})
        given = {**agents, **(handoffs or {})}
        self._peers = {name: peer if isinstance(peer, Peer) else Peer(peer) for name, peer in given.items()}
        if entry_agent not in self._peers:
            raise ConfigError(f"entry_agent={entry_agent!r} is none of the swarm's: {', '.join(self._peers) or 'none'}")
        for name, peer in self._peers.items():
            check_name("the name of a peer", name)
            check_agent(f"peer {name!r}", peer.agent)
        check_count("max_handoffs", max_handoffs)
        if len({typed_name(name) for name in self._peers}) < len(self._peers):
            raise ConfigError(f"two peers would have one tool: {', '.join(self._peers)}; use letters, digits, '_', '-'")
        for name, peer in self._peers.items():
            if not isinstance(peer.agent, str):
                _check_tools(name, spec_of(peer.agent, name), HandoffTools(handoff_tool_name, self._others(name)))
        self._entry = entry_agent
        self._max_handoffs = max_handoffs
        self._detect_cycles = detect_cycles
        self._full_history = pass_full_history
        self._tool_name = handoff_tool_name
        self._resume_last = resume_last_agent

    def __repr__(self) -> str:
        return f"Swarm({', '.join(self._peers)}, entry_agent={self._entry!r})"

    def declared_workers(self) -> Mapping[str, Asked]:
        return {name: peer.agent for name, peer in self._peers.items()}

    async def run(self, steps: Steps) -> str:
        turn = _Turn(await self._first(steps), question_of(steps), tuple(conversation_of(steps)), steps.images)
        handed: list[tuple[str, str]] = []
        while True:
            ends = self._ends(handed)
            tools = HandoffTools(self._tool_name, {} if ends else self._others(turn.peer))
            child = await steps.agent(
                self._agent(turn.peer, tools, steps.form),
                turn.prompt,
                role=turn.peer,
                history=turn.history,
                images=turn.images,
                manner=manner_of(steps, self._peers[turn.peer].agent, SPEAKS),
            )
            answer = answer_of(steps, child, "swarm", "peer", turn.peer)
            if ends:
                raise Interrupted(ends, f"control was handed over {len(handed)} times", answer)
            passed = tools.passed(child.ended_by)
            if passed is None:
                return answer
            handed.append((turn.peer, passed.target))
            turn = self._next(turn, passed)

    async def _first(self, steps: Steps) -> str:
        """Who is first: who has control if the run is sent on, who had the session's last message, or the entry."""
        if not self._resume_last:
            return self._entry
        before = steps.so_far if steps.goes_on else await steps.previous_run()
        last = self._entry if before is None else self._active(before)
        found: str = await steps.value(_ACTIVE, lambda: last)
        return found if found in self._peers else self._entry

    def _active(self, run: Run) -> str:
        """Who had control when that run ended."""
        started_with = [value for value in run.values.values() if isinstance(value, ValueRecorded)]
        active = next((str(value.value) for value in started_with if value.name == _ACTIVE), self._entry)
        for child in run.children.values():
            if (role := child.requested.role) not in self._peers:
                continue
            tools = HandoffTools(self._tool_name, self._others(role))
            passed = tools.passed(child.ended.ended_by) if child.ended is not None else None
            active = passed.target if passed is not None else role
        return active

    def _ends(self, handed: Sequence[tuple[str, str]]) -> str:
        """Why nobody may hand over any more; empty when they may."""
        last = handed[-CYCLE:]
        if self._detect_cycles and len(last) == CYCLE and len({frozenset(pair) for pair in last}) == 1:
            return "swarm:cycle_detected"
        return "swarm:max_handoffs" if len(handed) >= self._max_handoffs else ""

    def _others(self, name: str) -> Mapping[str, Peer]:
        return {other: peer for other, peer in self._peers.items() if other != name}

    def _agent(self, name: str, tools: HandoffTools, form: OutputFormat | None) -> "str | AgentSpec":
        agent = self._peers[name].agent
        if isinstance(agent, str):
            return agent
        spec = spec_of(agent, name)
        _check_tools(name, spec, tools)
        # What it says on handing over need not fit what its answers are to be: so it is told, and not held to it.
        told = [spec.instructions, *([] if form is None else [directive(form)])]
        manner = structs.replace(spec.manner, output=None)
        instructions = "\n\n".join(filter(None, told))
        return structs.replace(spec, instructions=instructions, tools={**spec.tools, **tools.tools}, manner=manner)

    def _next(self, turn: _Turn, passed: Passed) -> _Turn:
        prompt = passed.message or turn.prompt
        if not self._full_history:
            return _Turn(passed.target, prompt, ())
        history = turn.history
        if passed.message:
            said = Message("assistant", f"[{turn.peer} hands over to {passed.target}]")
            history = (*history, Message("user", turn.prompt, images=turn.images), said)
        images = () if passed.message else turn.images
        return _Turn(passed.target, prompt, self._peers[passed.target].shown(passed.target, history), images)


def _check_tools(name: str, spec: AgentSpec, handing: HandoffTools) -> None:
    """Refuse a peer whose own tool would be hidden by one that hands over.

    Raises:
        ConfigError: There is one.
    """
    if both := sorted(spec.tools.keys() & handing.tools.keys()):
        raise ConfigError(
            f"two tools of peer {name!r} are called {both[0]!r}: its own, and one of the swarm; rename one"
        )
