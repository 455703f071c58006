"""`treadle approve`: answers a call that waits for approval."""

from typing import Annotated

import typer
from typer import Argument, Option

from .asking import ask
from .command import Call, command
from .whoami import whoami

app = typer.Typer()


@command(app)
async def approve(
    call: Call,
    call_id: Annotated[str, Argument(metavar="CALL", help="The call, as `treadle show RUN` names it.")],
    allow: Annotated[bool, Option("--allow/--deny", help="Your answer.", show_default=False)],
    note: Annotated[str, Option(help="What to say to it; it is recorded.")] = "",
    by: Annotated[str, Option(help="Who decides; it is recorded. Default: you.")] = "",
) -> None:
    """Allow or deny a call that waits for approval."""
    body = {"call_id": call_id, "allowed": allow, "by": by or whoami(), "note": note}
    answer = await ask(call.place, "approve", body)
    if call.out.json:
        call.out.object(answer)
    call.out.say(f"call {call_id} is {'allowed' if allow else 'denied'}")
