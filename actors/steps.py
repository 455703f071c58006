"""Recorded steps: all that a strategy may do to the world, and the reason why a run survives a crash.

A strategy is code that runs from the top every time. What it asks for here is answered from the journal when it has
been answered before, and done and recorded when not. A step's name is its place in the strategy, so a strategy must
ask in the same order given the same answers, and for all of them; if it does not, `ReplayDivergence` names the step
(`replay.py`).
"""

import asyncio
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from msgspec import structs

from ..events.child_step import ChildEnded
from ..events.errors import ConfigError, NotFound, ReplayDivergence
from ..events.message import Image, Message, ModelReply, OutputFormat, ToolCall, ToolSpec
from ..events.run import Run, ValueRecorded
from ..events.tool_step import Outcome, ToolCompleted, ToolFailed, ToolOutcomeUnknown, ToolStep
from .children import Question
from .feed import Note
from .json_form import recordable
from .manner import PLAIN, Manner
from .model_charges import Interrupted
from .outside import asked
from .parking import Crew
from .places import Places, Seat, seat_here, seated, sit_down
from .replay import AGENT, MODEL, TOOL, VALUE, Rest
from .run_history import history_of
from .steering import CutShort, put_in, with_steerings
from .tool import as_text

if TYPE_CHECKING:
    from ..events.child_step import ChildStep
    from ..events.model_step import ModelStep
    from .children import Asked
    from .model import Model
    from .run import RunActivation
    from .services import MemoryPort, Scopes

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


class ToolResult(msgspec.Struct, frozen=True, gc=False):
    """A call and what came of it.

    Attributes:
        ok: The tool says it did it.
        output: Its result as JSON types, or None.
        text: What the model is told.
        unknown: Nobody knows whether the tool did it.
    """

    call: ToolCall
    ok: bool
    output: Any
    text: str
    unknown: bool = False
    ends_turn: bool = False

    @property
    def message(self) -> Message:
        return Message("tool", self.text, tool_call_id=self.call.id, name=self.call.tool)


def digest_of(messages: Sequence[Message]) -> str:
    """Names what a model is sent, for telling whether a replay sends the same."""
    return hashlib.sha256(_encode(messages)).hexdigest()[:16]


def result_of_call(call: ToolCall, outcome: Outcome, *, ends_turn: bool = False) -> ToolResult:
    """What a strategy, and with it the model, is told of a call."""
    match outcome:
        case ToolCompleted():
            return ToolResult(call, True, outcome.output, as_text(outcome.output), ends_turn=ends_turn)
        case ToolFailed(kind="denied"):
            return ToolResult(call, False, None, f"DENIED: {outcome.error}")
        case ToolFailed():
            return ToolResult(call, False, None, f"ERROR: {outcome.error}")
        case ToolOutcomeUnknown():
            text = f"UNKNOWN OUTCOME: {outcome.reason}. Do not assume that it happened, or that it did not."
            return ToolResult(call, False, None, text, unknown=True)


class Opening(NamedTuple):
    """What a part of a strategy begins with, apart from what the run does.

    Attributes:
        conversation: What was said before its prompt, that of the run included; None: what was said before the run's.
    """

    prompt: str | None = None
    notes: tuple[str, ...] = ()
    conversation: tuple[Message, ...] | None = None


class Exchange(NamedTuple):
    """A model call and its answer; `tools` are those that it was shown, as `Steps.model` takes them."""

    messages: Sequence[Message]
    reply: ModelReply
    tools: bool | Collection[str] = False


