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
    named: Annotated[
        list[str],
        Argument(metavar="[RUN] CALL", help="The call, as `treadle show RUN` names it; of RUN, or of a run below it."),
    ],
    allow: Annotated[bool, Option("--allow/--deny", help="Your answer.", show_default=False)],
    note: Annotated[str, Option(help="What to say to it; it is recorded.")] = "",
    by: Annotated[str, Option(help="Who decides; it is recorded. Default: you.")] = "",
) -> None:
    """Allow or deny a call that waits for approval."""
    if len(named) > 2:
        raise typer.BadParameter(f"a run and a call are named at most, not {len(named)} things")
    run_id, call_id = named if len(named) == 2 else ("", named[0])
    body = {"call_id": call_id, "allowed": allow, "by": by or whoami(), "note": note, "run_id": run_id}
    answer = await ask(call.place, "approve", body)
    if call.out.json:
        call.out.object(answer)
    call.out.say(f"call {call_id} is {'allowed' if allow else 'denied'}")
