"""What code inside a run can ask about where it is: the run's context and, in a tool, its call.

Both are context variables: they reach coroutines and the threads of synchronous tools, and no argument has to be
handed through. The model never sees them.
"""

from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any

from msgspec import Struct

from ..events.envelope import Meta


class RunContext(Struct, frozen=True, kw_only=True):
    """Where a run belongs.

    Attributes:
        run_id, correlation_id, traceparent: The run's own, inside of one: what is given to a run is not heeded.
        metadata: Ambient, for tools and hooks; never shown to the model.
        inputs, knowledge, extensions: Shown to the model with the prompt.
    """

    user_id: str = ""
    session_id: str = ""
    run_id: str = ""
    correlation_id: str = ""
    traceparent: str = ""
    metadata: Mapping[str, Any] = {}
    inputs: Mapping[str, Any] = {}
    knowledge: Any = None
    extensions: Mapping[str, Any] = {}

    @property
    def shown(self) -> dict[str, Any]:
        """What the model sees with the prompt, by name."""
        given = {"inputs": self.inputs, "knowledge": self.knowledge, "extensions": self.extensions}
        return {name: value for name, value in given.items() if value}


class CallContext(Struct, frozen=True, gc=False):
    """The tool call that is going on.

    Attributes:
        call_id: The same in every attempt at this call and different for every other call: the idempotency key.
        attempt: 1 at first; more when an earlier attempt may have happened and nobody knows.
        depth: How many delegations this run is away from a person or a signal.
    """

    call_id: str
    attempt: int
    tool: str
    run_id: str
    session_id: str
    user_id: str
    agent: str
    depth: int = 0


class ModelCallContext(Struct, frozen=True, gc=False):
    """The model call that is going on, for adapters: providers and gateways in between can be told its id."""

    call_id: str
    attempt: int
    run_id: str


_NOWHERE = RunContext()

_run: ContextVar[RunContext] = ContextVar("treadle_run", default=_NOWHERE)
_call: ContextVar[CallContext | None] = ContextVar("treadle_call", default=None)
_model_call: ContextVar[ModelCallContext | None] = ContextVar("treadle_model_call", default=None)


def get_run_context() -> RunContext:
    """The context of the run that this code runs in; an empty one outside of any run."""
    return _run.get()


def set_run_context(context: RunContext) -> None:
    """Make `context` the current one, for code that runs tools outside of a run: tests, scripts."""
    _run.set(context)


def current_call() -> CallContext:
    """The tool call that this code runs in.

    Raises:
        LookupError: No tool call is going on here.
    """
    call = _call.get()
    if call is None:
        raise LookupError("current_call() works inside a tool that a run called, and there is none here")
    return call


def in_call() -> bool:
    """Whether a tool call goes on here."""
    return _call.get() is not None


def current_cause() -> Meta:
    """What is recorded with an event that comes of the code here: whose run this is, and the tool call in it.

    Empty outside of any run: nobody's.
    """
    run, call = _run.get(), _call.get()
    return Meta(
        user_id=run.user_id,
        session_id=run.session_id,
        run_id=run.run_id,
        correlation_id=run.correlation_id,
        causation_id=run.run_id if call is None else call.call_id,
        traceparent=run.traceparent,
    )


def enter_call(call: CallContext | None) -> Token[CallContext | None]:
    """`call` goes on from here until `leave_call`; None: no call does, whoever led to this."""
    return _call.set(call)


def leave_call(token: Token[CallContext | None]) -> None:
    _call.reset(token)


def current_model_call() -> ModelCallContext | None:
    """The model call that this code makes; None outside of any run."""
    return _model_call.get()


def enter_model_call(call: ModelCallContext) -> None:
    """The model that is asked from here on is asked for `call`."""
    _model_call.set(call)
