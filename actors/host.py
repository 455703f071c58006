"""What actors of one system know of each other: who is hosted, and where everybody lives."""

from collections.abc import Iterator, Mapping
from weakref import WeakValueDictionary

from msgspec import structs

from ..events.blackboard import blackboard_stream
from ..events.budget import budget_stream
from ..events.errors import ConfigError, NotFound
from ..events.memory import memory_stream
from ..events.run import RunStarted, run_stream
from ..events.session import session_stream
from ..events.worker import worker_stream
from ..events.workspace import workspace_stream
from .model import Model
from .result import RunResult
from .runtime import ActorSystem, Ref
from .services import Services
from .spec import AgentSpec
from .tool import Tool


class Host:
    """The agents that a system hosts, the ports it hands its actors, and the addresses of them all.

    An actor's address is the name of its stream.
    """

    def __init__(self, system: ActorSystem, services: Services) -> None:
        self.system = system
        self.services = services
        self._agents: dict[str, AgentSpec] = {}
        self._replaced: WeakValueDictionary[int, Model] = WeakValueDictionary()
        self._lent: dict[str, Model] = {}  # by what forks call them
        self._tools: dict[str, Mapping[str, Tool]] = {}  # by the forks that have them

    def add(self, spec: AgentSpec) -> None:
        """Host an agent; one of the same name is replaced, and its running runs go on as they began."""
        before = self._agents.get(spec.name)
        if before is not None and before.model is not spec.model and hasattr(before.model, "__weakref__"):
            self._replaced[id(before.model)] = before.model
        self._agents[spec.name] = spec

    def meet(self, spec: AgentSpec) -> None:
        """An agent that nobody hosts runs here, for another one; its model is closed with the others."""
        if hasattr(spec.model, "__weakref__"):
            self._replaced[id(spec.model)] = spec.model

    @property
    def models(self) -> list[Model]:
        """The models of forks, and of all agents that are hosted here, or were and are still around; each once."""
        found = {id(model): model for model in (*self._lent.values(), *(spec.model for spec in self))}
        return list({**dict(self._replaced), **found}.values())

    def agent(self, name: str) -> AgentSpec:
        """The agent of that name.

        Raises:
            NotFound: It is not hosted here; the message lists who is.
        """
        spec = self._agents.get(name)
        if spec is None:
            known = ", ".join(self.names()) or "none"
            raise NotFound("agent", name, f"hosted here: {known}")
        return spec

    def lend(self, model: Model) -> None:
        """Forks may go on with this model, which `model=` does not take by its name."""
        self._lent[model.name] = model

    def model(self, name: str) -> Model:
        """The model that forks know by this name: one that was lent, or what `model=` takes.

        Raises:
            ConfigError: There is none.
        """
        model = self._lent.get(name)
        if model is None:
            if self.services.resolve is None:
                raise ConfigError(f"this system knows no models by their names, and no model {name!r} was lent to it")
            model = self._lent[name] = self.services.resolve(name)
        return model

    def lend_tools(self, fork_id: str, tools: Mapping[str, Tool]) -> None:
        """This fork goes on with these tools."""
        self._tools[fork_id] = tools

    def going_on(self, spec: AgentSpec, started: RunStarted) -> AgentSpec:
        """The agent of a run that goes on: with the model and the tools that the run was forked to, if it was, and
        in the workspace that it was given by whoever asked it.

        Raises:
            ConfigError: Nobody here knows them.
        """
        if started.fork is not None and started.fork.tools:
            tools = self._tools.get(started.fork.tree)
            if tools is None:
                raise ConfigError(
                    f"run {started.fork.tree!r} was forked to other tools, objects that this process does not have; "
                    "fork it again with those tools, under its own id as fork_id"
                )
            spec = structs.replace(spec, tools=tools)
        if started.workspace is not None and spec.workspace is None and self.services.rejoin is not None:
            spec = self.services.rejoin(spec, started.workspace)
        name = started.forked_to
        if not name or spec.model.name == started.model:
            return spec
        try:
            return structs.replace(spec, model=self.model(name))
        except ConfigError as exc:
            raise ConfigError(
                f"a run was forked to model {name!r}, an object that this process does not have; fork it again with "
                f"that model, under its own id as fork_id ({exc})"
            ) from exc

    def __contains__(self, name: object) -> bool:
        return name in self._agents

    def __iter__(self) -> Iterator[AgentSpec]:
        return iter(tuple(self._agents.values()))

    def names(self) -> list[str]:
        """The names of the agents, sorted."""
        return sorted(self._agents)

    def session(self, user_id: str, agent: str, session_id: str) -> Ref:
        return self.system.ref(session_stream(user_id, agent, session_id))

    async def result(self, ref: Ref, message: object) -> RunResult:
        """Ask something that is answered with the result of a run."""
        answer: RunResult = await ref.ask(message)
        return answer

    def live(self, kind: str) -> list[Ref]:
        """Refs to all actors of a kind that are loaded now."""
        prefix = f"{kind}-"
        return [self.system.ref(cell.address) for cell in self.system.directory if cell.address.startswith(prefix)]

    def run(self, run_id: str) -> Ref:
        return self.system.ref(run_stream(run_id))

    def memory(self, user_id: str) -> Ref:
        return self.system.ref(memory_stream(user_id))

    def budget(self, scope: str) -> Ref:
        return self.system.ref(budget_stream(scope))

    def blackboard(self, name: str) -> Ref:
        return self.system.ref(blackboard_stream(name))

    def workspace(self, user_id: str, name: str) -> Ref:
        return self.system.ref(workspace_stream(user_id, name))

    def worker(self, name: str) -> Ref:
        return self.system.ref(worker_stream(name))
