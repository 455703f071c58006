"""One activation of a run: drives its strategy through recorded steps, from the top, until the run has ended.

Order and guarantees:

* Before a tool with effects starts, its intent is on disk, and so is everything before it (`barrier`). Whoever
  takes the run over appends first, so a former owner finds out at its barrier and starts nothing.
* Before the run answers, its end is on disk, together with what its session writes about it.
* Everything else is queued and shares the next commit.

`actors/steps.py` is the strategy's side of this, `actors/session.py` decides when a run begins.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Protocol

from msgspec import Struct, structs

from ..events.budget import Limits
from ..events.envelope import Meta
from ..events.errors import (
    AppendUncertain,
    BudgetExceeded,
    Fenced,
    NotFound,
    Owned,
    ReadOnly,
    ReplayDivergence,
    TreadleError,
    Unavailable,
    VersionConflict,
)
from ..events.event import Event
from ..events.journal import Append, Journal, Pending
from ..events.memory import EpisodeRemembered
from ..events.message import Message, ModelReply, ToolCall, ToolSpec
from ..events.run import (
    ApprovalRequested,
    Closing,
    MemoryRecalled,
    ModelCompleted,
    ModelFailed,
    Outcome,
    Run,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunInterrupted,
    RunStarted,
    RunSuspended,
    ToolCompleted,
    ToolFailed,
    ToolOutcomeUnknown,
    check_tool,
    close,
    decide_approval,
    evolve,
    request_model,
    request_tool,
    run_stream,
    take_over,
)
from .context import CallContext, RunContext, enter_call, leave_call, set_run_context
from .entity import Entity, Fold
from .feed import Batch, Feed
from .model import ModelCallFailed, ModelChunk, collect, text_of
from .result import RunResult, result_of
from .services import Services, enter_services
from .spec import AgentSpec, ApprovalQuestion
from .steps import Steps, digest_of
from .tool import BadArguments, Tool, Unrecordable, recordable

FOLD: Fold[Run] = Fold(Run, evolve)
_log = logging.getLogger("treadle.actors")


class SessionSide(Protocol):
    """What a run's session writes in the same appends as the run: its beginning and its end."""

    def opening(self) -> Append: ...
    def closing(self, closing: Closing) -> Append | None: ...
    def queued(self, pending: Pending, index: int) -> None:
        """The append was submitted; it is number `index` of `pending`."""
        ...

    async def reload(self) -> None:
        """The session's stream moved on under us: read it again."""
        ...


class Interrupted(TreadleError):
    """A limit ends the run; it is no failure. `reason` is what callers see: `max_turns`, `budget:max_tokens` …"""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RunRequest(Struct, frozen=True, kw_only=True):
    """A run that is to be."""

    run_id: str
    prompt: str
    user_id: str = ""
    session_id: str = ""
    history: Sequence[Message] = ()
    context: RunContext | None = None
    signal_id: str = ""
    parent_run_id: str = ""
    parent_call_id: str = ""
    depth: int = 0
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""


