"""One agent that a run asks, in a run of its own: the child. Its stream has what it does, this has that it was asked.

The child's id is made of the call's, which is made of its place in the strategy: a run that is resumed finds the child
that it had asked, running or ended, and nothing is done twice.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, structs

from .errors import Refused, ReplayDivergence
from .event import Event
from .message import ToolCall, Usage

if TYPE_CHECKING:
    from .run import Run


# --- events ----------------------------------------------------------------------------------------------------------


class ChildRequested(Event, tag="run.child_requested"):
    """An agent is about to be asked.

    Attributes:
        call_id: Unique for this call in all runs for ever.
        run_id: The child's.
        digest: SHA-256 (16 hex digits) of what it is asked: a replay that would ask something else diverges.
        role: What the strategy calls the agent.
        steered: How much of what the run was told is in the question: the first so many (`steering.py`).
    """

    step: str
    call_id: str
    run_id: str
    agent: str
    digest: str
    role: str = ""
    steered: int = 0


class ChildEnded(Event, tag="run.child_ended"):
    """What came of it.

    Attributes:
        state: How its run ended: `completed`, `failed` …
        output: Its answer, or what there is of it.
        error: Why there is none, or why it is not what was asked for.
        usage: What it used, with its own children.
        ended_by: The tool call whose result its answer is, if one ended its turn.
    """

    call_id: str
    state: str
    output: str = ""
    error: str = ""
    turns: int = 0
    usage: Usage = Usage()
    ended_by: ToolCall | None = None

    @property
    def answered(self) -> bool:
        """Whether there is a final answer."""
        return self.state in ("completed", "degraded")


class WaitingCall(Struct, frozen=True, omit_defaults=True):
    """A call of a child, or of one below it, that waits for somebody's approval; as of `ApprovalRequested`.

    Attributes:
        run_id: Whose call it is.
    """

    run_id: str
    step: str
    call_id: str
    tool: str
    reason: Literal["destructive", "permission", "unknown_outcome"]
    args: dict[str, Any] = {}
    until: str = ""


class ChildWaits(Event, tag="run.child_waits"):
    """What a child waits for now: approvals of its own and of those below it; nothing when it goes on.

    Attributes:
        at: The version of the child's stream that says so.
    """

    call_id: str
    waiting: tuple[WaitingCall, ...] = ()
    at: int = 0


class WorkerSpawned(Event, tag="run.worker_spawned"):
    """The model has made up a worker, whom this run may ask from now on.

    Attributes:
        call_id: The tool call that did it.
    """

    call_id: str
    role: str
    instructions: str


# --- state -----------------------------------------------------------------------------------------------------------


class ChildStep(Struct, gc=False):
    """One child of a run. `copied`: it belongs to the run that this one was forked from."""

    requested: ChildRequested
    copied: bool = False
    waits: ChildWaits | None = None
    ended: ChildEnded | None = None


# --- decisions -------------------------------------------------------------------------------------------------------


def request_child(parent_id: str, asked: ChildRequested, state: "Run") -> list[ChildRequested]:
    """The intent to ask a child; nothing when it is recorded.

    Raises:
        ReplayDivergence: Something else was recorded there.
    """
    known = state.children.get(asked.call_id)
    if known is None:
        if asked.step in state.models or asked.step in state.values:
            raise ReplayDivergence(parent_id, asked.step, "another kind of step", f"a question to {asked.agent!r}")
        return [asked]
    # A child that the run shares with the one it was forked from is that one's, and has its own id.
    if structs.replace(known.requested, run_id=asked.run_id if known.copied else known.requested.run_id) != asked:
        recorded = f"{known.requested.agent} asked {known.requested.digest}"
        raise ReplayDivergence(parent_id, asked.step, recorded, f"{asked.agent} asked {asked.digest}")
    return []


def end_child(ended: ChildEnded, state: "Run") -> list[ChildEnded]:
    """What came of a child, once."""
    known = state.children.get(ended.call_id)
    return [ended] if known is not None and known.ended is None else []


def note_waiting(waits: ChildWaits, state: "Run") -> list[ChildWaits]:
    """What a child waits for; nothing when that is known, was before what is known, or the child has ended."""
    known = state.children.get(waits.call_id)
    if known is None or known.ended is not None:
        return []
    if known.waits is None:
        return [waits] if waits.waiting else []
    return [waits] if waits.at > known.waits.at and waits.waiting != known.waits.waiting else []


class CannotSpawn(Refused):
    """The run may have no such worker beside those it has."""


def spawn_worker(spawned: WorkerSpawned, taken: Collection[str], most: int, state: "Run") -> list[WorkerSpawned]:
    """A worker of the run's own, once.

    Args:
        taken: The roles that there are anyway.
        most: How many a run may have of its own.
    Raises:
        CannotSpawn: The role is taken, or there are as many as there may be.
    """
    role = spawned.role
    known = state.spawned.get(role)
    if known is not None and known.call_id == spawned.call_id:
        return []
    if known is not None or role in taken:
        raise CannotSpawn(f"there is a worker {role!r} already; delegate to it, or choose another role")
    if len(state.spawned) >= most:
        raise CannotSpawn(f"this run has spawned {most} workers, and may not spawn more; delegate to one of them")
    return [spawned]
