"""Circuit breakers: a provider that fails again and again is left alone for a while, by all runs of the process.

Source: M. Nygard, "Release It!", 2007, "Circuit Breaker".
"""

from msgspec import Struct

from .clock import Clock
from .model_errors import CircuitOpen, ConnectionFailed, ModelError, ModelTimeout, OverloadedError, ServerError
from .retry import RetryPolicy

_FAULTS = (ServerError, OverloadedError, ConnectionFailed, ModelTimeout)
"""What tells that the provider is down. A rate limit tells that it is up, and a refusal even more so."""


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

    def enter(self, endpoint: str, policy: RetryPolicy) -> None:
        """Ask to make a call; `leave` tells what came of it.

        Raises:
            CircuitOpen: It must not be made now.
        """
        circuit = self._circuits.get(endpoint)
        if circuit is None or circuit.opened_at is None or not policy.circuit_open_after:
            return
        left_s = circuit.opened_at + policy.circuit_reset_after_s - self._clock.monotonic()
        if left_s > 0 or circuit.probing:
            raise CircuitOpen(
                f"{endpoint} failed {circuit.failures} times one after the other and is left alone; "
                f"the next call may try it in {max(left_s, 0.0):.0f} s (RetryPolicy.circuit_reset_after_s)",
                retry_after_s=max(left_s, 0.0),
            )
        circuit.probing = True

    def leave(self, endpoint: str, policy: RetryPolicy, error: BaseException | None) -> None:
        """The call that `enter` let pass has ended: well, or with the error; given up, it tells nothing."""
        circuit = self._circuits.get(endpoint)
        if error is None or (isinstance(error, ModelError) and not isinstance(error, _FAULTS)):
            if circuit is not None:
                del self._circuits[endpoint]
            return
        if circuit is None:
            circuit = self._circuits[endpoint] = _Circuit()
        was_probing, circuit.probing = circuit.probing, False
        if not isinstance(error, _FAULTS):
            return
        circuit.failures += 1
        if was_probing or (policy.circuit_open_after and circuit.failures >= policy.circuit_open_after):
            circuit.opened_at = self._clock.monotonic()
