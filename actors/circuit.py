"""Circuit breakers: a provider that fails again and again is left alone for a while, by all runs of the process.

What counts is a call that was given up, and not each of its attempts: who waits and tries again, as the provider asks
perhaps, is let pass. So a burst that the provider turns away for a second does not end with all of it refused.

Source: M. Nygard, "Release It!", 2007, "Circuit Breaker".
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from msgspec import Struct

from .clock import Clock
from .model_errors import (
    CircuitOpen,
    ConnectionFailed,
    ModelTimeout,
    OutOfTime,
    OverloadedError,
    PermanentModelError,
    RateLimitError,
    ServerError,
)
from .retry import RetryPolicy

_FAULTS = (ServerError, OverloadedError, ConnectionFailed, ModelTimeout)
"""What tells that the provider is down."""

_ANSWERS = (RateLimitError, PermanentModelError)
"""What tells that it is up, though it does not do what it was asked."""


class _Circuit(Struct):
    """Attributes:
    failures: One after the other.
    opened_at: When it was opened last; None while it is closed.
    probe: Done when the call has come back that tries whether the provider answers again.
    """

    failures: int = 0
    opened_at: float | None = None
    probe: asyncio.Future[None] | None = None


class Circuits:
    """The circuit breakers of one process, by what fails together: a provider's address and a model."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}

    @asynccontextmanager
    async def passing(self, endpoint: str, policy: RetryPolicy, again: bool = False) -> AsyncGenerator[None]:
        """The block makes one attempt; what it raises tells how the provider is. Given up, it tells nothing.

        Args:
            again: It is a further attempt of a call that has waited for it, and is let pass.
        Raises:
            CircuitOpen: The call must not be made now.
        """
        probe = None if again or not policy.circuit_open_after else await self._enter(endpoint, policy)
        try:
            yield
        except BaseException as exc:
            if isinstance(exc, _ANSWERS):
                self._circuits.pop(endpoint, None)
            elif probe is not None and is_fault(exc):
                self._reopen(endpoint)  # at once, whether this call is given up or not: others wait for its try
            raise
        else:
            self._circuits.pop(endpoint, None)
        finally:
            if probe is not None:
                self._come_back(endpoint, probe)

    def given_up(self, endpoint: str, policy: RetryPolicy) -> None:
        """A call was given up for a fault of the provider's."""
        circuit = self._circuits.setdefault(endpoint, _Circuit())
        circuit.failures += 1
        if policy.circuit_open_after and circuit.failures >= policy.circuit_open_after:
            circuit.opened_at = self._clock.monotonic()

    async def _enter(self, endpoint: str, policy: RetryPolicy) -> "asyncio.Future[None] | None":
        """The probe, when it is this call that tries whether the provider answers again; others wait for it."""
        while True:
            circuit = self._circuits.get(endpoint)
            if circuit is None or circuit.opened_at is None:
                return None
            left_s = circuit.opened_at + policy.circuit_reset_after_s - self._clock.monotonic()
            if left_s > 0:
                raise CircuitOpen(
                    f"{endpoint} failed {circuit.failures} times one after the other and is left alone; "
                    f"the next call may try it in {left_s:.0f} s (RetryPolicy.circuit_reset_after_s)",
                    retry_after_s=left_s,
                )
            if circuit.probe is None:
                circuit.probe = asyncio.get_running_loop().create_future()
                return circuit.probe
            await asyncio.wait((circuit.probe,))

    def _reopen(self, endpoint: str) -> None:
        """The try failed. The call of it counts when it is given up, as any other."""
        circuit = self._circuits.get(endpoint)
        if circuit is not None:
            circuit.opened_at = self._clock.monotonic()

    def _come_back(self, endpoint: str, probe: "asyncio.Future[None]") -> None:
        probe.set_result(None)
        circuit = self._circuits.get(endpoint)
        if circuit is not None and circuit.probe is probe:
            circuit.probe = None


def is_fault(error: BaseException) -> bool:
    """Whether it tells that the provider is down. Our own impatience tells nothing."""
    return isinstance(error, _FAULTS) and not isinstance(error, OutOfTime)
