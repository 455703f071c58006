"""Circuit breakers: a provider that fails again and again is left alone for a while, by all runs of the process.

What counts is a call that was given up, and not each of its attempts: who waits and tries again, as the provider asks
perhaps, is let pass. So a burst that the provider turns away for a second does not end with all of it refused.

When it is time to try again, one call does, and the others wait for what comes of it: but no longer than a call may
take, and not at all when there is another model that they can ask.

Source: M. Nygard, "Release It!", 2007, "Circuit Breaker".
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
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
    async def passing(
        self,
        endpoint: str,
        policy: RetryPolicy,
        again: bool = False,
        *,
        wait_s: float | None = None,
        elsewhere: Callable[[CircuitOpen], bool] = lambda _: False,
    ) -> AsyncGenerator[None]:
        """The block makes one attempt; what it raises tells how the provider is. Given up, it tells nothing.

        Args:
            again: It is a further attempt of a call that has waited for it, and is let pass.
            wait_s: How long it may wait while another call tries whether the provider answers again; None for ever.
            elsewhere: Whether the call is made somewhere else when it is refused here: then it does not wait at all.
        Raises:
            CircuitOpen: The call must not be made now.
        """
        free = again or not policy.circuit_open_after
        probe = None if free else await self._enter(endpoint, policy, wait_s, elsewhere)
        try:
            yield
        except BaseException as exc:
            if isinstance(exc, _ANSWERS):
                self._circuits.pop(endpoint, None)
            elif probe is not None and isinstance(exc, _FAULTS):
                # At once, whether this call is given up or not: others wait for its try. One that took all its time
                # tells nothing of a provider that was up; of this one it says that it has not come back.
                self._reopen(endpoint)
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

    async def _enter(
        self, endpoint: str, policy: RetryPolicy, wait_s: float | None, elsewhere: Callable[[CircuitOpen], bool]
    ) -> "asyncio.Future[None] | None":
        """The probe, when it is this call that tries whether the provider answers again; others wait for it."""
        loop = asyncio.get_running_loop()
        until = math.inf if wait_s is None else loop.time() + wait_s
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
                circuit.probe = loop.create_future()
                return circuit.probe
            busy = CircuitOpen(
                f"{endpoint} failed {circuit.failures} times one after the other, and another call is just trying it"
            )
            if until <= loop.time() or elsewhere(busy):
                raise busy
            await asyncio.wait((circuit.probe,), timeout=None if wait_s is None else until - loop.time())

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
    """Whether it tells that a provider that was up is down. Our own impatience tells nothing."""
    return isinstance(error, _FAULTS) and not isinstance(error, OutOfTime)
