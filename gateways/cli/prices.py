"""`treadle prices`: what models cost, by the table as it is used here."""

from typing import Annotated

import typer
from msgspec import Struct
from typer import Argument

from ..models.prices import known_prices
from .command import Call, command
from .output import Columns

app = typer.Typer()


class _Row(Struct, frozen=True):
    provider: str
    model: str
    input: float
    cached_input: float
    cache_write: float
    output: float


@command(app)
async def prices(
    call: Call,
    provider: Annotated[str, Argument(help="Only models of this provider.")] = "",
) -> None:
    """Show what models cost: US dollars for a million tokens."""
    rows = [
        _Row(
            owner,
            model,
            price.input,
            price.input if price.cached_input is None else price.cached_input,
            price.input if price.cache_write is None else price.cache_write,
            price.output,
        )
        for owner, models in sorted(known_prices().items())
        if provider in ("", owner)
        for model, price in sorted(models.items())
    ]
    call.out.rows(rows, COLUMNS, empty=f"the table has no provider {provider!r}")


COLUMNS: Columns[_Row] = {
    "provider": lambda row: row.provider,
    "model": lambda row: row.model,
    "input": lambda row: row.input,
    "cached": lambda row: row.cached_input,
    "cache write": lambda row: row.cache_write,
    "output": lambda row: row.output,
}
