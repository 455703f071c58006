"""What a session is told and asked. Apart from `session.py`, because runs send some of these."""

from typing import Literal

from msgspec import Struct

from ..events.budget import Scope
from ..events.fork_terms import ForkTerms
from ..events.message import Image
from ..events.run import RunCancelled, RunInterrupted
from ..events.signal import RuntimeSignal
from .context import RunContext
from .feed import Feed
from .manner import PLAIN, Manner
from .output import Output
from .spec import AgentSpec


class Prompt(Struct, frozen=True, kw_only=True):
    """Run this; answers with its `RunResult` when the run has ended or waits for approvals.

    A session runs one prompt at a time, in the order in which they came. When a run is open that nobody works on
    (its process died, or its caller went away), a prompt with the same words continues it; other words close it as
    interrupted and begin anew.

    Attributes:
        run_id: The run's id if the caller wants to choose it.
        manner: How it is to answer, where that is not as its agent does.
        correlation_id: The conversation that it is a part of; empty for the session itself.
        feed: Hears everything from the run's beginning on.
        terms: Of the forked tree that it is asked in.
    """

    spec: AgentSpec
    prompt: str
    images: tuple[Image, ...] = ()
    run_id: str = ""
    context: RunContext | None = None
    manner: Manner = PLAIN
    parent_run_id: str = ""
    parent_call_id: str = ""
    depth: int = 0
    budgets: tuple[Scope, ...] = ()
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""
    feed: Feed | None = None
    terms: ForkTerms | None = None


class ResumeSession(Struct, frozen=True):
    """Continue the open run; answers with its `RunResult`, or `NothingToResume` when none is open.

    Attributes:
        run_id: Names this wish for `AbandonPrompt`; any unique text.
        output: As what the answer is wanted; a run that was asked for something else is not continued.
        only: The run that is meant, if it has to be that one: when it has ended meanwhile, its result is the answer.
    """

    spec: AgentSpec | None = None
    run_id: str = ""
    feed: Feed | None = None
    output: Output | None = None
    only: str = ""


class AbandonPrompt(Struct, frozen=True):
    """Whoever sent the prompt or the wish to resume with this run id has gone: forget it, or suspend its run.

    Answers None when that is done, and on disk.
    """

    run_id: str


class SignalSession(Struct, frozen=True):
    """A signal. Answers None when it is on disk, or with the `RunResult` of its run when that has ended.

    A signal that was taken before leads to no second run: it answers with the first one's result.
    """

    signal: RuntimeSignal
    answer_when: Literal["taken", "ended"] = "ended"
    causation_id: str = ""
    traceparent: str = ""


class MoveSession(Struct, frozen=True):
    """Another node takes this session's signals from now on: leave the run of one for it, and begin no other.

    Answers None when that is on disk. A prompt that somebody here waits for is brought to its end all the same, unless
    this node leaves: then whoever waits is told to ask elsewhere.

    Attributes:
        now: Do not wait for the step that goes on: its outcome will be unknown.
        leaving: This node ends.
    """

    now: bool = False
    leaving: bool = False


class ParkSignal(Struct, frozen=True):
    """A signal could not be handled and was set aside; answers whether this is news."""

    signal_id: str
    reason: str
    size_bytes: int = 0


class EndOpenRun(Struct, frozen=True):
    """Close the open run so; answers with its `RunResult`."""

    run_id: str
    closing: RunCancelled | RunInterrupted


class DescribeSession(Struct, frozen=True):
    """Answers with a copy of the session's conversation: a list of `Message`."""


class NameOpenRun(Struct, frozen=True):
    """Answers with the id of the run that has not ended; empty when there is none."""
