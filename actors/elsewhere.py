"""What is asked of another node about an actor that works there.

A ref works wherever its actor lives: who meets an actor that another process works on (`Owned`) hands its message on.
All of these are recorded by whoever answers them, and asking twice does once.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from ..events.budget import Scope
from ..events.child_step import WaitingCall
from ..events.message import Image, OutputFormat
from ..events.run import RunCancelled, RunInterrupted
from ..events.signal import RuntimeSignal
from .context import RunContext
from .json_form import recordable
from .session_messages import Prompt


class ApproveThere(Struct, frozen=True, tag="approve"):
    """Answer a call of a run. Done when the answer is on disk."""

    run_id: str
    call_id: str
    allowed: bool
    by: str = ""
    note: str = ""


class SteerThere(Struct, frozen=True, tag="steer"):
    """Tell a run something. Done when that is on disk."""

    run_id: str
    text: str
    steering_id: str
    by: str = ""
    now: bool = False
    to: str = ""


class WaitsThere(Struct, frozen=True, tag="waits"):
    """Tell a run what one that it asked for waits for. Done when it knows."""

    run_id: str
    call_id: str
    waiting: tuple[WaitingCall, ...]
    at: int
    parked: bool


class EndThere(Struct, frozen=True, tag="end"):
    """Close a run. Done when that is on disk."""

    run_id: str
    reason: str
    by: str = ""
    interrupted: bool = False

    @property
    def closing(self) -> RunCancelled | RunInterrupted:
        """How the run ends."""
        return RunInterrupted(reason=self.reason) if self.interrupted else RunCancelled(reason=self.reason, by=self.by)


class PromptThere(Struct, frozen=True, kw_only=True, tag="prompt"):
    """Have a session take a prompt. Done when its run has ended, or waits for somebody's approval."""

    user_id: str
    agent: str
    session_id: str
    run_id: str
    prompt: str
    images: tuple[Image, ...] = ()
    metadata: Mapping[str, Any] = {}
    inputs: Mapping[str, Any] = {}
    knowledge: Any = None
    extensions: Mapping[str, Any] = {}
    output: OutputFormat | None = None
    retries: int | None = None
    tone: str | None = None
    parent_run_id: str = ""
    parent_call_id: str = ""
    depth: int = 0
    budgets: tuple[Scope, ...] = ()
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""


class SignalThere(Struct, frozen=True, tag="signal"):
    """Have a session take a signal. Done when it is on disk."""

    user_id: str
    agent: str
    session_id: str
    signal: RuntimeSignal


Message: TypeAlias = ApproveThere | SteerThere | WaitsThere | EndThere | PromptThere | SignalThere


class ElsewherePort(Protocol):
    """Other nodes, by the names under which they own runs."""

    async def ask(self, owner: str, message: Message) -> None:
        """Have `owner` do it; returns when it is done.

        Raises:
            Unavailable: It does not answer; look again who works on it.
            Refused: It would not.
        """
        ...


def end_there(run_id: str, closing: RunCancelled | RunInterrupted) -> EndThere:
    """An end as it travels."""
    if isinstance(closing, RunInterrupted):
        return EndThere(run_id, closing.reason, interrupted=True)
    return EndThere(run_id, closing.reason, closing.by)


def prompt_there(user_id: str, agent: str, session_id: str, prompt: Prompt) -> PromptThere:
    """A prompt as it travels.

    Raises:
        Unrecordable: Something of its context has no JSON form.
    """
    context = prompt.context or RunContext()
    return PromptThere(
        user_id=user_id,
        agent=agent,
        session_id=session_id,
        run_id=prompt.run_id,
        prompt=prompt.prompt,
        images=prompt.images,
        metadata=recordable(dict(context.metadata)),
        inputs=recordable(dict(context.inputs)),
        knowledge=recordable(context.knowledge),
        extensions=recordable(dict(context.extensions)),
        output=prompt.manner.output_format(prompt.spec.model),
        retries=prompt.manner.retries,
        tone=prompt.manner.tone,
        parent_run_id=prompt.parent_run_id,
        parent_call_id=prompt.parent_call_id,
        depth=prompt.depth,
        budgets=prompt.budgets,
        correlation_id=prompt.correlation_id,
        causation_id=prompt.causation_id,
        traceparent=prompt.traceparent,
    )
