"""The tool calls of one run: planned, asked about, intended, executed, recorded; or answered from the history.

The order is what makes them safe: approval, then intent, then the disk, then the call. So an intent without an outcome
says that the call may have happened, and only that.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from ..events.errors import ReplayDivergence
from ..events.event import Event
from ..events.logs import get_logger
from ..events.message import ToolCall
from ..events.redaction import redacted
from ..events.run import decide_approval
from ..events.tool_step import (
    ApprovalRequested,
    Outcome,
    ToolFailed,
    ToolOutcomeUnknown,
    ToolStep,
    check_tool,
    request_tool,
)
from .context import CallContext
from .deadline import Deadline
from .foreign import called, contained
from .spec import ApprovalQuestion
from .tool import BadArguments, Tool, say
from .tool_execution import NotStarted, OutcomeLost, execute

if TYPE_CHECKING:
    from .run import RunActivation

LOST_LIMIT = 3
"""How often a call is given to another worker when the one that had it is gone: it may be the call that kills them."""

_log = get_logger("treadle.actors")


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

    def masked(self, step: str, slot: int, call: ToolCall) -> ToolCall:
        """The call as it is recorded. The model's were masked with its answer, and a strategy may make some of its own.

        One that was recorded before a secret in it was known stays as it was: it is that call.
        """
        known = self._run.state.tools.get(self.call_id(step, slot))
        asked = None if known is None else known.requested or known.approval
        return call if asked is not None and (asked.tool, asked.args) == (call.tool, call.args) else redacted(call)

    def call_id(self, step: str, slot: int) -> str:
        """Names a call: the `slot`th of a step."""
        return f"{self._run.run_id}_{step}_{slot}"

    def _plan(self, step: str, slot: int, call: ToolCall) -> "_Plan":
        call_id = self.call_id(step, slot)
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
        outcome: Outcome | None = None
        lost = 0
        while outcome is None:
            refused = await self._refusal(plan)
            if refused is not None:
                # Intent and refusal in one append: an intent alone would say that the call may have happened.
                call = plan.call
                intent = request_tool(plan.step, plan.call_id, call.tool, call.args, call.id, self._run.state)
                known = self._run.state.tools.get(plan.call_id)
                self._run.record([refused] if known is not None and known.requested is not None else [*intent, refused])
                return self._recorded(plan)
            try:
                outcome = await self._execute_when_ours(plan)
            except OutcomeLost as exc:
                _log.warning("run %s: %s", self._run.run_id, exc)
                lost += 1
                # As after a crash of this process: what may be repeated is, with an intent of its own.
                plan.ready = False
                if lost == LOST_LIMIT:
                    reason = f"{exc}; that was the last of {LOST_LIMIT} attempts in a row"
                    outcome = ToolOutcomeUnknown(call_id=plan.call_id, reason=reason)
        self._run.record([outcome])
        return self._recorded(plan)

    def _recorded(self, plan: "_Plan") -> Outcome:
        outcome = self._run.state.tools[plan.call_id].outcome
        assert outcome is not None
        return outcome

    async def _execute_when_ours(self, plan: "_Plan") -> Outcome:
        while True:
            try:
                return await self._execute(plan)
            except NotStarted:
                await self._run.make_sure()

    def _check_ours(self, plan: "_Plan") -> None:
        """The last thing before the tool: the run may have been taken over on the way to it."""
        if plan.effects and not self._run.is_ours:
            raise NotStarted

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
                step=plan.step,
                call_id=plan.call_id,
                tool=plan.call.tool,
                reason=reason,
                args=plan.call.args,
                until=self._until(),
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

    def _until(self) -> str:
        limit_s = self._run.spec.approval_timeout_s
        return "" if limit_s is None else (self._run.services.clock.now() + timedelta(seconds=limit_s)).isoformat()

    async def _ask_handler(self, plan: "_Plan", reason: Any) -> bool:
        handler = self._run.spec.approvals
        assert callable(handler)
        question = ApprovalQuestion(
            plan.call_id, plan.call.tool, plan.call.args, reason,
            self._run.run_id, self._run.session_id, self._run.user_id, self._run.spec.name,
        )  # fmt: skip
        await self._run.barrier()
        deadline = Deadline(self._run.spec.approval_timeout_s)
        try:
            allowed = await contained(called(handler, question), deadline)
            note = "" if allowed else "the approval handler said no"
        except Exception as exc:
            if deadline.expired and isinstance(exc, TimeoutError):
                return self._nobody_answered(plan.call_id)
            _log.exception("the approval handler of agent %s raised; the call is denied", self._run.spec.name)
            allowed, note = False, f"the approval handler raised {say(exc)}"
        self._run.record(
            decide_approval(self._run.run_id, plan.call_id, allowed is True, "approval_handler", note, self._run.state)
        )
        return allowed is True

    async def _wait_for_answer(self, call_id: str) -> bool:
        await self._run.barrier()
        known = self._run.state.tools[call_id]
        if known.decision is not None:
            return known.decision.allowed  # whoever saw the question in the journal was quick
        self._run.tell_parent()
        try:
            async with asyncio.timeout(self._left_s(known)):
                return await self._run.parking.wait(call_id)
        except TimeoutError:
            decision = self._run.state.tools[call_id].decision
            return decision.allowed if decision is not None else self._nobody_answered(call_id)

    def _left_s(self, asked: ToolStep) -> float | None:
        """Seconds until nobody has answered; counted from the question, whatever processes have waited since."""
        if asked.approval is None or not asked.approval.until:
            return None
        return (datetime.fromisoformat(asked.approval.until) - self._run.services.clock.now()).total_seconds()

    def _nobody_answered(self, call_id: str) -> bool:
        limit_s = self._run.spec.approval_timeout_s
        within = f" within {limit_s:g} s" if limit_s is not None else " in time"
        note = f"nobody answered{within} (approval_timeout_s)"
        self._run.record(decide_approval(self._run.run_id, call_id, False, "treadle", note, self._run.state))
        self._run.parking.answer(call_id, False)
        self._run.tell_parent()
        return False

    async def _execute(self, plan: "_Plan") -> Outcome:
        """Call the tool. Whatever it does, there is an outcome."""
        tool, call_id = plan.tool, plan.call_id
        assert tool is not None
        run = self._run
        requested = run.state.tools[call_id].requested
        call = CallContext(
            call_id, requested.attempt if requested is not None else 1, plan.call.tool,
            run.run_id, run.session_id, run.user_id, run.spec.name, run.started.depth,
        )  # fmt: skip
        with run.parking.work():
            threads, clock, limit_s = run.services.threads, run.services.clock, tool.spec.timeout_s
            check = partial(self._check_ours, plan)
            return await execute(
                tool, plan.bound, call, threads, clock, limit_s=limit_s, stream=run.stream, check=check
            )


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
