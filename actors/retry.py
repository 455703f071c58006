"""How often a model call is tried, and how long it waits in between."""

import math

from msgspec import Struct

from ..events.errors import ConfigError


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """What is done about a model call that failed and may succeed later (`TransientModelError`).

    Attempts are made until the first chunk of an answer: whoever watches has seen that, and it cannot be taken back.
    A specification, and no state: agents that share one share nothing else.

    Attributes:
        max_attempts: Calls in all, the first one included.
        initial_delay_s, multiplier, max_delay_s: The waiting time before the second attempt at most, by how much it
            grows, and up to where.
        jitter: The part of the waiting time that is left to chance: 1 for all of it, so that those who failed together
            do not come back together; 0 for none.
        max_retry_after_s: A provider's `Retry-After` is waited for, however long `max_delay_s` is; one that is longer
            than this ends the call.
        circuit_open_after: After so many calls of one provider's model that were given up in a row, this process sends
            nothing to it any more, for all its runs; 0 for never.
        circuit_reset_after_s: Then one call tries whether it answers again.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter);
    M. Nygard, "Release It!", 2007 (circuit breaker).
    """

    max_attempts: int = 3
    initial_delay_s: float = 1.0
    multiplier: float = 2.0
    max_delay_s: float = 30.0
    jitter: float = 1.0
    max_retry_after_s: float = 600.0
    circuit_open_after: int = 5
    circuit_reset_after_s: float = 60.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigError(f"RetryPolicy(max_attempts={self.max_attempts}) makes no call; it must be 1 or more")
        if not 0 <= self.jitter <= 1:
            raise ConfigError(f"RetryPolicy(jitter={self.jitter}) is a part of the waiting time, from 0 to 1")
        for name in _NOT_NEGATIVE:
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise ConfigError(f"RetryPolicy({name}={value}) is no number from 0 on")

    @classmethod
    def aggressive(cls) -> "RetryPolicy":
        """Six attempts, from half a second up to a minute: for work that nobody waits for."""
        return cls(max_attempts=6, initial_delay_s=0.5, max_delay_s=60.0)

    @classmethod
    def disabled(cls) -> "RetryPolicy":
        """One attempt, and no circuit breaker."""
        return cls(max_attempts=1, circuit_open_after=0)

    def delay_s(self, failed: int, retry_after_s: float | None, chance: float) -> float | None:
        """How long to wait after `failed` attempts; None when there is no further one.

        Args:
            retry_after_s: What the provider asks for: never less than that.
            chance: A random number from 0 to 1.
        """
        if failed >= self.max_attempts:
            return None
        if retry_after_s is not None and retry_after_s > self.max_retry_after_s:
            return None
        return max(self._longest_s(failed) * (1 - self.jitter * chance), retry_after_s or 0.0)

    def _longest_s(self, failed: int) -> float:
        """The waiting time after `failed` attempts, before chance takes its part."""
        try:
            return min(self.initial_delay_s * self.multiplier ** (failed - 1), self.max_delay_s)
        except OverflowError:  # more than any float, and so than the longest
            return self.max_delay_s if self.initial_delay_s else 0.0


_NOT_NEGATIVE = (
    "initial_delay_s",
    "multiplier",
    "max_delay_s",
    "max_retry_after_s",
    "circuit_open_after",
    "circuit_reset_after_s",
)
