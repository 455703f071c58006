"""The picture of an agent: its tools, how it thinks, and the agents that it asks, with theirs.

Tools that an architecture brings are not drawn: they stand for the agents that they lead to, which are.
"""

from collections.abc import Mapping

from ...actors.children import Asked, HasSpec, spec_of
from ...actors.spec import AgentSpec
from ...actors.strategies.architecture import Architecture, tools_of
from ...actors.strategies.react import ReAct
from ...actors.workflow.silent import Silent
from .picture import Picture, Sketch


def picture_of_agent(agent: HasSpec | AgentSpec) -> Picture:
    """What there is to see of an agent, or of a team, which is an agent too.

    An agent that is asked in several places is one node, so a circle of agents comes to an end.
    """
    drawing = _Drawing()
    drawing.agent(agent)
    return drawing.sketch.picture


class _Drawing:
    def __init__(self) -> None:
        self.sketch = Sketch()
        self._drawn: dict[int | str, str] = {}
        """The nodes of agents, by the identity of the object; of hosted ones by their names."""

    def agent(self, asked: Asked, role: str = "") -> str:
        """The node of whom somebody asks; it is drawn with all that it has when it is met for the first time."""
        key = asked if isinstance(asked, str) else id(asked)
        if key not in self._drawn:
            if isinstance(asked, str):
                self._drawn[key] = self.sketch.add(asked, "hosted")
            else:
                self._draw(asked, role)
        return self._drawn[key]

    def _draw(self, agent: HasSpec | AgentSpec, role: str) -> None:
        sketch, spec = self.sketch, spec_of(agent, role)
        if isinstance(spec.model, Silent):  # of its nodes it has a picture of its own
            self._drawn[id(agent)] = sketch.add(spec.name, "workflow")
            return
        node = self._drawn[id(agent)] = sketch.add(f"{spec.name}\n{spec.model.name}", "agent")
        brought = {tool.name for tool in tools_of(spec.architecture)}
        for name in spec.tools:
            if name not in brought:
                sketch.connect(node, sketch.add(name, "tool"))
        awaited: list[str] = getattr(agent, "awaited_tools", [])
        for name in awaited:  # workers have to be asked what they take
            sketch.connect(node, sketch.add(name, "tool"), dashed=True)
        self._thinks(node, spec.architecture)

    def _thinks(self, above: str, architecture: Architecture, label: str = "") -> None:
        """How it thinks: nothing for the plain loop, which every agent has unless something else is said."""
        if isinstance(architecture, ReAct):
            return
        node = self.sketch.add(architecture.name, "architecture")
        self.sketch.connect(above, node, label)
        base: Architecture | None = getattr(architecture, "base", None)
        workers = _own_workers(architecture, base)
        for role, worker in workers.items():
            target = self.agent(worker, role)
            self.sketch.connect(node, target, role, dashed=isinstance(worker, str))
        if base is not None:
            self._thinks(node, base, "base")


def _own_workers(architecture: Architecture, base: Architecture | None) -> Mapping[str, Asked]:
    """Those that it asks itself: an architecture that only wraps another one declares the other's workers."""
    of_base: Mapping[str, Asked] = base.declared_workers() if base is not None else {}
    declared = architecture.declared_workers()
    return {role: worker for role, worker in declared.items() if of_base.get(role) is not worker}
