"""A run replayed with today's code: the models' answers are frozen, and so are the tools unless they are to be called.

It begins like the run that is replayed, under the same id, in a journal in memory. So tools that are called get the
same call ids, and what does something once for an id does nothing again.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field, structs

from ...actors.context import current_call
from ...actors.result import RunResult
from ...actors.run import catalogue
from ...actors.run_actor import StartRun
from ...actors.run_history import Fork, RunHistory, RunRequest, history_of, messages_of, turns_before
from ...actors.spec import AgentSpec
from ...actors.tool import Tool
from ...actors.tool_execution import SettledElsewhere
from ...events.envelope import Recorded
from ...events.event import Event
from ...events.fork_copy import copied
from ...events.journal import Journal
from ...events.model_step import STEERED, ModelFailed, ModelRequested
from ...events.plan import PlanOpened, PlanWritten
from ...events.redaction import redacted
from ...events.run import MemoryRecalled, MemoryUnreadable, Run, ValueRecorded, run_stream
from ...events.steering import RunSteered
from ...events.tool_step import ToolCompleted, ToolFailed, ToolOutcomeUnknown
from ..node import Node
from .cassette import Cassette
from .cut import cut

_VALUES = frozenset(kind.event_tag for kind in (MemoryRecalled, MemoryUnreadable, ValueRecorded, PlanOpened))


class Replayed(Struct):
    """What became of it.

    Attributes:
        events: Its stream.
        differences: Where it went another way than the run that was replayed; empty when it did not.
    """

    result: RunResult
    events: Sequence[Recorded]
    differences: list[str] = field(default_factory=list[str])


async def replay(
    journal: Journal,
    run_id: str,
    node: Node,
    spec: AgentSpec,
    *,
    call_tools: bool = False,
    delegated: Sequence[str] = (),
) -> Replayed:
    """Replay a run of `journal` on `node`, whose journal is another, as `spec` would run it today.

    Every model call of the process is answered from the run meanwhile.

    Args:
        call_tools: Call the tools really, instead of answering as they did then.
        delegated: Runs that it delegated to, whose models answer as then when tools are called.
    Raises:
        NotFound: There is no such run.
    """
    history = await history_of(journal, run_id)
    recorded = await journal.read(run_stream(run_id))
    started, request = history.state.started, history.request
    assert started is not None
    differences: list[str] = []
    if not call_tools:
        frozen = _Frozen(run_id, history.state, differences)
        tools = {name: frozen.instead_of(tool) for name, tool in spec.tools.items()}
        spec = structs.replace(spec, tools=tools, approvals="allow")
    terms = started.fork
    if terms is not None:
        # The digests are of what a strategy sends, which knows nothing of what a fork's model is told beside that.
        # And where the journal has what, that one knows, and not the replay's.
        terms = structs.replace(terms, instructions=None, began=0, ended=0, posted=())
    today = structs.replace(
        started,
        fork=terms,
        model=spec.model.name,
        instructions=redacted(spec.instructions),  # as a run of today records them
        tools=tuple(map(redacted, catalogue(spec))),
        strategy=spec.architecture.name,
        max_turns=spec.max_turns,
        forked_from=run_id,
        forked_at=1,
        conversation=started.conversation or await messages_of(journal, await turns_before(journal, history)),
    )
    # What a strategy could not know again is known: times, ids, what memory said then, and how its plan began. Tools
    # that answer as then write no plan, so what they wrote is known too.
    kinds = _VALUES if call_tools else _VALUES | {PlanWritten.event_tag}
    copies, shown = copied(run_id, {run_id: run_id}, "", recorded), _shown(history.state)
    known = [copy for copy in copies if copy.type in kinds or _is_cut_short(copy.record, history.state)]
    # What came too late to be shown to anybody made no difference then.
    known += [copy for copy in copies if copy.type == RunSteered.event_tag][: max(shown.values(), default=0)]
    begun = RunRequest(
        run_id=run_id,
        prompt=started.prompt,
        images=started.images,
        user_id=request.user_id,
        fork=Fork(today, tuple(known), shown=shown),
    )
    cassette = Cassette.of(f"of run {run_id}", await cut(journal, [run_id, *(delegated if call_tools else ())]))
    with cassette:
        result = await node.host.result(node.host.run(run_id), StartRun(spec, begun))
    differences += [str(miss) for miss in cassette.misses]
    if not differences:
        differences += _ends(history, result, len(cassette.unplayed))
    return Replayed(result, await node.journal.read(run_stream(run_id)), differences)


def _shown(state: Run) -> dict[str, int]:
    """How much of what the run was told each step was shown."""
    models = {step: model.requested.steered for step, model in state.models.items()}
    return models | {child.requested.step: child.requested.steered for child in state.children.values()}


def _is_cut_short(record: Event, state: Run) -> bool:
    """Whether it is of a model call that was cut short, since the run was told something: it has no answer to play."""
    if not isinstance(record, ModelRequested | ModelFailed):
        return False
    outcome = state.models[record.step].outcome
    return isinstance(outcome, ModelFailed) and outcome.kind == STEERED


def _ends(history: RunHistory, result: RunResult, unplayed: int) -> list[str]:
    """How the ends differ. An open run has none: what follows it is new."""
    then = history.result
    if history.state.closed is None:
        return []
    found: list[str] = []
    if unplayed:
        found.append(f"{unplayed} model calls of then were not made any more")
    for name in ("state", "output"):
        before, now = getattr(then, name), getattr(result, name)
        if before != now:
            found.append(f"its {name} was {str(before)!r}, and is {str(now)!r}")
    return found


class _Frozen:
    """Tools that answer as they did in a run."""

    def __init__(self, run_id: str, run: Run, differences: list[str]) -> None:
        self._run_id = run_id
        self._calls = run.tools
        self._differences = differences

    def instead_of(self, tool: Tool) -> Tool:
        async def answer(**args: Any) -> Any:
            await asyncio.sleep(0)
            return self._answer(tool, args)

        return structs.replace(tool, run=answer, is_async=True)

    def _answer(self, tool: Tool, args: dict[str, Any]) -> Any:
        call = current_call()
        known = self._calls.get(call.call_id)
        asked = None if known is None else known.requested or known.approval
        if known is None or asked is None:
            return self._differs(call.call_id, f"tool {tool.name} is called now, and was not then: {args!r}")
        if (asked.tool, dict(tool.bind(asked.args))) != (tool.name, args):
            then = f"{asked.tool}({asked.args!r})"
            return self._differs(call.call_id, f"tool {tool.name} is called with {args!r}, where then it was {then}")
        match known.outcome:
            case ToolCompleted(output=output):
                return output
            case ToolFailed() | ToolOutcomeUnknown():
                raise SettledElsewhere(known.outcome)
            case None:
                return self._differs(call.call_id, f"what came of {tool.name}({args!r}) was never recorded")

    def _differs(self, call_id: str, what: str) -> Any:
        self._differences.append(f"call {call_id}: {what}")
        raise SettledElsewhere(ToolFailed(call_id=call_id, error=f"the replay has no answer: {what}"))
