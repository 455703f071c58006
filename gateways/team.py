"""`Team`: agents that work together, each kind by one call. What comes is an `Agent` like any other.

`Team.supervisor(workers, …)` is `Agent(…, architecture=Supervisor(workers, …))`, and so with the others: the long
form is for architectures of architectures.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Unpack

from ..actors.children import Asked
from ..actors.decider import Decider
from ..actors.strategies import (
    ActorCritic,
    BlackboardArchitecture,
    MultiAgentDebate,
    Peer,
    Router,
    RouterRoute,
    Supervisor,
    Swarm,
)
from ..actors.strategies.architecture import GivenArchitecture
from ..actors.strategies.router import RouteDecider
from ..actors.strategies.supervisor import INSTRUCTIONS
from .agent import Agent
from .agent_options import AgentOptions


class Team:
    """Makes agents of agents. Each function takes what its architecture takes, and what `Agent` takes beside it.

    Members are agents, or names of hosted ones, on this node or another.
    """

    @staticmethod
    def supervisor(
        workers: Mapping[str, Asked],
        *,
        base: GivenArchitecture = "react",
        instructions_template: str = INSTRUCTIONS,
        delegate_tool_name: str = "delegate",
        forward_tool_name: str = "forward_message",
        persistent_subagents: bool = True,
        worker_registry: Mapping[str, Asked] | None = None,
        role_to_worker_id: Mapping[str, str] | None = None,
        allow_spawn: bool = False,
        max_spawned: int = 5,
        spawn_template: Asked | None = None,
        **agent: Unpack[AgentOptions],
    ) -> Agent:
        """One leads the others: it delegates, and answers from what comes back. See `Supervisor`."""
        architecture = Supervisor(
            workers,
            base=base,
            instructions_template=instructions_template,
            delegate_tool_name=delegate_tool_name,
            forward_tool_name=forward_tool_name,
            persistent_subagents=persistent_subagents,
            worker_registry=worker_registry,
            role_to_worker_id=role_to_worker_id,
            allow_spawn=allow_spawn,
            max_spawned=max_spawned,
            spawn_template=spawn_template,
        )
        return Agent(architecture=architecture, **agent)

    @staticmethod
    def swarm(
        agents: Mapping[str, Asked | Peer],
        entry_agent: str,
        *,
        max_handoffs: int = 8,
        detect_cycles: bool = True,
        pass_full_history: bool = True,
        handoff_tool_name: str = "handoff",
        handoffs: Mapping[str, Peer] | None = None,
        resume_last_agent: bool = True,
        **agent: Unpack[AgentOptions],
    ) -> Agent:
        """Peers pass control to one another, and the last one answers. See `Swarm`."""
        architecture = Swarm(
            agents,
            entry_agent,
            max_handoffs=max_handoffs,
            detect_cycles=detect_cycles,
            pass_full_history=pass_full_history,
            handoff_tool_name=handoff_tool_name,
            handoffs=handoffs,
            resume_last_agent=resume_last_agent,
        )
        return Agent(architecture=architecture, **agent)

    @staticmethod
    def router(
        routes: Sequence[RouterRoute],
        *,
        fallback_route: str | None = None,
        require_confidence_above: float = 0.0,
        classifier_prompt: str | None = None,
        decider: Decider | RouteDecider | None = None,
        worker_registry: Mapping[str, Asked] | None = None,
        role_to_worker_id: Mapping[str, str] | None = None,
        conversation_scope: Literal["per_route", "shared"] = "per_route",
        **agent: Unpack[AgentOptions],
    ) -> Agent:
        """One model call chooses who answers. See `Router`."""
        architecture = Router(
            routes,
            fallback_route=fallback_route,
            require_confidence_above=require_confidence_above,
            classifier_prompt=classifier_prompt,
            decider=decider,
            worker_registry=worker_registry,
            role_to_worker_id=role_to_worker_id,
            conversation_scope=conversation_scope,
        )
        return Agent(architecture=architecture, **agent)

    @staticmethod
    def actor_critic(
        actor: Asked,
        critic: Asked,
        *,
        max_rounds: int = 3,
        approval_threshold: float = 0.9,
        critique_template: str | None = None,
        refine_template: str | None = None,
        **agent: Unpack[AgentOptions],
    ) -> Agent:
        """One writes, the other criticises, until it is good. See `ActorCritic`."""
        architecture = ActorCritic(
            actor,
            critic,
            max_rounds=max_rounds,
            approval_threshold=approval_threshold,
            critique_template=critique_template,
            refine_template=refine_template,
        )
        return Agent(architecture=architecture, **agent)

    @staticmethod
    def debate(
        debaters: Sequence[Asked],
        *,
        judge: Asked | None = None,
        rounds: int = 2,
        convergence_check: bool = True,
        convergence_similarity: float = 0.85,
        debater_instructions: str | None = None,
        judge_instructions: str | None = None,
        **agent: Unpack[AgentOptions],
    ) -> Agent:
        """Several answer, read each other, and answer again. See `MultiAgentDebate`."""
        architecture = MultiAgentDebate(
            debaters,
            judge=judge,
            rounds=rounds,
            convergence_check=convergence_check,
            convergence_similarity=convergence_similarity,
            debater_instructions=debater_instructions,
            judge_instructions=judge_instructions,
        )
        return Agent(architecture=architecture, **agent)

    @staticmethod
    def blackboard(
        agents: Mapping[str, Asked],
        *,
        coordinator: Asked | None = None,
        decider: Asked | None = None,
        max_rounds: int = 10,
        coordinator_template: str | None = None,
        agent_template: str | None = None,
        decider_template: str | None = None,
        **agent: Unpack[AgentOptions],
    ) -> Agent:
        """Agents work on one board, and a coordinator picks who is next. See `BlackboardArchitecture`."""
        architecture = BlackboardArchitecture(
            agents,
            coordinator=coordinator,
            decider=decider,
            max_rounds=max_rounds,
            coordinator_template=coordinator_template,
            agent_template=agent_template,
            decider_template=decider_template,
        )
        return Agent(architecture=architecture, **agent)
