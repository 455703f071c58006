"""What is otherwise in a fork, from the cut on: who goes on, what it is told, and with what it works."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from ..actors.plan_tools import make_plan_tools
from ..actors.run import catalogue
from ..actors.spec import AgentSpec
from ..actors.strategies.architecture import equipped, tools_of
from ..actors.tool import Tool
from ..actors.workflow.walk import INPUT, WorkflowRun
from ..events.child_step import ChildRequested
from ..events.cut import Cut
from ..events.errors import ConfigError
from ..events.fork_terms import ForkTerms
from ..events.message import ToolSpec
from ..events.model_step import ModelRequested
from ..events.redaction import redact
from ..events.run import RunStarted
from ..events.run_tree import RunTree, records_of
from ..events.steering import RunSteered
from ..events.tool_step import ToolRequested
from .arguments import check_mapping, check_prompt, check_text
from .models.resolver import resolve_model
from .node import Node
from .steering import steering_of
from .tools.function import by_name


class Changes(Struct, frozen=True, kw_only=True):
    """What is otherwise in a fork, from the cut on.

    Attributes:
        model: Who goes on, as `Agent(model=…)` takes it; None for the agent's own.
        models: Who answers for the agents that it asks, by their roles, in the whole tree.
        prompt: The question, where nothing of the run is shared but that; else what the user says further.
        instructions: In the place of the run's.
        tools: In the place of the agent's own, as `Agent(tools=…)` takes them; those of its architecture stay.
    """

    model: Any = None
    models: Mapping[str, Any] = {}
    prompt: str | None = None
    instructions: str | None = None
    tools: Sequence[Any] | None = None

    def check(self) -> None:
        """Raises ConfigError when one of them is not what it should be."""
        check_mapping("models", self.models)
        if self.prompt is not None:
            check_prompt(self.prompt)
        if self.instructions is not None:
            check_text("instructions", self.instructions)


def going_on(node: Node, fork_id: str, origin: RunStarted, changes: Changes) -> tuple[AgentSpec, str]:
    """The agent of the fork, and the name of the other model that it is forked to."""
    spec = node.host.agent(origin.agent)
    if isinstance(spec.architecture, WorkflowRun):
        _check_workflow(spec.name, changes)
    if changes.model is None:
        forked_to = origin.forked_to
    else:
        forked_to = lent(node, changes.model)
        origin = structs.replace(origin, forked_to=forked_to, model="")
    if changes.tools is not None:
        brought = {tool.name: tool for tool in _brought(spec)}
        spec = structs.replace(spec, tools={**by_name(changes.tools), **brought})
        origin = structs.replace(origin, fork=None)
    spec = node.host.going_on(spec, origin)
    if has_tools(origin, changes):
        node.host.lend_tools(fork_id, spec.tools)
    return spec, forked_to


def _check_workflow(name: str, changes: Changes) -> None:
    """Raises ConfigError for what a workflow does not have: its functions are its tools, and nobody leads it."""
    given = {"model": changes.model, "instructions": changes.instructions, "tools": changes.tools}
    wrong = [f"{each}=" for each, value in given.items() if value is not None]
    if wrong:
        what = " and ".join(wrong)
        raise ConfigError(
            f"workflow {name!r} cannot be forked with {what}, which only its nodes have; models= changes who answers "
            "for an agent of it, and prompt= what it is asked"
        )


def _brought(spec: AgentSpec) -> list[Tool]:
    """The tools that its architecture and its plan bring, which nobody gives to it."""
    return [*tools_of(spec.architecture), *(make_plan_tools() if spec.living_plan is not None else ())]


def has_tools(origin: RunStarted, changes: Changes) -> bool:
    """Whether the fork has tools of its own: it was given some, or shares those of a fork that was."""
    return changes.tools is not None or (origin.fork is not None and origin.fork.tools)


def lent(node: Node, model: Any) -> str:
    """The name by which the fork finds a model again."""
    if isinstance(model, str):
        node.host.model(model)
        return model
    resolved = resolve_model(model)
    node.host.lend(resolved)
    return resolved.name


def changed(tree: RunTree, spec: AgentSpec, changes: Changes, found: Cut, terms: ForkTerms) -> RunStarted:
    """How the run began, with what is otherwise in the fork."""
    origin, records = tree.branches[tree.root].started, list(records_of(found.runs[tree.root]))
    assert origin is not None
    if not any(isinstance(record, ModelRequested) for record in records) and origin.output is not None:
        # Nobody was told yet what the answer has to be: this model is, or is held to it.
        native = bool(getattr(spec.model, "native_output", False))
        origin = structs.replace(origin, output=structs.replace(origin.output, native=native))
    prompt, instructions = redact(changes.prompt or ""), changes.instructions
    instructions = redact(instructions) if instructions is not None else None
    if changes.tools is not None:
        origin = structs.replace(origin, tools=_catalogue(origin, spec))
    if _is_under_way(found, tree.root):
        if instructions is None and origin.fork is not None:
            instructions = origin.fork.instructions
        return structs.replace(origin, fork=structs.replace(terms, instructions=instructions))
    # Nobody has been told anything yet.
    if prompt:
        inputs = {name: value for name, value in origin.shown.get("inputs", {}).items() if name != INPUT}
        shown = {**origin.shown, "inputs": inputs} if inputs else _without(origin.shown, "inputs")
        origin = structs.replace(origin, prompt=prompt, shown=shown)
    if instructions is not None:
        origin = structs.replace(origin, instructions=instructions)
    return structs.replace(origin, fork=terms)


def said_further(fork_id: str, root: str, changes: Changes, found: Cut) -> tuple[RunSteered, ...]:
    """What the user says where the question has been put already: the fork is steered by it from its beginning on."""
    if not changes.prompt or not _is_under_way(found, root):
        return ()
    said = steering_of(changes.prompt, id=fork_id)
    return (RunSteered(steering_id=fork_id, text=redact(said.text)),)


def _is_under_way(found: Cut, root: str) -> bool:
    """Whether somebody has been told the run's question, or works on it."""
    return any(
        isinstance(record, ModelRequested | ToolRequested | ChildRequested) for record in records_of(found.runs[root])
    )


def _catalogue(origin: RunStarted, spec: AgentSpec) -> tuple[ToolSpec, ...]:
    """The tools as the fork's model is shown them; those of its architecture as they were."""
    brought = {tool.name for tool in _brought(spec)}
    known = {tool.name: tool for tool in origin.tools if tool.name in brought}
    return tuple(known.get(tool.name, tool) for tool in catalogue(equipped(spec)))


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}