class RunActivation:
    """A run in this process. Made for a new run by `begin`, for one in the journal by `continue_`."""

    def __init__(self, spec: AgentSpec, services: Services, request: RunRequest) -> None:
        self.spec = spec
        self.services = services
        self.run_id = request.run_id
        self.user_id = request.user_id
        self.session_id = request.session_id or request.run_id
        self.request = request
        self.parked = asyncio.Event()
        self._entity = Entity(
            services.journal,
            services.clock,
            run_stream(request.run_id),
            FOLD,
            Meta(
                user_id=request.user_id,
                session_id=self.session_id,
                run_id=request.run_id,
                correlation_id=request.correlation_id or self.session_id,
                causation_id=request.causation_id,
                traceparent=request.traceparent,
                epoch=1,
            ),
        )
        self._session: SessionSide | None = None
        self._feeds: list[Feed] = []
        self._mine: set[str] = set()
        self._answers: dict[str, asyncio.Future[bool]] = {}
        self._working = 0
        self._ending: RunCancelled | RunInterrupted | None = None
        self._driver: asyncio.Task[Any] | None = None
        self._stopped = False
        self._abandoned = False
        self._deadline = _Deadline(spec.timeout_s)
        self._scopes = _scopes(spec, request.user_id)
        # Whether it can come to wait for an approval from outside.
        self.may_park = any(tool.spec.destructive or tool.spec.requires_permission for tool in spec.tools.values())

    def __repr__(self) -> str:
        return f"<RunActivation {self.run_id} v{self._entity.head.version} {self.state.state}>"

    # --- state ---

    @property
    def state(self) -> Run:
        return self._entity.state

    @property
    def started(self) -> RunStarted:
        started = self._entity.state.started
        if started is None:
            raise RuntimeError(f"run {self.run_id!r} has not begun")
        return started

    @property
    def version(self) -> int:
        return self._entity.head.version

    def result(self) -> RunResult:
        """What there is of the run now."""
        return result_of(
            self.state,
            run_id=self.run_id,
            session_id=self.session_id,
            user_id=self.user_id,
            started_at=self._entity.first_at,
            last_at=self._entity.last_at,
        )

    def attach(self, feed: Feed) -> None:
        """`feed` hears everything from here on."""
        self._feeds.append(feed)

    # --- recording ---

    def record(self, events: Sequence[Event]) -> None:
        """Queue events; they are in the state at once and on disk after the next `barrier`."""
        pending = self._entity.record(events)
        if pending is not None and self._feeds:
            self._tell(pending, events)

    def _tell(self, pending: Pending, events: Sequence[Event]) -> None:
        at = self._entity.last_at
        if at is not None:
            for feed in self._feeds:
                feed.recorded(Batch(self._entity.stream, pending, events, self.version - len(events) + 1, at))

    async def barrier(self) -> None:
        """Wait until everything recorded is on disk.

        Raises:
            Fenced: Somebody took the run over.
            VersionConflict: The session's stream moved on in the same append; the run has not begun, or not ended.
            Unavailable, ReadOnly: The journal does not store; the run stays open and can be resumed.
        """
        try:
            await self._entity.flush()
        except VersionConflict as exc:
            if exc.stream != self._entity.stream:
                raise
            last = await self.services.journal.read(self._entity.stream, exc.found - 1, 1)
            fold = Run()
            for recorded in await self.services.journal.read(self._entity.stream):
                evolve(fold, recorded.event)
            raise Fenced(
                self._entity.stream, self._entity.meta.epoch, last[0].epoch if last else 0, fold.owner
            ) from exc

    # --- beginning and ending ---

    def begin(self, session: SessionSide | None = None) -> None:
        """Record that the run has started, in one append with its session's part."""
        spec, request = self.spec, self.request
        started = RunStarted(
            agent=spec.name,
            prompt=request.prompt,
            owner=self.services.journal.owner,
            model=spec.model.name,
            instructions=spec.instructions,
            tools=catalogue(spec),
            strategy=spec.strategy_name,
            max_turns=spec.max_turns,
            timeout_s=spec.timeout_s,
            parent_run_id=request.parent_run_id,
            parent_call_id=request.parent_call_id,
            depth=request.depth,
            signal_id=request.signal_id,
            metadata=recordable(dict(request.context.metadata)) if request.context is not None else {},
        )
        self._record_with([started], session.opening() if session is not None else None, session)

    def _record_with(self, events: Sequence[Event], append: Append | None, session: SessionSide | None) -> None:
        if append is None or session is None:
            self.record(events)
            return
        pending = self.services.journal.submit(append, self._entity.stage(events))
        session.queued(pending, 0)
        self._entity.staged(pending, 1)
        self._tell(pending, events)

    async def continue_(self, reason: str) -> bool:
        """Read the run's history and take it over; False when it had ended already.

        Raises:
            Owned: A living process works on it; names that process.
            Fenced: Somebody else took it over at the same moment, and goes on with it.
        """
        await self._entity.load()
        if self.state.closed is not None or self.state.started is None:
            return False
        # Of the very history that the take-over is appended to: a new owner between the two is a conflict.
        owner, journal = self.state.owner, self.services.journal
        if owner != journal.owner and not self.state.suspended and await journal.is_alive(owner):
            raise Owned(self._entity.stream, owner, self._entity.meta.epoch - 1)
        self.record(take_over(self.services.journal.owner, reason, self.state))
        await self.barrier()
        return True

    async def drive(self, session: SessionSide | None = None) -> RunResult:
        """Run the strategy to its end and record it; the result is on disk when this returns.

        A run that was abandoned stays open as suspended, and its result says so.

        Raises:
            Fenced, ReplayDivergence, Unavailable, AppendUncertain, ReadOnly: The run stays open.
            CancelledError: Whoever drives it was cancelled; the run stays open as suspended.
        """
        self._session = session
        driver = self._driver = asyncio.current_task()
        assert driver is not None
        begun = self.services.clock.monotonic()
        try:
            try:
                if self._stopped:
                    raise asyncio.CancelledError
                closing = await self._closing()
            except asyncio.CancelledError:
                if self._ending is None:
                    await self._suspend("whoever waited for this run went away")
                    if not self._abandoned:
                        raise
                    driver.uncancel()
                    return self.result()
                driver.uncancel()
                closing = self._ending
            if self._scopes and self.services.budget is not None:
                seconds = self.services.clock.monotonic() - begun
                await self.services.budget.spend_time(self._scopes, self.run_id, seconds)
            await self._close(closing)
        finally:
            self._driver = None
            for feed in self._feeds:
                feed.end()
        return self.result()

    async def _closing(self) -> Closing:
        """Run the strategy; what it came to."""
        set_run_context(self._context())
        enter_services(self.services)
        state = self.state
        try:
            async with self._deadline.guard() if self._deadline.limit_s is not None else nullcontext():
                await self._recall()
                output = await self.spec.strategy(Steps(self))
                await self._remember(output)
        except Interrupted as exc:
            return RunInterrupted(reason=exc.reason, output=_last_text(state), turns=state.turns, usage=state.usage)
        except (Fenced, ReplayDivergence, Unavailable, AppendUncertain, ReadOnly, VersionConflict):
            raise
        except TimeoutError as exc:
            if not self._deadline.expired:
                return RunFailed(error=_say(exc), kind="TimeoutError", turns=state.turns, usage=state.usage)
            error = f"the run took longer than Agent(timeout={self.spec.timeout_s:g}) seconds"
            return RunFailed(error=error, kind="timeout", turns=state.turns, usage=state.usage)
        except ModelCallFailed as exc:
            return RunFailed(error=str(exc), kind=f"model:{exc.kind}", turns=state.turns, usage=state.usage)
        except Exception as exc:
            _log.exception("run %s failed in its strategy", self.run_id)
            return RunFailed(error=_say(exc), kind=type(exc).__name__, turns=state.turns, usage=state.usage)
        return RunCompleted(output=output, turns=state.turns, usage=state.usage)

    async def end(self, closing: Closing, session: SessionSide | None = None) -> RunResult:
        """Close a run that nobody drives."""
        self._session = session
        await self._close(closing)
        return self.result()

    async def _close(self, closing: Closing) -> None:
        for call in self.state.models.values():
            if call.outcome is None:
                # Before the end is recorded: nobody looks at a run that has ended.
                await self._release(call.requested.call_id, "the run ended before the model had answered")
        session = self._session
        while True:
            append = session.closing(closing) if session is not None else None
            self._record_with(close(closing, self.state), append, session)
            try:
                await self.barrier()
            except VersionConflict as exc:
                if session is None or exc.stream == self._entity.stream:
                    raise
                # Somebody else wrote to the session meanwhile, a signal perhaps; this run's end is not in question.
                await session.reload()
                await self._entity.load()
                if self.state.started is None:
                    raise
            else:
                return

    async def _suspend(self, reason: str) -> None:
        """Note that nobody drives the run now. Best effort: the journal may be what went away."""
        if self.state.closed is not None or self.state.suspended:
            return
        try:
            self.record([RunSuspended(reason=reason)])
            await asyncio.shield(asyncio.ensure_future(self.barrier()))
        except (TreadleError, asyncio.CancelledError) as exc:
            _log.warning("run %s was left without a note that it is suspended: %s", self.run_id, exc)

    def stop(self, closing: RunCancelled | RunInterrupted) -> None:
        """End the run so: its model call and its coroutine tools are cancelled, then it is closed."""
        if self._ending is None and self.state.closed is None:
            self._ending = structs.replace(closing, turns=self.state.turns, usage=self.state.usage)
            self._stop()

    def abandon(self) -> None:
        """Whoever waited has gone: stop working, and leave the run open as suspended."""
        self._abandoned = True
        self._stop()

    def _stop(self) -> None:
        self._stopped = True  # in case that the driver has not begun yet
        if self._driver is not None:
            self._driver.cancel()

    # --- what the model is shown ---

    def _context(self) -> RunContext:
        given = self.request.context or RunContext()
        return structs.replace(
            given,
            user_id=self.user_id,
            session_id=self.session_id,
            run_id=self.run_id,
            metadata=self.started.metadata,
        )

    def opening_messages(self) -> list[Message]:
        started = self.started
        system = [started.instructions] if started.instructions else []
        recalled = self.state.values.get("memory")
        if isinstance(recalled, MemoryRecalled):
            system += [f"<{name}>\n{content}\n</{name}>" for name, content in recalled.blocks.items()]
            if recalled.facts:
                system.append("Known facts:\n" + "\n".join(f"- {fact}" for fact in recalled.facts))
            if recalled.episodes:
                system.append("Earlier conversations:\n" + "\n".join(f"- {episode}" for episode in recalled.episodes))
        messages = [Message("system", "\n\n".join(system))] if system else []
        messages.extend(self.request.history)
        messages.append(Message("user", started.prompt))
        return messages

    async def _recall(self) -> None:
        if not self.spec.memory or self.services.memory is None or "memory" in self.state.values:
            return
        found = await self.services.memory.recall(self.user_id, self.session_id, self.started.prompt)
        self.record([MemoryRecalled(step="memory", blocks=found.blocks, facts=found.facts, episodes=found.episodes)])

    async def _remember(self, output: str) -> None:
        """Before the end is recorded, so that a run that has ended is remembered; once, because its id is the run's."""
        if not self.spec.memory or self.services.memory is None:
            return
        # An activation that was taken over finds out here: the episode that is written first is the one that stays.
        await self.barrier()
        tools = tuple(step.requested.tool for step in self.state.tools.values() if step.requested is not None)
        episode = EpisodeRemembered(
            episode_id=self.run_id,
            agent=self.spec.name,
            session_id=self.session_id,
            input=self.started.prompt,
            output=output,
            tools=tools,
        )
        await self.services.memory.remember(self.user_id, episode)

    # --- model calls ---

    async def call_model(self, step: str, messages: Sequence[Message], *, tools: bool) -> ModelReply:
        state = self.state
        if step not in state.models and state.turns >= self.started.max_turns:
            raise Interrupted("max_turns", f"the run has made {state.turns} model calls, its limit is max_turns")
        intents = request_model(self.run_id, step, digest_of(messages), state)
        call_id = f"{self.run_id}_{step}"
        if not intents:
            outcome = state.models[step].outcome
            if isinstance(outcome, ModelCompleted):
                await self._settle(call_id, outcome)
                return outcome.reply
            assert isinstance(outcome, ModelFailed)
            await self._release(call_id, outcome.error)
            raise ModelCallFailed(outcome.error, outcome.kind)
        await self._reserve(call_id, messages)
        self.record(intents)
        self._working += 1
        try:
            reply = await self._ask_model(messages, self.started.tools if tools else ())
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            failed = exc if isinstance(exc, ModelCallFailed) else ModelCallFailed(_say(exc), type(exc).__name__)
            self.record([ModelFailed(step=step, call_id=call_id, error=str(failed), kind=failed.kind)])
            await self._release(call_id, str(failed))
            raise failed from exc
        finally:
            self._working -= 1
        completed = ModelCompleted(step=step, call_id=call_id, reply=reply)
        self.record([completed])
        await self._settle(call_id, completed)
        return reply

    async def _ask_model(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        model, limit_s = self.spec.model, self.spec.model_timeout_s
        watched = bool(self._feeds) or self.services.live is not None
        complete = None if watched else getattr(model, "complete", None)
        deadline = _Deadline(limit_s)
        try:
            async with deadline.guard() if limit_s is not None else nullcontext():
                if complete is not None:
                    return text_of(await complete(messages, tools=tools, **self.spec.options), model.name)
                chunks = model.stream(messages, tools=tools, **self.spec.options)
                return await collect(self._relay(chunks) if watched else chunks, model.name)
        except TimeoutError as exc:
            if not deadline.expired:
                raise
            raise ModelCallFailed(
                f"model {model.name!r} did not answer within {limit_s:g} s (model_timeout_s)", "timeout"
            ) from exc

    async def _relay(self, chunks: AsyncIterator[ModelChunk]) -> AsyncIterator[ModelChunk]:
        async for chunk in chunks:
            if chunk.kind != "finish":
                await self._tell_chunk(chunk)
            yield chunk

    async def _tell_chunk(self, chunk: ModelChunk) -> None:
        for feed in self._feeds:
            await feed.chunk(chunk)
        if self.services.live is not None:
            await self.services.live(self.user_id, self.run_id, chunk)

    # --- budget ---

    async def _reserve(self, call_id: str, messages: Sequence[Message]) -> None:
        if not self._scopes or self.services.budget is None:
            return
        estimate = getattr(self.spec.model, "estimate", None)
        tokens_in, tokens_out = estimate(messages) if estimate is not None else _estimate(messages, self.spec.options)
        try:
            await self.services.budget.reserve(self._scopes, call_id, self.run_id, tokens_in, tokens_out)
        except BudgetExceeded as exc:
            raise Interrupted(f"budget:{exc.limit.partition('=')[0]}", str(exc)) from exc

    async def _settle(self, call_id: str, completed: ModelCompleted) -> None:
        if self._scopes and self.services.budget is not None:
            await self.services.budget.settle(self._scopes, call_id, completed.reply.usage)

    async def _release(self, call_id: str, reason: str) -> None:
        if self._scopes and self.services.budget is not None:
            await self.services.budget.release(self._scopes, call_id, reason)

    # --- tool calls ---

    async def call_tools(self, step: str, calls: Sequence[ToolCall]) -> list[Outcome]:
        planned = [self._plan(step, slot, call) for slot, call in enumerate(calls)]
        # One append for the whole turn: intents of calls that may start at once.
        self._intend([plan for plan in planned if plan.ready])
        if any(plan.ready and plan.effects for plan in planned):
            await self.barrier()
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
        call_id = f"{self.run_id}_{step}_{slot}"
        known = check_tool(self.run_id, step, call_id, call.tool, call.args, self.state)
        tool = self.spec.tools.get(call.tool)
        plan = _Plan(step, call_id, call, tool)
        plan.outcome = known.outcome
        if plan.outcome is not None or tool is None:
            return plan
        spec = tool.spec
        plan.alone = spec.destructive or not spec.concurrency_safe
        plan.effects = not spec.read_only
        plan.asks = (spec.destructive or spec.requires_permission) and self.spec.approvals != "allow"
        try:
            plan.bound = tool.bind(call.args)
        except BadArguments as exc:
            plan.refusal = str(exc)
            return plan
        # A call that waits for its turn gets its intent then: an intent without an outcome says that it may have begun.
        plan.ready = not (plan.asks or plan.alone or known.requested is not None or known.approval is not None)
        return plan

    def _intend(self, plans: "Sequence[_Plan]") -> None:
        intents: list[Event] = []
        for plan in plans:
            call = plan.call
            intents += request_tool(plan.step, plan.call_id, call.tool, call.args, call.id, self.state)
            self._mine.add(plan.call_id)
        if intents:
            self.record(intents)

    async def _outcome(self, plan: "_Plan") -> Outcome:
        """What came of the call: known from the history, or found out now."""
        if plan.outcome is not None:
            return plan.outcome
        refused = await self._refusal(plan)
        if refused is not None:
            # Intent and refusal in one append: an intent alone would say that the call may have happened.
            call = plan.call
            intent = request_tool(plan.step, plan.call_id, call.tool, call.args, call.id, self.state)
            known = self.state.tools.get(plan.call_id)
            self.record([refused] if known is not None and known.requested is not None else [*intent, refused])
            return refused
        outcome = await self._execute(plan)
        self.record([outcome])
        return outcome

    async def _refusal(self, plan: "_Plan") -> Outcome | None:
        """None when the call may start now: its intent is on disk, and whoever must be asked said yes."""
        tool, call_id = plan.tool, plan.call_id
        if plan.ready:
            return None
        if tool is None:
            names = ", ".join(sorted(self.spec.tools)) or "none"
            error = f"there is no tool {plan.call.tool!r}; there are: {names}"
            return ToolFailed(call_id=call_id, error=error, kind="unknown_tool")
        if plan.refusal:
            return ToolFailed(call_id=call_id, error=plan.refusal, kind="bad_arguments")
        known = self.state.tools.get(call_id)
        if known is not None and known.requested is not None:
            # An earlier activation was about to start it, or did.
            guess = tool.spec.destructive and not tool.spec.repeatable
            if guess and not await self._approval(plan, "unknown_outcome"):
                reason = "the process died while it was going on, and whoever was asked did not want it repeated"
                return ToolOutcomeUnknown(call_id=call_id, reason=reason)
        elif (plan.asks or known is not None) and not await self._approval(
            plan, "destructive" if tool.spec.destructive else "permission"
        ):
            decision = self.state.tools[call_id].decision
            note = decision.note if decision is not None and decision.note else "not approved"
            return ToolFailed(call_id=call_id, error=note, kind="denied")
        await self._go(plan)
        return None

    async def _go(self, plan: "_Plan") -> None:
        self._intend([plan])
        if plan.effects:
            await self.barrier()

    async def _approval(self, plan: "_Plan", reason: Any) -> bool:
        """Ask and wait for the answer; the one that was given for this very question before counts."""
        known = self.state.tools.get(plan.call_id)
        asked = known.approval if known is not None else None
        if known is None or asked is None or asked.reason != reason or known.used:
            question = ApprovalRequested(
                step=plan.step, call_id=plan.call_id, tool=plan.call.tool, reason=reason, args=plan.call.args
            )
            self.record([question])
            known = self.state.tools[plan.call_id]
        if known.decision is not None:
            return known.decision.allowed
        approvals = self.spec.approvals
        if callable(approvals):
            return await self._ask_handler(plan, reason)
        if approvals == "deny" and reason != "unknown_outcome":
            note = "nobody is there to approve it: the agent has no approval_handler"
            self.record(decide_approval(self.run_id, plan.call_id, False, "treadle", note, self.state))
            return False
        return await self._wait_for_answer(plan.call_id)

    async def _ask_handler(self, plan: "_Plan", reason: Any) -> bool:
        handler = self.spec.approvals
        assert callable(handler)
        question = ApprovalQuestion(
            plan.call_id, plan.call.tool, plan.call.args, reason,
            self.run_id, self.session_id, self.user_id, self.spec.name,
        )  # fmt: skip
        await self.barrier()
        try:
            answer = handler(question)
            allowed = await answer if inspect.isawaitable(answer) else answer
            note = "" if allowed else "the approval handler said no"
        except Exception as exc:
            _log.exception("the approval handler of agent %s raised; the call is denied", self.spec.name)
            allowed, note = False, f"the approval handler raised {_say(exc)}"
        self.record(decide_approval(self.run_id, plan.call_id, allowed is True, "approval_handler", note, self.state))
        return allowed is True

    async def _wait_for_answer(self, call_id: str) -> bool:
        await self.barrier()
        decision = self.state.tools[call_id].decision
        if decision is not None:
            return decision.allowed  # whoever saw the question in the journal was quick
        answer = self._answers.setdefault(call_id, asyncio.get_running_loop().create_future())
        self._park()
        return await answer

    def _park(self) -> None:
        if self._answers and not self._working:
            self.parked.set()

    async def approve(self, call_id: str, allowed: bool, by: str = "", note: str = "") -> None:
        """Answer a waiting call; durable when this returns.

        Raises:
            NothingToApprove, RunClosed: There is no such question.
        """
        self.record(decide_approval(self.run_id, call_id, allowed, by, note, self.state))
        await self.barrier()
        answer = self._answers.pop(call_id, None)
        if answer is not None and not answer.done():
            self.parked.clear()
            answer.set_result(allowed)

    async def _execute(self, plan: "_Plan") -> Outcome:
        """Call the tool. Whatever it does, there is an outcome."""
        tool, call_id = plan.tool, plan.call_id
        assert tool is not None
        requested = self.state.tools[call_id].requested
        call = CallContext(
            call_id, requested.attempt if requested is not None else 1, plan.call.tool,
            self.run_id, self.session_id, self.user_id, self.spec.name, self.started.depth,
        )  # fmt: skip
        token = enter_call(call)
        limit_s = tool.spec.timeout_s
        deadline = _Deadline(limit_s)
        clock = self.services.clock
        begun = clock.monotonic()
        self._working += 1
        try:
            async with deadline.guard() if limit_s is not None else nullcontext():
                if tool.is_async:
                    output = await tool.run(**plan.bound)
                else:
                    output = await self.services.threads.run(partial(tool.run, **plan.bound))
                    if inspect.isawaitable(output):
                        output = await output
            return ToolCompleted(call_id=call_id, output=recordable(output), duration_ms=_ms(clock.monotonic() - begun))
        except TimeoutError as exc:
            if deadline.expired:
                ends = "it was cancelled" if tool.is_async else "its thread cannot be stopped and may still do it"
                reason = f"no result within {limit_s:g} s (timeout_s of tool {tool.name!r}); {ends}"
                return ToolOutcomeUnknown(call_id=call_id, reason=reason)
            return _failed(call_id, exc, clock.monotonic() - begun)
        except asyncio.CancelledError as exc:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the run is cancelled, suspended or out of time; its end says that the outcome is unknown
            return _failed(call_id, exc, clock.monotonic() - begun)
        except Unrecordable as exc:
            error = f"the tool ran, and {exc}; return JSON types, a dataclass, a struct or a pydantic model"
            return ToolFailed(call_id=call_id, error=error, kind="unrecordable")
        except (Fenced, Unavailable, AppendUncertain, ReadOnly) as exc:
            if getattr(exc, "stream", None) == self._entity.stream:
                raise
            return _failed(call_id, exc, clock.monotonic() - begun)
        except Exception as exc:
            return _failed(call_id, exc, clock.monotonic() - begun)
        finally:
            leave_call(token)
            self._working -= 1
            self._park()


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


class _Deadline:
    """A time-out that can be told from a `TimeoutError` of the code under it."""

    __slots__ = ("_timeout", "limit_s")

    def __init__(self, limit_s: float | None) -> None:
        self.limit_s = limit_s
        self._timeout: asyncio.Timeout | None = None

    def guard(self) -> asyncio.Timeout:
        self._timeout = asyncio.timeout(self.limit_s)
        return self._timeout

    @property
    def expired(self) -> bool:
        return self._timeout is not None and self._timeout.expired()


def catalogue(spec: AgentSpec) -> tuple[ToolSpec, ...]:
    """The tools as the model is shown them."""
    return tuple(tool.spec for tool in spec.tools.values())


def _scopes(spec: AgentSpec, user_id: str) -> tuple[tuple[str, Limits], ...]:
    scopes: list[tuple[str, Limits]] = []
    if spec.budget is not None:
        scopes.append((spec.name, spec.budget))
    if spec.budget_per_user is not None:
        scopes.append((f"{spec.name}/{user_id}", spec.budget_per_user))
    return tuple(scopes)


def _estimate(messages: Sequence[Message], options: Mapping[str, Any]) -> tuple[int, int]:
    """A guess at a call's tokens, input and output, for models that cannot tell: four characters a token."""
    chars = sum(len(message.content) + 16 * (1 + len(message.tool_calls)) for message in messages)
    return chars // 4 + 1, int(options.get("max_tokens") or 1024)


def _last_text(state: Run) -> str:
    for step in reversed(state.models.values()):
        if isinstance(step.outcome, ModelCompleted) and step.outcome.reply.text:
            return step.outcome.reply.text
    return ""


def _failed(call_id: str, exc: BaseException, seconds: float) -> ToolFailed:
    return ToolFailed(call_id=call_id, error=_say(exc), duration_ms=_ms(seconds))


def _say(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


class RunHistory(Struct, frozen=True):
    """A run as the journal has it, without taking it over."""

    state: Run
    result: RunResult
    request: RunRequest

    @property
    def agent(self) -> str:
        return self.state.started.agent if self.state.started is not None else ""

    @property
    def in_session(self) -> bool:
        """A run without a session of its own has its id for a session id."""
        return self.request.session_id != self.request.run_id


async def history_of(journal: Journal, run_id: str) -> RunHistory:
    """What the journal has of a run.

    Raises:
        NotFound: Nothing.
    """
    state, events = Run(), await journal.read(run_stream(run_id))
    for recorded in events:
        evolve(state, recorded.event)
    if state.started is None:
        raise NotFound("run", run_id, f"journal {journal.name} has no stream {run_stream(run_id)!r}")
    first, last = events[0], events[-1]
    result = result_of(
        state, run_id=run_id, session_id=first.session_id, user_id=first.user_id, started_at=first.at, last_at=last.at
    )
    request = RunRequest(
        run_id=run_id,
        prompt=state.started.prompt,
        user_id=first.user_id,
        session_id=first.session_id,
        correlation_id=first.correlation_id,
        causation_id=first.causation_id,
        traceparent=first.traceparent,
    )
    return RunHistory(state, result, request)
