"""What a caller and a worker say to each other about one call of a tool. JSON over requests and replies.

    caller                                        worker
    tool.<tool>.call.<user>   Asked     ──▶       one of those who offer it
                                        ◀──       Taken        it has it, and has not begun
    tool.<tool>.on.<worker>   Go        ──▶       begins, unless LEASE_S have passed since
                                        ◀──       Standing     the end, or `running` after FIRST_POLL_S
    tool.<tool>.on.<worker>   Look      ──▶
                                        ◀──       Standing     the end, or `running` every POLL_S
    tool.<tool>.at.<call>.<attempt>               the same, for a caller that comes after a crash

Two steps, so that the caller knows whether a call has begun. A worker that was given up while it slept finds its
lease expired when it wakes, and begins nothing: its lease is shorter, by its own clock, than the caller's patience,
which began later. So no two clocks are ever compared.
"""

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from ...actors.context import CallContext
from ...events.call import CallEnded
from ...events.envelope import Meta

LEASE_S = 3.0
"""How long a worker holds a call that it has taken and may not begin yet."""

GONE_S = 6.0
"""A worker that has begun a call and is not on the bus for so long is given up: its process has died. Longer than
LEASE_S, and than the longest pause in which a client that has lost its connection looks for a server."""

SILENCE_S = 10.0
"""… or that is there and says nothing for so long: it sleeps, or the network is cut."""

POLL_S = 1.0
"""How long a worker lets its caller wait before it says that the call still goes on."""

FIRST_POLL_S = 0.25
"""… and how long the first time."""

ANSWER_S = 2.0
"""How long one question about a call may take; what was asked of a process that has died since is never answered."""

TAKE_S = 2.0
"""How long a worker may take to say that it has a call. One that sleeps costs so much, then another is asked."""

PATIENCE_S = 60.0
"""How long a worker is looked for, unless the system says otherwise."""

LOOK_EVERY_S = 0.25

OURS_S = 1.0
"""How old the intent of a run may be before it is looked whether the run is still ours."""

QUEUE = "workers"
"""The queue group of all who offer a tool."""


class Asked(Struct, frozen=True):
    """Who does this?

    Attributes:
        cause: What the worker records its events with: the run's, and the call.
        metadata: The run's, for `get_run_context` in the tool.
    """

    call: CallContext
    args: dict[str, Any]
    cause: Meta
    metadata: dict[str, Any] = {}


class Taken(Struct, frozen=True):
    """I do, when you say so.

    Attributes:
        worker: Where it is told.
        refused: Why the arguments do not fit; nobody has the call then.
    """

    worker: str = ""
    refused: str = ""


class Go(Struct, frozen=True, tag="go"):
    """Begin. `limit_s` is what is left of the call's time."""

    call_id: str
    attempt: int
    limit_s: float | None = None


class Look(Struct, frozen=True, tag="look"):
    """How does it stand?"""

    call_id: str
    attempt: int


class Cancel(Struct, frozen=True, tag="cancel"):
    """Nobody wants it any more."""

    call_id: str
    attempt: int


Order: TypeAlias = Go | Look | Cancel


class Standing(Struct, frozen=True):
    """How a call stands.

    Attributes:
        state: `not_begun`: and it will not be here, `why` says the reason; `gone`: nothing is known of it any more.
    """

    state: Literal["not_begun", "running", "ended", "gone"]
    ended: CallEnded | None = None
    why: str = ""
