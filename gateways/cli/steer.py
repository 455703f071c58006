"""`treadle steer`: tells a run something while it goes on."""

from typing import Annotated

import typer
from typer import Argument, Option

from ...actors.clock import SYSTEM_CLOCK
from .asking import ask
from .command import Call, command
from .whoami import whoami

app = typer.Typer()


@command(app)
async def steer(
    call: Call,
    run: Annotated[str, Argument(help="The run.")],
    text: Annotated[str, Argument(help="What it is to know from its next model call on.")],
    now: Annotated[bool, Option("--now", help="Cut the model call short that is going on.")] = False,
    to: Annotated[str, Option(help="Whom it is for instead: a role of those whom it asks now, or such a run.")] = "",
    by: Annotated[str, Option(help="Who says it; it is recorded. Default: you.")] = "",
    id: Annotated[str, Option(help="Makes it safe to say twice. Default: a new one.")] = "",
) -> None:
    """Tell a run something while it goes on."""
    body = {"run_id": run, "text": text, "now": now, "to": to, "by": by or whoami(), "id": id or SYSTEM_CLOCK.new_id()}
    answer = await ask(call.place, "steer", body)
    if call.out.json:
        call.out.object(answer)
    call.out.say(f"run {run} is told" if not to else f"{to} of run {run} is told")