class Steps:
    """The recorded steps of one run, or of a part of it (`part`, `together`).

    Attributes:
        last: The last model call of this part.
        shortfall: Why the answer of this part is less than was meant, if its strategy says so: the run is `degraded`.
    """

    def __init__(self, run: "RunActivation", place: str = "", opening: "Opening | None" = None) -> None:
        self.last: Exchange | None = None
        self.shortfall = ""
        self._run = run
        self._place = place
        self._opening = opening or Opening()
        self._next = 0

    def _step(self) -> str:
        self._next += 1
        return f"{self._place}{self._next}"

    def _asks(self, what: str) -> str:
        step = self._step()
        self._run.replay.asked(step, what)
        return step

    # --- what it begins with ---

    @property
    def prompt(self) -> str:
        """What the run, or this part of it, was asked."""
        return self._run.started.prompt if self._opening.prompt is None else self._opening.prompt

    @property
    def notes(self) -> Sequence[str]:
        """What the model of this part is told beside the instructions; `messages` holds it."""
        return self._opening.notes

    @property
    def user_id(self) -> str:
        """Whose run it is."""
        return self._run.user_id

    @property
    def run_id(self) -> str:
        return self._run.run_id

    @property
    def depth(self) -> int:
        """How many delegations it is away from a person or a signal; of a fork of an asked run, how many that was."""
        return self._run.children.depth

    @property
    def named_after(self) -> str:
        """What conversations of agents that this run asks are named after: its session, or itself without one."""
        return self._run.children.conversation

    @property
    def memory(self) -> "MemoryPort | None":
        """The user's memory, for an agent that has one. What is read there is to be recorded, by `value`."""
        return self._run.services.memory if self._run.spec.memory else None

    @property
    def toolbox(self) -> Sequence[ToolSpec]:
        """What the model may be shown of the tools."""
        return self._run.started.tools

    @property
    def shown(self) -> Mapping[str, Any]:
        """What the run was given beside its prompt: inputs, knowledge, extensions."""
        return self._run.started.shown

    @property
    def tone(self) -> str:
        """How the run's answers are to be phrased, in words; empty for none."""
        return self._run.started.tone

    @property
    def form(self) -> OutputFormat | None:
        """What the run's answer has to be."""
        return self._run.started.output

    @property
    def manner(self) -> Manner:
        """How the run is to answer, for an agent that does it in its place.

        Raises:
            ConfigError: The form of its answer is not known here.
        """
        asked = self._run.started.output
        if asked is None:
            return Manner(tone=self.tone or None)
        return Manner(self._run.output(asked), asked.retries, self.tone or None)

    @property
    def images(self) -> tuple[Image, ...]:
        """The pictures of the run's prompt."""
        return self._run.started.images

    @property
    def budgets(self) -> "Scopes":
        """What the run is charged to, and all that it asks with it."""
        return self._run.models.charges.scopes

    @property
    def conversation_id(self) -> str:
        """The session that the run belongs to; empty when it is by itself."""
        terms = self._run.started.fork
        if terms is not None and terms.run:  # a fork is by itself; what it shares may have been said in a session
            return "" if terms.session == terms.run else terms.session
        return "" if self._run.session_id == self._run.run_id else self._run.session_id

    def messages(self, *, note: str = "", answer: bool = True) -> list[Message]:
        """What every strategy begins with: instructions and memory, the conversation so far, the prompt.

        Args:
            note: What the model is told beside the instructions, this time.
            answer: Whether it is told the form and the tone of answers. A critic or a planner answers otherwise.
        """
        messages = self._run.opening_messages(answer=answer)
        *before, question = messages
        if self._opening.conversation is not None:
            before = [*before[: bool(before and before[0].role == "system")], *self._opening.conversation]
            question = Message("user", question.content)  # the run's pictures are in the conversation
        if self._opening.prompt is not None:
            question = structs.replace(question, content=self._opening.prompt)
        if self._opening.notes or note:
            notes = "\n\n".join((*self._opening.notes, *([note] if note else ())))
            if before and before[0].role == "system":
                before[0] = structs.replace(before[0], content=f"{before[0].content}\n\n{notes}")
            else:
                before.insert(0, Message("system", notes))
        return [*before, question]

    @property
    def goes_on(self) -> bool:
        """Whether the run had an answer before, which was sent back."""
        return self._opening.conversation is not None

    @property
    def so_far(self) -> Run:
        """What the run has recorded, to be read only. In a replay that is more than there was: record what you read."""
        return self._run.state

    async def previous_run(self) -> Run | None:
        """The run before this one in its session, or None. Record what you read of it: it may be forgotten later."""
        run_id = self._run.started.previous_run_id
        try:
            return (await history_of(self._run.services.journal, run_id)).state if run_id else None
        except NotFound:
            return None

    # --- parts ---

    def part(
        self, *, prompt: str | None = None, note: str = "", conversation: Sequence[Message] | None = None
    ) -> "Steps":
        """A part of the strategy, with steps of its own; one part after the other.

        Args:
            prompt: What it is asked, in the place of the run's prompt.
            note: What its model is told beside the instructions.
            conversation: What was said before the prompt, instructions apart, for a part that goes on with it.
        """
        return self._part(self._step(), prompt, note, conversation)

    def named(self, name: str) -> "Steps":
        """A part whose steps are called by `name`, for parts that begin in no fixed order.

        Args:
            name: Unique in this part, other than a number, and without `-` and `_`, which part the names of steps.
        """
        return self._part(f"{self._place}{name}")

    def _part(
        self, step: str, prompt: str | None = None, note: str = "", conversation: Sequence[Message] | None = None
    ) -> "Steps":
        opening = Opening(
            self._opening.prompt if prompt is None else prompt,
            (*self._opening.notes, note) if note else self._opening.notes,
            self._opening.conversation if conversation is None else tuple(conversation),
        )
        return Steps(self._run, f"{step}-", opening)

    @property
    def rest(self) -> Rest:
        """What is recorded of this part, and was not asked for again yet: for who runs parts beside one another."""
        return Rest(self._run.replay, self._place)

    def is_capped(self, reason: str) -> bool:
        """Whether what stopped an agent, `budget:max_tokens` perhaps, is a cap of this run or of those that led to it.

        Nobody knows whose budget it was when the agent has the same cap; it is taken for the run's then.
        """
        cap = reason.removeprefix("budget:")
        limits = (limits for _, limits in self._run.models.charges.scopes)
        return cap != reason and any(getattr(each, cap, None) is not None for each in limits)

    def crew(self) -> Crew:
        """For branches beside one another: says when the run can do nothing but wait."""
        return Crew(self._run.parking)

    def seated(self, places: Sequence[Places]) -> AbstractAsyncContextManager[None]:
        """What is done in the block has places, and gives them back while it waits for a person."""
        return seated(self._run.parking, places)

    async def together(
        self, branches: Sequence[Callable[["Steps"], Awaitable[T]]], *, limit: int | None = None
    ) -> list[T]:
        """Run parts beside one another; what they return, in their order. The first that raises ends the others.

        Args:
            limit: How many are at work at once, those not counted that wait for a person; None for all.
        Raises:
            ConfigError: The limit is none.
        """
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ConfigError(f"limit={limit!r}; it must be 1 or more, or None for all at once")
        step = self._step()
        place = f"{step}-"
        self._run.replay.beside(place, _in_no_order)
        results: dict[int, T] = {}
        parking = self._run.parking
        places, within = Places(limit or len(branches)), seat_here(parking)

        async def work(number: int, branch: Callable[["Steps"], Awaitable[T]]) -> None:
            sit_down(Seat(parking, (places,), within))
            results[number] = await branch(self._part(f"{step}-{number}"))
            places.give_back()
            crew.leave()

        try:
            with self.crew() as crew:
                async with asyncio.TaskGroup() as group:
                    crew.join()  # as long as there are branches to begin
                    for number, branch in enumerate(branches):
                        await places.take()
                        crew.join()
                        group.create_task(work(number, branch))
                    crew.leave()
        except BaseExceptionGroup as exc:
            self._run.replay.left(place)
            failed = exc.exceptions[0]  # one cause is enough; what comes of the others is in the journal
        else:
            return [results[number] for number in range(len(branches))]
        try:
            raise failed  # with what led to it; in the handler the group would, which is printed with it again
        finally:
            del failed  # it knows this frame

    # --- steps ---

    async def model(
        self,
        messages: Sequence[Message],
        *,
        tools: bool | Collection[str] = True,
        answer: bool = False,
        whole: bool = True,
        model: "Model | str | None" = None,
    ) -> ModelReply:
        """One model call. It is shown what the run was told while it went on (`actors/steering.py`).

        Args:
            messages: What the run was told is put into a list, and stays there for the calls after this one.
            tools: Whether it is shown the run's tools; or the names of those that it is shown.
            answer: Its text may become the run's answer: a model that knows how is held to `output_schema=`.
            whole: A reply that was cut off at the most tokens it may have ends the run, with what there is of it, and
                none of its tools are called. False: it is returned, with the `finish_reason` `length`.
            model: Who is asked, if not the agent's own: a model, or what `model=` takes.
        Raises:
            ModelError: The model did not answer; recorded.
            Interrupted: A limit is reached: turns, budget, tokens.
        """
        asked = self._run.model_of(model) if isinstance(model, str) else model
        conversation = messages if isinstance(messages, list) else list(messages)
        reply: ModelReply | None = None
        while reply is None:
            step = self._asks(MODEL)
            if self._run.moving:
                await self._run.leave()
            steered = self._steered(step, self._run.state.models.get(step))
            if steered:
                put_in(conversation, self._run.state.steerings[:steered], self.messages()[-1].content)
            with self._run.step:
                try:
                    reply = await self._run.models.call(
                        step, conversation, tools=tools, answer=answer, model=asked, steered=steered
                    )
                except CutShort:
                    continue
            if answer or tools:
                self._run.heard = max(self._run.heard, steered)
        if whole and reply.finish_reason == "length":
            raise Interrupted("max_tokens", "the model's answer was cut off at the most tokens that it may have")
        self.last = Exchange(tuple(conversation), reply, tools)
        return reply

    def _steered(self, step: str, known: "ModelStep | ChildStep | None") -> int:
        """How much of what the run was told this step is shown: as it is recorded, or all there is by now."""
        if known is not None:
            return known.requested.steered
        begun = self._run.request.fork
        if begun is not None and begun.shown is not None:
            return begun.shown.get(step, self._run.heard)
        return len(self._run.state.steerings)

    async def agent(
        self,
        agent: "Asked",
        prompt: str,
        *,
        role: str = "",
        history: Sequence[Message] = (),
        images: Sequence[Image] = (),
        session_id: str = "",
        manner: Manner = PLAIN,
    ) -> ChildEnded:
        """Ask another agent, in a run of its own, under the same user and budgets; what came of it.

        An agent that fails is a result, not an error. What the run was told while it went on is a part of the question.

        Args:
            agent: An agent, or the name of one that is hosted: here, or on another node.
            role: What the strategy calls it.
            history: The conversation before the prompt.
            images: The pictures of the prompt.
            session_id: The conversation of that agent which this goes on with.
            manner: How it is to answer, whatever it says itself.
        """
        step = self._asks(AGENT)
        if self._run.moving:
            await self._run.leave()
        call_id = f"{self._run.run_id}_{step}_0"
        steered = self._steered(step, self._run.state.children.get(call_id))
        if steered:
            prompt = with_steerings(prompt, self._run.state.steerings[:steered])
            self._run.heard = max(self._run.heard, steered)
        question = Question(prompt=prompt, history=history, images=tuple(images), session_id=session_id, manner=manner)
        with self._run.step:
            return await self._run.children.ask(step, call_id, agent, question, role=role, steered=steered)

    async def tools(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """The tool calls of one turn: together, destructive ones after the others and one by one.

        Results come in the order of the calls. A tool that fails is a result, not an error.
        """
        step = self._asks(TOOL) if calls else self._step()  # of none, nothing is recorded
        calls = [self._run.tools.masked(step, slot, call) for slot, call in enumerate(calls)]
        if self._run.moving:
            await self._run.leave()
        with self._run.step:
            outcomes = await self._run.tools.call(step, calls)
        ending = {name for name, tool in self._run.spec.tools.items() if tool.spec.ends_turn}
        return [
            result_of_call(call, outcome, ends_turn=call.tool in ending)
            for call, outcome in zip(calls, outcomes, strict=True)
        ]

    async def call(self, tool: str, args: dict[str, Any]) -> ToolStep:
        """A call that the strategy makes by itself, of a tool of the run; all that is recorded of it, its outcome too.

        A tool that fails has an outcome that says so; it is not an error.
        """
        step = self._asks(TOOL)
        call = self._run.tools.masked(step, 0, ToolCall("", tool, args))
        if self._run.moving:
            await self._run.leave()
        with self._run.step:
            await self._run.tools.call(step, [call])
        return self._run.state.tools[self._run.tools.call_id(step, 0)]

    def note(self, type: str, payload: dict[str, Any]) -> None:
        """Tell those who listen to the run where it is: live, and not recorded."""
        self._run.note(Note(type, payload))

    async def value(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` returned the first time: for times, ids and choices that a replay could not make again.

        It may be async. Then it is made again when the process dies before its value is stored, so it should have no
        effect that must not happen twice.
        """
        step = self._asks(VALUE)
        known = self._run.state.values.get(step)
        if known is None:
            made = make()
            if inspect.isawaitable(made):
                with self._run.step:
                    made = await made
            self._run.record([ValueRecorded(step=step, name=name, value=recordable(made))])
            known = self._run.state.values[step]
        if not isinstance(known, ValueRecorded) or known.name != name:
            raise ReplayDivergence(self._run.run_id, step, repr(known), f"the value {name!r}")
        return known.value

    async def stored(self) -> None:
        """What is recorded is on disk, and the run is ours: code that is not ours may be asked what to do next.

        Raises:
            Fenced, Unavailable, AppendUncertain, ReadOnly: As before a tool.
        """
        await self._run.barrier()
        if not self._run.is_ours:
            await self._run.make_sure()

    async def asked(self, function: Callable[..., Any], *args: Any) -> Any:
        """What a function of whoever made the agent says: a plain one in a thread. To be recorded, by `value`."""
        return await asked(self._run.services.threads, function, *args)

    async def now(self) -> datetime:
        """The time, the same in a replay."""
        text = await self.value("now", lambda: self._run.services.clock.now().isoformat())
        return datetime.fromisoformat(text)

    async def new_id(self) -> str:
        """A unique id, the same in a replay."""
        made: str = await self.value("id", self._run.services.clock.new_id)
        return made


def _in_no_order(step: str, new: str) -> bool:
    """Of two branches, either may be slower."""
    return True
