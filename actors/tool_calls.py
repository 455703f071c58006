"""The tool calls of one run: planned, asked about, intended, executed, recorded; or answered from the history.

The order is what makes them safe: approval, then intent, then the disk, then the call. So an intent without an outcome
says that the call may have happened, and only that.
"""

import asyncio
import inspect
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..events.errors import AppendUncertain, Fenced, ReadOnly, ReplayDivergence, Unavailable
from ..events.event import Event
from ..events.message import ToolCall
from ..events.run import (
    ApprovalRequested,
    Outcome,
    ToolCompleted,
    ToolFailed,
    ToolOutcomeUnknown,
    ToolStep,
    check_tool,
    decide_approval,
    request_tool,
)
from .context import CallContext, enter_call, leave_call
from .deadline import Deadline
from .foreign import called, contained
from .json_form import Unrecordable, recordable
from .spec import ApprovalQuestion
from .tool import BadArguments, Tool, say

if TYPE_CHECKING:
    from .run import RunActivation

_log = logging.getLogger("treadle.actors")


class ToolCalls:
    """How a run calls its tools."""

    def __init__(self, run: "RunActivation") -> None:
        self._run = run

    async def call(self, step: str, calls: Sequence[ToolCall]) -> list[Outcome]:
        """What came of the calls of one turn, in their order: recorded, or called now."""
        planned = [self._plan(step, slot, call) for slot, call in enumerate(calls)]
        # One append for the whole turn: intents of calls that may start at once.
        self._intend([plan for plan in planned if plan.ready])
        if any(plan.ready and plan.effects for plan in planned):
            await self._run.barrier()
        together = [plan for plan in planned if not plan.alone]
        if len(together) == 1:
            together[0].outcome = await self._outcome(together[0])
        elif together:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [(plan, group.create_task(self._outcome(plan))) for plan in together]
            except BaseExceptionGroup as exc:
                # A tool's own error is an outcome; what arrives here concerns the run, and one cause is enough.
                raise exc.exceptions[0] from exc
            for plan, task in tasks:
                plan.outcome = task.result()
        for plan in planned:
            if plan.alone:
                plan.outcome = await self._outcome(plan)
        return [plan.outcome for plan in planned if plan.outcome is not None]

    def _plan(self, step: str, slot: int, call: ToolCall) -> "_Plan":
        call_id = f"{self._run.run_id}_{step}_{slot}"
        known = check_tool(self._run.run_id, step, call_id, call.tool, call.args, self._run.state)
        tool = self._run.spec.tools.get(call.tool)
        plan = _Plan(step, call_id, call, tool)
        plan.outcome = known.outcome
        if plan.outcome is not None:
            return plan
        if tool is None:
            self._check_unstarted(plan, known, "the agent has no such tool")
            return plan
        spec = tool.spec
        plan.alone = spec.destructive or not spec.concurrency_safe
        plan.effects = not spec.read_only
        plan.asks = (spec.destructive or spec.requires_permission) and self._run.spec.approvals != "allow"
        try:
            plan.bound = tool.bind(call.args)
        except BadArguments as exc:
            self._check_unstarted(plan, known, str(exc))
            plan.refusal = str(exc)
            return plan
        # A call that waits for its turn gets its intent then: an intent without an outcome says that it may have begun.
        plan.ready = not (plan.asks or plan.alone or known.requested is not None or known.approval is not None)
        return plan

    def _check_unstarted(self, plan: "_Plan", known: ToolStep, why: str) -> None:
        """A call that may have happened cannot be refused: that would say that it did not."""
        if known.requested is not None:
            recorded = f"a call of {plan.call.tool!r} without an outcome"
            raise ReplayDivergence(self._run.run_id, plan.step, recorded, f"one that cannot be made here: {why}")

    def _intend(self, plans: "Sequence[_Plan]") -> None:
        intents: list[Event] = []
        for plan in plans:
            call = plan.call
            intents += request_tool(plan.step, plan.call_id, call.tool, call.args, call.id, self._run.state)
        if intents:
            self._run.record(intents)

    async def _outcome(self, plan: "_Plan") -> Outcome:
        """What came of the call: known from the history, or found out now."""
        if plan.outcome is not None:
            return plan.outcome
        refused = await self._refusal(plan)
        if refused is not None:
            # Intent and refusal in one append: an intent alone would say that the call may have happened.
            call = plan.call
            intent = request_tool(plan.step, plan.call_id, call.tool, call.args, call.id, self._run.state)
            known = self._run.state.tools.get(plan.call_id)
            self._run.record([refused] if known is not None and known.requested is not None else [*intent, refused])
            return refused
        while True:
            try:
                outcome = await self._execute(plan)
            except _NotOurs:
                await self._run.make_sure()
            else:
                self._run.record([outcome])
                return outcome

    def _start(self, plan: "_Plan", tool: Tool) -> Any:
        """Call the tool, unless the run may have been taken over on the way to it. The last thing before it is this."""
        if plan.effects and not self._run.is_ours:
            raise _NotOurs
        return tool.run(**plan.bound)

    async def _refusal(self, plan: "_Plan") -> Outcome | None:
        """None when the call may start now: its intent is on disk, and whoever must be asked said yes."""
        tool, call_id = plan.tool, plan.call_id
        if plan.ready:
            return None
        if tool is None:
            names = ", ".join(sorted(self._run.spec.tools)) or "none"
            error = f"there is no tool {plan.call.tool!r}; there are: {names}"
            return ToolFailed(call_id=call_id, error=error, kind="unknown_tool")
        if plan.refusal:
            return ToolFailed(call_id=call_id, error=plan.refusal, kind="bad_arguments")
        known = self._run.state.tools.get(call_id)
        if known is not None and known.requested is not None:
            # An earlier activation was about to start it, or did.
            recorded = [spec for spec in self._run.started.tools if spec.name == tool.name]
            # The stricter of what the tool was when the run began, and is now.
            guess = any(spec.destructive and not spec.repeatable for spec in (tool.spec, *recorded))
            if guess and not await self._approval(plan, "unknown_outcome"):
                reason = "the process died while it was going on, and whoever was asked did not want it repeated"
                return ToolOutcomeUnknown(call_id=call_id, reason=reason)
        elif (plan.asks or known is not None) and not await self._approval(
            plan, "destructive" if tool.spec.destructive else "permission"
        ):
            decision = self._run.state.tools[call_id].decision
            note = decision.note if decision is not None and decision.note else "not approved"
            return ToolFailed(call_id=call_id, error=note, kind="denied")
        await self._go(plan)
        return None

    async def _go(self, plan: "_Plan") -> None:
        self._intend([plan])
        if plan.effects:
            await self._run.barrier()

    async def _approval(self, plan: "_Plan", reason: Any) -> bool:
        """Ask and wait for the answer; the one that was given for this very question before counts."""
        known = self._run.state.tools.get(plan.call_id)
        asked = known.approval if known is not None else None
        if known is None or asked is None or asked.reason != reason or known.used:
            question = ApprovalRequested(
                step=plan.step, call_id=plan.call_id, tool=plan.call.tool, reason=reason, args=plan.call.args
            )
            self._run.record([question])
            known = self._run.state.tools[plan.call_id]
        if known.decision is not None:
            return known.decision.allowed
        approvals = self._run.spec.approvals
        if callable(approvals):
            return await self._ask_handler(plan, reason)
        if approvals == "deny" and reason != "unknown_outcome":
            note = "nobody is there to approve it: the agent has no approval_handler"
            self._run.record(decide_approval(self._run.run_id, plan.call_id, False, "treadle", note, self._run.state))
            return False
        return await self._wait_for_answer(plan.call_id)

    async def _ask_handler(self, plan: "_Plan", reason: Any) -> bool:
        handler = self._run.spec.approvals
        assert callable(handler)
        question = ApprovalQuestion(
            plan.call_id, plan.call.tool, plan.call.args, reason,
            self._run.run_id, self._run.session_id, self._run.user_id, self._run.spec.name,
        )  # fmt: skip
        await self._run.barrier()
        try:
            allowed = await contained(called(handler, question))
            note = "" if allowed else "the approval handler said no"
        except Exception as exc:
            _log.exception("the approval handler of agent %s raised; the call is denied", self._run.spec.name)
            allowed, note = False, f"the approval handler raised {say(exc)}"
        self._run.record(
            decide_approval(self._run.run_id, plan.call_id, allowed is True, "approval_handler", note, self._run.state)
        )
        return allowed is True

    async def _wait_for_answer(self, call_id: str) -> bool:
        await self._run.barrier()
        decision = self._run.state.tools[call_id].decision
        if decision is not None:
            return decision.allowed  # whoever saw the question in the journal was quick
        return await self._run.parking.wait(call_id)

    async def _execute(self, plan: "_Plan") -> Outcome:
        """Call the tool. Whatever it does, there is an outcome."""
        tool, call_id = plan.tool, plan.call_id
        assert tool is not None
        requested = self._run.state.tools[call_id].requested
        call = CallContext(
            call_id, requested.attempt if requested is not None else 1, plan.call.tool,
            self._run.run_id, self._run.session_id, self._run.user_id, self._run.spec.name, self._run.started.depth,
        )  # fmt: skip
        token = enter_call(call)
        limit_s = tool.spec.timeout_s
        deadline = Deadline(limit_s)
        clock = self._run.services.clock
        begun = clock.monotonic()
        self._run.parking.begin_work()
        try:
            if tool.is_async:
                output = await contained(called(self._start, plan, tool), deadline)
            else:
                with deadline:
                    output = await self._run.services.threads.run(partial(self._start, plan, tool))
                    if inspect.isawaitable(output):
                        output = await contained(called(lambda: output))
            return ToolCompleted(call_id=call_id, output=recordable(output), duration_ms=_ms(clock.monotonic() - begun))
        except TimeoutError as exc:
            if deadline.expired:
                ends = "it was cancelled" if tool.is_async else "its thread cannot be stopped and may still do it"
                reason = f"no result within {limit_s:g} s (timeout_s of tool {tool.name!r}); {ends}"
                return ToolOutcomeUnknown(call_id=call_id, reason=reason)
            return _failed(call_id, exc, clock.monotonic() - begun)
        except _NotOurs:
            raise  # nothing was called
        except asyncio.CancelledError:
            raise  # the run is cancelled, suspended or out of time; its end says that the outcome is unknown
        except Unrecordable as exc:
            error = f"the tool ran, and {exc}; return JSON types, a dataclass, a struct or a pydantic model"
            return ToolFailed(call_id=call_id, error=error, kind="unrecordable")
        except (Fenced, Unavailable, AppendUncertain, ReadOnly) as exc:
            if getattr(exc, "stream", None) == self._run.stream:
                raise
            return _failed(call_id, exc, clock.monotonic() - begun)
        except Exception as exc:
            return _failed(call_id, exc, clock.monotonic() - begun)
        finally:
            leave_call(token)
            self._run.parking.end_work()


class _NotOurs(Exception):
    """The run may have been taken over while the call waited for its thread."""


class _Plan:
    """One call of a turn while its outcome is found."""

    __slots__ = ("alone", "asks", "bound", "call", "call_id", "effects", "outcome", "ready", "refusal", "step", "tool")

    def __init__(self, step: str, call_id: str, call: ToolCall, tool: Tool | None) -> None:
        self.step = step
        self.call_id = call_id
        self.call = call
        self.tool = tool
        self.bound: Mapping[str, Any] = {}
        self.refusal = ""
        self.ready = False  # its intent is recorded with the turn's, and it starts after the barrier
        self.alone = False
        self.asks = False
        self.effects = False
        self.outcome: Outcome | None = None


def _failed(call_id: str, exc: BaseException, seconds: float) -> ToolFailed:
    return ToolFailed(call_id=call_id, error=say(exc), duration_ms=_ms(seconds))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
