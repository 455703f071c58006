"""One of each architecture, a workflow, an agent with goals: made the same when their runs are recorded and replayed.

What stands here is a part of the histories: a changed instruction, route or prompt is another question to a model. What
an architecture says by itself is not here, and a change of that is what the histories are to find.
"""

from collections.abc import Callable
from typing import Any

from treadle import END, START, Agent, FunctionModel, StopContext, Team, Workflow, step, tool
from treadle.architecture import PlanAndExecute, Reflexion, ReWOO, RouterRoute, SelfRefine, TreeOfThoughts

TASK = "How do the tides work?"

Thinker = Agent | Workflow
Work = Callable[[str], str]


class Makes:
    """Makes thinkers over one model and one piece of work, both of whoever records or replays."""

    def __init__(self, model: FunctionModel, work: Work) -> None:
        self.model = model
        self._work = work

    def member(self, **how: Any) -> Agent:
        return Agent("You help.", model=self.model, **how)

    def team(self, made: Callable[..., Agent], *members: Any, **how: Any) -> Agent:
        return made(*members, instructions="You lead.", model=self.model, **how)

    def look_up(self) -> Any:
        work = self._work

        @tool(read_only=True)
        def look_up(topic: str) -> str:
            """Look a topic up."""
            return work(topic)

        return look_up

    def workflow(self) -> Workflow:
        made = Workflow("desk")
        made.add_node("think", step(read_only=True)(self._work)).add_edge(START, "think")
        made.add_node("ask", self.member()).add_edge("think", "ask")
        made.add_node("each", Workflow.fan_out([self.member(), self.member()], merge=step(read_only=True)(" ".join)))
        made.add_edge("ask", "each").add_edge("each", END)
        return made


THINKERS: dict[str, Callable[[Makes], Thinker]] = {
    "react": lambda makes: makes.member(tools=[makes.look_up()]),
    "self-refine": lambda makes: makes.member(architecture=SelfRefine()),
    "reflexion": lambda makes: makes.member(architecture=Reflexion()),
    "tree-of-thoughts": lambda makes: makes.member(architecture=TreeOfThoughts(branch_factor=2, max_depth=2)),
    "plan-and-execute": lambda makes: makes.member(architecture=PlanAndExecute()),
    "rewoo": lambda makes: makes.member(architecture=ReWOO(), tools=[makes.look_up()]),
    "router": lambda makes: makes.team(Team.router, [RouterRoute("moon", makes.member(), "the moon")]),
    "supervisor": lambda makes: makes.team(Team.supervisor, {"a": makes.member(), "b": makes.member()}),
    "swarm": lambda makes: makes.team(Team.swarm, {"a": makes.member(), "b": makes.member()}, "a"),
    "actor_critic": lambda makes: makes.team(Team.actor_critic, makes.member(), makes.member()),
    "debate": lambda makes: makes.team(
        Team.debate, [makes.member(), makes.member()], judge=makes.member(), rounds=1, convergence_check=False
    ),
    "blackboard": lambda makes: makes.team(
        Team.blackboard, {"a": makes.member()}, coordinator=makes.member(), decider=makes.member()
    ),
    "workflow": Makes.workflow,
    "goals": lambda makes: makes.member(
        tools=[makes.look_up()],
        living_plan=["Find the cause."],
        stop_hooks=[wants_a_reason],
        run_until="it says which way",
        quality=["It names the tides."],
    ),
}


def wants_a_reason(context: StopContext) -> str | None:
    return "Say why." if context.iteration == 0 else None
