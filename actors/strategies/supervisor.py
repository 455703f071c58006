"""Supervisor: one agent leads others. It delegates, in parallel where it can, and puts together what comes back.

Source: the orchestrator and its workers in Anthropic, "Building effective agents", 2024; passing an answer on word for
word: W. Fu-Hinthorn, "Benchmarking Multi-Agent Architectures", LangChain, 2025.

What its workers have said in a run is in the run's events, and nowhere else: two runs that share one `Supervisor` share
nothing, and a run that is resumed knows it all. The tools are in `delegating.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...events.errors import ConfigError
from ..children import Asked
from ..steps import Steps
from ..tool import Tool
from .architecture import Around, GivenArchitecture, answer_by
from .checks import check_count
from .delegating import Desk, ToolNames
from .members import check_agent, check_members, check_name
from .templates import check_template, filled
from .worker_ids import WorkerIds

INSTRUCTIONS = """\
You lead the workers listed below. Hand each piece of the work to the one whom it suits, with {delegate}; pieces that \
do not need each other belong into one turn, where they are worked on at the same time. A worker sees nothing of this \
conversation: write down all that it needs. When a worker's last answer is what the user should get, hand it on \
unchanged with {forward}; otherwise write the answer yourself from what the workers said. If a worker fails, say so or \
find another way; never make up what it did not tell you.

Workers:
{workers}"""


class Supervisor(Around):
    """Leads workers by the tools `delegate`, `forward_message` and `send_message`.

    Args:
        workers: Agents, or names of hosted ones, by their roles.
        base: How it thinks itself; one that calls tools, as it delegates by them.
        instructions_template: What its model is told beside the agent's instructions; `{workers}` stands for the list
            of them, `{delegate}` and `{forward}` for the tools' names.
        persistent_subagents: A worker goes on with one conversation per user, over all runs and processes: it is made
            of role, instructions and user. Tasks for one worker then have their turn one after the other. Without it,
            and for workers that are spawned, each task begins anew, and `send_message` goes on with this run's.
        worker_registry, role_to_worker_id: Workers that go on with one conversation with each user whatever
            `persistent_subagents` says, under ids that are given and not made: `role_to_worker_id` has them by role;
            `worker_registry` has agents by ids, who take the place of the role's own.
        allow_spawn: The model may make up workers for the run, by `spawn_worker(role, instructions)`.
        max_spawned: How many in one run.
        spawn_template: What a spawned worker is beside its role and instructions: its model, its tools. Default: the
            supervisor's model, and no tools.
    """

    name = "supervisor"

    def __init__(
        self,
        workers: Mapping[str, Asked],
        *,
        base: GivenArchitecture = "react",
        instructions_template: str = INSTRUCTIONS,
        delegate_tool_name: str = "delegate",
        forward_tool_name: str = "forward_message",
        persistent_subagents: bool = False,
        worker_registry: Mapping[str, Asked] | None = None,
        role_to_worker_id: Mapping[str, str] | None = None,
        allow_spawn: bool = False,
        max_spawned: int = 5,
        spawn_template: "Asked | None" = None,
    ) -> None:
        check_members("Supervisor(workers=)", workers)
        if not workers and not allow_spawn:
            raise ConfigError("a Supervisor without workers leads nobody; give it some, or allow_spawn=True")
        check_count("max_spawned", max_spawned)
        if isinstance(spawn_template, str):
            raise ConfigError(f"spawn_template={spawn_template!r} is a name; a spawned worker is made of an agent")
        for role, worker in workers.items():
            _check(role, worker)
        super().__init__(base)
        if not self.calls_tools:
            raise ConfigError(
                f"Supervisor(base={self._base.name!r}) would never ask its workers: {self._base.name} calls no tools; "
                "use 'react' or 'rewoo', or one that is around them"
            )
        self._ids = WorkerIds(worker_registry, role_to_worker_id, workers)
        self._workers = {role: self._ids.who(role, worker) for role, worker in workers.items()}
        self._template = check_template("instructions_template", instructions_template, ["workers"])
        self._names = ToolNames(delegate_tool_name, forward_tool_name)
        self._persistent = persistent_subagents
        self._most_spawned = max_spawned if allow_spawn else 0
        self._spawn_template = spawn_template

    def __repr__(self) -> str:
        return f"Supervisor({', '.join(self._workers)})"

    def declared_workers(self) -> Mapping[str, Asked]:
        return {**super().declared_workers(), **self._workers}

    def add_worker(self, role: str, worker: Asked) -> None:
        """One more worker, for runs that begin from now on.

        Raises:
            ConfigError: There is one of that role.
        """
        if role in self._workers:
            raise ConfigError(f"there is a worker {role!r} already; remove it first")
        _check(role, worker)
        self._workers = {**self._workers, role: worker}

    def remove_worker(self, role: str) -> None:
        """One worker less, for runs that begin from now on.

        Raises:
            ConfigError: There is none of that role, or no other.
        """
        if role not in self._workers:
            raise ConfigError(f"there is no worker {role!r}; there are: {', '.join(self._workers)}")
        if len(self._workers) == 1 and not self._most_spawned:
            raise ConfigError(f"{role!r} is the only worker; a Supervisor without workers leads nobody")
        self._workers = {name: worker for name, worker in self._workers.items() if name != role}

    @property
    def tools(self) -> Sequence[Tool]:
        """Those that lead the workers that there are now, and what `base` brings."""
        desk = Desk(self._workers, self._ids, self._names, self._persistent, self._most_spawned, self._spawn_template)
        return (*desk.tools, *super().tools)

    async def run(self, steps: Steps) -> str:
        part = steps.part(note=self._note(steps))
        answer = await answer_by(self._base, part)
        steps.last, steps.shortfall = part.last, part.shortfall  # where a correction of the answer goes on
        return answer

    def _note(self, steps: Steps) -> str:
        """As the run began: its catalogue of tools is recorded, and has the list of its workers."""
        told = {tool.name: tool for tool in steps.toolbox}.get(self._names.delegate)
        schema: dict[str, Any] = msgspec.json.decode(told.parameters) if told is not None else {}
        roster: str = schema.get("properties", {}).get("worker", {}).get("description", "")
        return filled(self._template, delegate=self._names.delegate, forward=self._names.forward, workers=roster)


def _check(role: str, worker: Asked) -> None:
    check_name("the role of a worker", role)
    check_agent(f"worker {role!r}", worker)
