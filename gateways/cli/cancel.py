"""`treadle cancel`: stops a run."""

from typing import Annotated

import typer
from typer import Argument, Option

from .asking import ask
from .command import Call, command
from .whoami import whoami

app = typer.Typer()


@command(app)
async def cancel(
    call: Call,
    run: Annotated[str, Argument(help="The run.")],
    reason: Annotated[str, Option(help="Why; it is recorded.")] = "cancelled",
    by: Annotated[str, Option(help="Who wants it; it is recorded. Default: you.")] = "",
) -> None:
    """Stop a run."""
    result = await ask(call.place, "cancel", {"run_id": run, "reason": reason, "by": by or whoami()})
    if call.out.json:
        call.out.object(result)
    if result["state"] == "cancelled":
        call.out.say(f"run {run} is cancelled")
    else:
        call.out.note(f"run {run} had ended before: {result['state']}")
        call.exit(1)
