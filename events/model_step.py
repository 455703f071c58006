"""Model calls of a run: the intent, each attempt that came to nothing, the answer. In the stream of `run.py`."""

from typing import TYPE_CHECKING

from msgspec import Struct

from .errors import ReplayDivergence
from .event import Event
from .message import ModelReply, Usage

if TYPE_CHECKING:
    from .run import Run

# --- events ----------------------------------------------------------------------------------------------------------


class ModelRequested(Event, tag="run.model_requested"):
    """A model call is about to be sent.

    Attributes:
        digest: SHA-256 (16 hex digits) of what is sent: a replay that would send something else diverges.
        attempt: 2 and more when an earlier attempt failed, or has no outcome in the journal.
        model: The model that is asked, when it is not the run's own.
        most: What the attempt may use at most, as far as that is known: charged when its answer is lost. Of models
            that cost something; on disk before the request is sent.
        steered: How much of what the run was told is among the messages: the first so many (`steering.py`).
    """

    step: str
    call_id: str
    digest: str
    attempt: int = 1
    model: str = ""
    most: Usage = Usage()
    steered: int = 0


class ModelAttemptFailed(Event, tag="run.model_attempt_failed"):
    """An attempt at a model call came to nothing, and the call goes on: with another attempt, or another model.

    Attributes:
        kind: As of `ModelFailed`; `lost` when the process died before the answer was stored, `cancelled` when nobody
            wanted it any more.
        usage: What is charged for it.
        estimated: Nobody knows what the provider charges; `usage` is the most that it may be.
        retry_at: Not before this time is it tried again; ISO 8601, empty for at once.
    """

    step: str
    call_id: str
    attempt: int
    error: str
    kind: str
    model: str = ""
    status: int = 0
    request_id: str = ""
    usage: Usage = Usage()
    estimated: bool = False
    retry_at: str = ""


class ModelFellBack(Event, tag="run.model_fell_back"):
    """The call goes on with another model, which the agent names for this case. The run's answer is `degraded`.

    Attributes:
        alternative: Which of the agent's models is asked now; its own is number 0.
    """

    step: str
    call_id: str
    alternative: int
    from_model: str
    to_model: str
    reason: str


class ModelCompleted(Event, tag="run.model_completed"):
    """The answer. `model` is who gave it, when that is not the run's own."""

    step: str
    call_id: str
    reply: ModelReply
    model: str = ""


class ModelFailed(Event, tag="run.model_failed"):
    """The call came to nothing, in its last attempt.

    Attributes:
        kind: The word of the taxonomy in `actors/model_errors.py`; the name of the exception when it is not in there;
            `steered` when the call was cut short since the run was told something: the next step asks anew.
        usage, estimated: What is charged for the last attempt, as of `ModelAttemptFailed`.
    """

    step: str
    call_id: str
    error: str
    kind: str = "error"
    model: str = ""
    status: int = 0
    request_id: str = ""
    usage: Usage = Usage()
    estimated: bool = False


def usage_of(event: ModelCompleted | ModelAttemptFailed | ModelFailed) -> Usage:
    """What an attempt is charged."""
    return event.reply.usage if isinstance(event, ModelCompleted) else event.usage


# --- state -----------------------------------------------------------------------------------------------------------

STEERED = "steered"
"""The kind of a call that was cut short, and is made anew by another step."""

NO_FAULT = ("lost", "cancelled")
"""Kinds of failed attempts that tell nothing of the model: its answer was lost on our side, or not wanted any more."""


class ModelStep(Struct, gc=False):
    """One call. `failed` are the attempts that came to nothing.

    Attributes:
        copied: It was made, and charged, by the run that this one was forked from.
        alternative: The number of the model that is asked now.
        failed_before: How many attempts had failed when it came to be asked.
    """

    requested: ModelRequested
    copied: bool = False
    failed: tuple[ModelAttemptFailed, ...] = ()
    alternative: int = 0
    failed_before: int = 0
    outcome: ModelCompleted | ModelFailed | None = None

    @property
    def unanswered(self) -> bool:
        """The last attempt has neither an answer nor a failure."""
        ended = self.failed[-1].attempt if self.failed else 0
        return self.outcome is None and self.requested.attempt > ended

    @property
    def retry_at(self) -> str:
        """The time before which it is not tried again; empty when there is none."""
        return self.failed[-1].retry_at if self.failed else ""

    @property
    def tries(self) -> int:
        """How often the model that is asked now has failed; what was lost or cancelled does not count."""
        return sum(each.kind not in NO_FAULT for each in self.failed[self.failed_before :])


# --- decisions -------------------------------------------------------------------------------------------------------


def request_model(run_id: str, step: str, digest: str, state: "Run", steered: int = 0) -> list[ModelRequested]:
    """The intent of a model call; nothing when its answer is recorded.

    Args:
        steered: How much of what the run was told is in the messages that `digest` is of.

    Raises:
        ReplayDivergence: Another call was recorded at this step.
    """
    call_id = f"{run_id}_{step}"
    known = state.models.get(step)
    if known is None:
        if step in state.values:
            raise ReplayDivergence(run_id, step, state.values[step].event_tag, "a model call")
        return [ModelRequested(step=step, call_id=call_id, digest=digest, steered=steered)]
    if known.requested.digest != digest:
        raise ReplayDivergence(
            run_id, step, f"a model call with digest {known.requested.digest}", f"one with digest {digest}"
        )
    if known.outcome is not None:
        return []
    again = known.requested.attempt + 1
    return [ModelRequested(step=step, call_id=call_id, digest=digest, attempt=again, steered=known.requested.steered)]


def give_up(step: str, kind: str, error: str, state: "Run", *, sent: bool = True) -> list[ModelAttemptFailed]:
    """The end of an attempt whose answer nobody waits for any more; nothing when it has an answer, or has failed.

    Args:
        sent: It is charged at the most that it may have used; False when it certainly was not sent.
    """
    call = state.models.get(step)
    if call is None or not call.unanswered:
        return []
    asked = call.requested
    usage = asked.most if sent else Usage()
    return [
        ModelAttemptFailed(
            step=step,
            call_id=asked.call_id,
            attempt=asked.attempt,
            model=asked.model,
            error=error,
            kind=kind,
            usage=usage,
            estimated=usage != Usage(),
        )
    ]


def cut_short(step: str, state: "Run") -> list[ModelFailed]:
    """The end of a call whose answer is not waited for, since the run was told something new; nothing when it has one.

    It is charged at the most that it may have used, if it was going on: nobody knows how far the model had come.
    """
    call = state.models.get(step)
    if call is None or call.outcome is not None:
        return []
    asked = call.requested
    usage = asked.most if call.unanswered else Usage()
    return [
        ModelFailed(
            step=step,
            call_id=asked.call_id,
            error="cut short: the run was told something, and the model is asked anew",
            kind=STEERED,
            model=asked.model,
            usage=usage,
            estimated=usage != Usage(),
        )
    ]


def attempt_id(call_id: str, attempt: int) -> str:
    """What an attempt at a call is charged under."""
    return call_id if attempt == 1 else f"{call_id}.{attempt}"
