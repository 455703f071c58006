"""What models cost: a table that comes with Treadle and that users replace.

Prices change and providers differ by contract: the table says of what day it is, and a bill is the provider's.
"""

from msgspec import Struct

from ...events.message import Usage


class Price(Struct, frozen=True, kw_only=True):
    """US dollars for a million tokens. What is left out costs as much as `input`."""

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None

    def of(self, usage: Usage) -> float:
        """What `usage` costs, in US dollars."""
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        return (
            usage.input_tokens * self.input
            + usage.cached_input_tokens * cached
            + usage.cache_write_tokens * written
            + usage.output_tokens * self.output
        ) / 1_000_000


def price_of(provider: str, model: str) -> Price | None:
    """The price of a provider's model; None when the table does not have it."""
    return None
