"""What an actor's failure leads to: resume, restart, stop or escalate.

A strategy is declared as a value and shared by all actors of a kind. The rule of the most specific class of the error
decides, so `{OSError: RESTART, Exception: STOP}` means what it says in any order.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from ...events.errors import ConfigError, Fenced, Owned, Refused

__all__ = ["Backoff", "Directive", "Failure", "FailureHandler", "Restarts", "Supervision"]


class Directive(StrEnum):
    """What becomes of an actor that failed."""

    RESUME = "resume"
    """Goes on with the next message and the state it has. While starting there is no state: then it stops."""
    RESTART = "restart"
    """A new instance at the same address, after a back-off; mail keeps waiting, the failed message is not repeated."""
    STOP = "stop"
    """Ends. Waiting asks get the error, waiting tells become dead letters."""
    ESCALATE = "escalate"
    """Stops, and counts as a failure of its parent; without a parent, the system's `on_escalation` is called."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds before the first restart, the second, …: `first_s`, times `factor` each, at most `max_s`."""

    first_s: float = 0.1
    factor: float = 2.0
    max_s: float = 30.0

    def delay_s(self, attempt: int) -> float:
        """Seconds before restart number `attempt`, counted from 1."""
        # The exponent is capped: past 2**64 the delay is `max_s` anyway, and a float would overflow.
        return min(self.max_s, self.first_s * self.factor ** min(attempt - 1, 64))


# An answer is no fault, and whoever was fenced must not come back by itself. Who is told that another process works on
# it has done nothing yet.
_ALWAYS: Mapping[type[BaseException], Directive] = {
    Refused: Directive.RESUME,
    Owned: Directive.RESUME,
    Fenced: Directive.STOP,
}


@dataclass(frozen=True, slots=True)
class Supervision:
    """A supervision strategy.

    Args:
        rules: Directive for a class of errors and its subclasses.
        default: For an error without a rule. An error that has already answered an ask does not get here: the asker
            knows, and the actor goes on, as in pykka.
        backoff: Waiting time before each restart.
        max_restarts: More than this many within `within_s` seconds and `exhausted` happens instead.
        exhausted: `STOP` or `ESCALATE`.

    Without a rule of its own, `Refused` and `Owned` resume and `Fenced` stops.
    """

    rules: Mapping[type[BaseException], Directive] = field(default_factory=dict[type[BaseException], Directive])
    default: Directive = Directive.STOP
    backoff: Backoff = Backoff()
    max_restarts: int = 5
    within_s: float = 60.0
    exhausted: Directive = Directive.STOP

    def __post_init__(self) -> None:
        if self.exhausted not in (Directive.STOP, Directive.ESCALATE):
            raise ConfigError(f"exhausted restarts can stop or escalate, not {self.exhausted}")

    def decide(self, error: BaseException, *, answered: bool = False) -> Directive:
        """Directive for `error`; `answered` says that an asker has been given it."""
        for cls in type(error).__mro__:
            directive = self.rules.get(cls) or _ALWAYS.get(cls)
            if directive is not None:
                return directive
        return Directive.RESUME if answered else self.default


class Restarts:
    """The restarts of one actor within the period of its strategy."""

    __slots__ = ("_strategy", "_times")

    def __init__(self, strategy: Supervision) -> None:
        self._strategy = strategy
        self._times: deque[float] = deque()

    def delay_s(self, now_s: float) -> float | None:
        """Count one more restart: seconds to wait before it, or `None` when there were too many."""
        while self._times and self._times[0] <= now_s - self._strategy.within_s:
            self._times.popleft()
        if len(self._times) >= self._strategy.max_restarts:
            return None
        self._times.append(now_s)
        return self._strategy.backoff.delay_s(len(self._times))


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure of an actor, and what was done about it."""

    address: str
    error: Exception
    directive: Directive

    def __str__(self) -> str:
        return f"{self.address}: {type(self.error).__name__}: {self.error} → {self.directive}"


FailureHandler: TypeAlias = Callable[[Failure], None]
