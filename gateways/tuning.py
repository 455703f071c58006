"""`Tuning`: what of an agent is adjusted rather than decided, in one piece that agents can share."""

from collections.abc import Sequence

from msgspec import Struct

from ..actors.retry import RetryPolicy
from ..actors.stop_hooks import StopHook


class Tuning(Struct, frozen=True, kw_only=True):
    """Adjustments; None is the agent's default. What is given to `Agent` itself wins.

    Attributes:
        response_tone: How answers are phrased: casual, professional, technical, legal, finance, executive, academic, or
            any words.
        output_validation_retries: How often an answer that does not fit `output_schema` may be corrected.
        retry_policy: What is done about a model call that failed and may succeed later.
        stop_hooks: Who is asked before a run ends.
        max_stop_hook_iterations: How often they may send a run on; 15 unless it is said.
    """

    response_tone: str | None = None
    output_validation_retries: int | None = None
    retry_policy: RetryPolicy | None = None
    stop_hooks: Sequence[StopHook] | None = None
    max_stop_hook_iterations: int | None = None
