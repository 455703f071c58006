"""What can go wrong, grouped by what the caller does next.

    TreadleError
    ├── ConfigError              fix the program: the message lists what would work
    ├── VersionConflict          reload and decide again
    ├── AppendUncertain          look before retrying: read back by event id
    ├── Unavailable              wait `retry_after_s`, then retry
    │   └── Unserved             …and nobody was there to ask: it was not delivered
    ├── Fenced                   stop writing: somebody else owns the actor now
    │   └── Owned                …and is alive: wait for them, or take over on purpose
    ├── Undecodable              park it: these bytes will never decode
    │   └── CorruptEvent         …and they are a row of the journal
    ├── JournalTooNew            read only: a newer Treadle wrote this journal
    ├── ReadOnly                 open it writable, or write elsewhere
    ├── MailboxFull              slow down: the actor has `capacity` messages waiting
    ├── ReplayDivergence         the code no longer does what the history says
    ├── ModelError               a model call came to nothing; its own tree is in `actors/model_errors.py`
    └── Refused                  never retry: an answer, not a fault
        ├── BudgetExceeded
        ├── NotFound
        ├── TooLarge             send less, or a claim check
        └── RunError             the run has ended without an answer; `.result` tells how
            └── RunTimeout

Foreign exceptions are translated where they enter, in the gateways.
"""

from typing import Any


class TreadleError(Exception):
    """Base of every error that Treadle raises on purpose."""


class ConfigError(TreadleError):
    """The program asks for something that does not exist or does not fit; the message says what would."""


class VersionConflict(TreadleError):
    """The stream moved on, and nothing of this append was stored.

    `found` equals `expected` when the stream has that version, but another event in its place.
    """

    def __init__(self, stream: str, expected: int, found: int) -> None:
        what = f"found {found}" if found != expected else "found another event in its place"
        super().__init__(f"expected version {expected} of stream {stream!r}, {what}; reload and decide again")
        self.stream = stream
        self.expected = expected
        self.found = found


class AppendUncertain(TreadleError):
    """The journal did not say whether the events were stored; `event_ids` are the ids to read back."""

    def __init__(self, streams: tuple[str, ...], event_ids: tuple[str, ...], cause: str) -> None:
        super().__init__(
            f"no answer to an append of {len(event_ids)} events to {', '.join(map(repr, streams))} ({cause}); "
            "read back by event id before retrying"
        )
        self.streams = streams
        self.event_ids = event_ids


class Unavailable(TreadleError):
    """A server, a file or a disk did not serve; nothing was stored."""

    def __init__(self, what: str, why: str, retry_after_s: float = 1.0) -> None:
        super().__init__(f"{what} is unavailable: {why}; retry after {retry_after_s:g} s")
        self.what = what
        self.why = why
        self.retry_after_s = retry_after_s


class Unserved(Unavailable):
    """Nobody serves a subject: what was asked reached nobody."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "nobody serves it")


class Fenced(TreadleError):
    """Another activation took this actor over; whatever this one still wanted to do must not happen."""

    def __init__(self, stream: str, epoch: int, found: int, owner: str = "") -> None:
        by = f" by {owner}" if owner else ""
        super().__init__(
            f"stream {stream!r} was taken over{by}: this activation has epoch {epoch}, the journal has {found}; "
            "stop, and let the new owner go on"
        )
        self.stream = stream
        self.epoch = epoch
        self.found = found
        self.owner = owner


class Owned(Fenced):
    """The actor is running in another process that is alive."""

    def __init__(self, stream: str, owner: str, epoch: int) -> None:
        TreadleError.__init__(
            self,
            f"stream {stream!r} is being run by {owner} (epoch {epoch}), which is alive; "
            "wait until that run has ended, or stop that process and resume",
        )
        self.stream = stream
        self.epoch = epoch
        self.found = epoch
        self.owner = owner


class Undecodable(TreadleError):
    """Bytes that are not what they should be; decoding them again will not help."""


class CorruptEvent(Undecodable):
    """A row of the journal that does not decode or does not match its hash; the rest stays readable."""

    def __init__(self, stream: str, version: int, position: int, why: str) -> None:
        super().__init__(
            f"event {version} of stream {stream!r} at position {position} is corrupt: {why}; "
            "the other rows stay readable, `treadle audit verify` lists every broken one"
        )
        self.stream = stream
        self.version = version
        self.position = position
        self.why = why


class JournalTooNew(TreadleError):
    """A newer Treadle wrote this journal; this one opens it read-only."""

    def __init__(self, journal: str, found: int, known: int) -> None:
        super().__init__(
            f"journal {journal!r} has format {found}, this Treadle knows up to {known}; "
            "it was opened read-only, upgrade Treadle to write to it"
        )
        self.journal = journal
        self.found = found
        self.known = known


class ReadOnly(TreadleError):
    """The journal can be read and not written."""

    def __init__(self, journal: str, why: str) -> None:
        super().__init__(f"journal {journal!r} is read-only: {why}; nothing was stored")
        self.journal = journal
        self.why = why


class MailboxFull(TreadleError):
    """An actor has as many messages waiting as it may have; this one was not taken."""

    def __init__(self, address: str, capacity: int) -> None:
        super().__init__(
            f"the mailbox of {address!r} is full: {capacity} messages are waiting; slow down and send again"
        )
        self.address = address
        self.capacity = capacity


class ReplayDivergence(TreadleError):
    """The code asks for another step than the history holds at this place."""

    def __init__(self, run_id: str, step: str, recorded: str, asked: str) -> None:
        super().__init__(
            f"run {run_id!r} diverges from its history at step {step!r}: recorded {recorded}, asked for {asked}; "
            "resume with the code that started the run, or start a new run"
        )
        self.run_id = run_id
        self.step = step
        self.recorded = recorded
        self.asked = asked


class Refused(TreadleError):
    """A decision that says no. Asking again gives the same answer."""


class BudgetExceeded(Refused):
    """A cap would be passed; nothing was reserved."""

    def __init__(self, scope: str, limit: str, asked: float, free: float) -> None:
        super().__init__(
            f"budget {scope!r}: {asked:g} asked, {free:g} free of {limit}; raise the cap or wait for a new period"
        )
        self.scope = scope
        self.limit = limit
        self.asked = asked
        self.free = free


class NotFound(Refused):
    """Nothing is stored under this name."""

    def __init__(self, what: str, name: str, hint: str = "") -> None:
        super().__init__(f"no {what} {name!r}" + (f"; {hint}" if hint else ""))
        self.what = what
        self.name = name


class TooLarge(Refused):
    """More bytes than one message may have; nothing was sent."""

    def __init__(self, what: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{what} is too large: {size_bytes} bytes with its headers, {limit_bytes} fit into one message; "
            "send a claim check instead"
        )
        self.what = what
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class RunError(Refused):
    """A run failed or was cancelled. `result` is its `RunResult`, `state` and all."""

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


class RunTimeout(RunError):
    """A run was closed because it had taken longer than its time-out.

    Attributes:
        setting: Which one: `timeout_s`, of the agent or the workflow whose run it is.
        limit_s: Its number of seconds.
    """

    def __init__(self, message: str, result: Any = None, *, setting: str = "timeout_s", limit_s: float = 0.0) -> None:
        super().__init__(message, result)
        self.setting = setting
        self.limit_s = limit_s
