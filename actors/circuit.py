"""Circuit breakers: a provider that fails again and again is left alone for a while, by all runs of the process.

Source: M. Nygard, "Release It!", 2007, "Circuit Breaker".
"""

from collections.abc import Generator
from contextlib import contextmanager

from msgspec import Struct

from .clock import Clock
from .model_errors import (
    CircuitOpen,
    ConnectionFailed,
    ModelTimeout,
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
    probing: One call is on its way to see whether the provider answers again.
    """

    failures: int = 0
    opened_at: float | None = None
    probing: bool = False


class Circuits:
    """The circuit breakers of one process, by what fails together: a provider's address and a model."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}

    @contextmanager
    def passing(self, endpoint: str, policy: RetryPolicy) -> Generator[None]:
        """The block makes one call; what it raises tells how the provider is. Given up, it tells nothing.

        Raises:
            CircuitOpen: The call must not be made now.
        """
        probing = self._enter(endpoint, policy)
        try:
            yield
        except BaseException as exc:
            self._failed(endpoint, policy, exc, probing)
            raise
        else:
            self._circuits.pop(endpoint, None)

    def _enter(self, endpoint: str, policy: RetryPolicy) -> bool:
        """Whether the call that enters is the one that tries whether the provider answers again."""
        circuit = self._circuits.get(endpoint)
        if circuit is None or circuit.opened_at is None or not policy.circuit_open_after:
            return False
        left_s = circuit.opened_at + policy.circuit_reset_after_s - self._clock.monotonic()
        if left_s > 0 or circuit.probing:
            raise CircuitOpen(
                f"{endpoint} failed {circuit.failures} times one after the other and is left alone; "
                f"the next call may try it in {max(left_s, 0.0):.0f} s (RetryPolicy.circuit_reset_after_s)",
                retry_after_s=max(left_s, 0.0),
            )
        circuit.probing = True
        return True

    def _failed(self, endpoint: str, policy: RetryPolicy, error: BaseException, probing: bool) -> None:
        if isinstance(error, _ANSWERS):
            self._circuits.pop(endpoint, None)
            return
        circuit = self._circuits.get(endpoint) or _Circuit()
        if probing:
            circuit.probing = False
        if not isinstance(error, _FAULTS):
            return
        self._circuits[endpoint] = circuit
        circuit.failures += 1
        if probing or (policy.circuit_open_after and circuit.failures >= policy.circuit_open_after):
            circuit.opened_at = self._clock.monotonic()
