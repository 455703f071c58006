"""What a workflow came to, as callers see it, and the error of one that failed."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from ..actors.result import RunResult
from ..actors.workflow.told import told_by
from ..events.errors import RunError
from ..events.journal import Journal
from ..events.message import Usage
from ..events.run import RunState, run_stream
from ..events.tool_step import ApprovalRequested
from .run_error import caused, run_error

_KINDS = ("NodeFailed", "NoRoute", "LimitReached")


class WorkflowFailed(RunError, RuntimeError):
    """A node failed, a router had no route, or a cap was reached; the message names the node.

    Attributes:
        kind: `NodeFailed`, `NoRoute` or `LimitReached`.
        result: The `WorkflowResult`, with what there was until then.
    """

    def __init__(self, message: str, result: "WorkflowResult") -> None:
        super().__init__(message, result)
        self.kind = result.run.error_kind


class WorkflowResult(Struct, kw_only=True):
    """What a workflow came to.

    Attributes:
        output: What the deepest branch ended with.
        visited: The nodes that came up, by their depth in the graph; of a run that has not ended, by their beginning.
        per_step: What each node came to, the last time.
        interrupted: A limit of an agent stopped it, or it waits for somebody; `interruption_reason` says for whom.
        run: Its run: times, tokens, costs.
    """

    output: Any = None
    visited: list[str]
    per_step: dict[str, Any]
    interrupted: bool = False
    interruption_reason: str = ""
    run: RunResult

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def session_id(self) -> str:
        return self.run.session_id

    @property
    def user_id(self) -> str:
        return self.run.user_id

    @property
    def state(self) -> RunState:
        return self.run.state

    @property
    def error(self) -> str:
        """What failed, empty when nothing did."""
        return self.run.error

    @property
    def waiting_for(self) -> list[ApprovalRequested]:
        """Who is to say yes or no before it goes on: `Workflow.approve(run_id, call_id)`."""
        return self.run.waiting_for

    @property
    def usage(self) -> Usage:
        """Tokens and cost of its agents."""
        return self.run.usage

    @property
    def cost_usd(self) -> float:
        return self.run.cost_usd

    @property
    def metadata(self) -> dict[str, Any]:
        return self.run.metadata

    @property
    def started_at(self) -> datetime:
        return self.run.started_at

    @property
    def finished_at(self) -> datetime:
        return self.run.finished_at

    @property
    def duration_ms(self) -> float:
        return self.run.duration_ms


async def result_in(journal: Journal, run: RunResult) -> WorkflowResult:
    """The result of a run of a workflow."""
    told = told_by([recorded.event for recorded in await journal.read(run_stream(run.run_id))])
    return WorkflowResult(
        output=told.output,
        visited=told.visited,
        per_step=told.per_step,
        interrupted=run.interrupted,
        interruption_reason=run.interruption_reason,
        run=run,
    )


def checked_workflow(result: WorkflowResult) -> WorkflowResult:
    """`result`, if its run did not fail and was not cancelled.

    Raises:
        RunError: It was; `WorkflowFailed` if it was the workflow's own doing.
    """
    if result.state not in (RunState.FAILED, RunState.CANCELLED):
        return result
    if result.run.error_kind in _KINDS:
        raise caused(WorkflowFailed(f"workflow run {result.run_id!r} failed: {result.run.error}", result), result.run)
    error = run_error(result.run)
    error.result = result
    raise error
