"""`treadle timers`: lists, adds and cancels timers."""

from typing import Annotated, Any

import msgspec
import typer
from typer import Argument, Option
from typer.core import TyperGroup

from ...actors.clock import SYSTEM_CLOCK
from ...events.errors import NotFound
from ...events.signal import RuntimeSignal, Urgency
from .. import schedules
from ..timers import Timer, Timers
from .asking import connect
from .command import Call, command
from .output import Columns
from .times import moment


class _ListByDefault(TyperGroup):
    """`treadle timers` is `treadle timers list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_ListByDefault, help="List, add and cancel timers: signals that are sent later.")


@app.callback()
def group() -> None:
    """List, add and cancel timers: signals that are sent later."""


@command(app, "list")
async def list_(call: Call) -> None:
    """List the timers that wait."""
    async with connect(call.place) as bus:
        found = await Timers(bus, call.place.subjects).list()
    call.out.rows(found, COLUMNS)


@command(app)
async def add(
    call: Call,
    agent: Annotated[str, Argument(help="Whom it is for.")],
    text: Annotated[str, Argument(help="What a person would say of it.")],
    after: Annotated[float | None, Option(help="Once, so many seconds from now.")] = None,
    at: Annotated[str | None, Option(help="Once, at this time; without an offset it is in UTC.")] = None,
    every: Annotated[str | None, Option(help="Again and again: seconds, or a cron pattern.")] = None,
    zone: Annotated[str, Option(help="In whose time --every's cron pattern is meant. Default: UTC.")] = "",
    user: Annotated[str, Option(help="Whose session.")] = "",
    session: Annotated[str, Option(help="The conversation. Default: scheduled:ID.")] = "",
    id: Annotated[str, Option(help="A timer that stands under it is replaced.")] = "",
    payload: Annotated[str, Option(help="Data for the run, JSON.")] = "",
    urgency: Annotated[Urgency, Option(help="How urgent it is.")] = "normal",
) -> None:
    """Send a signal to a session of an agent, later."""
    if sum(given is not None for given in (after, at, every)) != 1:
        raise typer.BadParameter("say when: one of --after SECONDS, --at TIME, --every PATTERN")
    if zone and every is None:
        raise typer.BadParameter(f"--zone {zone!r} is for --every")
    now = SYSTEM_CLOCK.now()
    if after is not None:
        schedule = schedules.after(after, now)
    elif (when := moment(at, "--at")) is not None:
        schedule = schedules.at(when, now)
    else:
        schedule = schedules.every(_number(every or ""), zone)
    try:
        data = msgspec.json.decode(payload) if payload else None
    except msgspec.DecodeError as exc:
        raise typer.BadParameter(f"--payload is no JSON: {exc}") from exc
    signal = RuntimeSignal(text, source="cron", type="scheduled_job", payload=data, urgency=urgency)
    async with connect(call.place) as bus:
        timers = Timers(bus, call.place.subjects)
        timer = await timers.set(schedule, signal, agent=agent, user_id=user, session_id=session, id=id)
    if call.out.json:
        call.out.object(timer)
    call.out.say(f"timer {timer.id} is set: {timer.schedule}{f' {timer.zone}' if timer.zone else ''}")


@command(app)
async def cancel(call: Call, id: Annotated[str, Argument(metavar="ID", help="The timer.")]) -> None:
    """Forget a timer."""
    async with connect(call.place) as bus:
        if not await Timers(bus, call.place.subjects).cancel(id):
            raise NotFound("timer", id, "it was never set, was cancelled, or has fired")
    if call.out.json:
        call.out.object({"id": id, "cancelled": True})
    call.out.say(f"timer {id} is cancelled")


def _number(text: str) -> str | float:
    """Seconds, where it is a number: no cron pattern is one."""
    try:
        return float(text)
    except ValueError:
        return text


COLUMNS: Columns[Timer] = {
    "timer": lambda timer: timer.id,
    "schedule": lambda timer: timer.at or f"{timer.schedule} {timer.zone}".rstrip(),
    "agent": lambda timer: timer.agent,
    "user": lambda timer: timer.user_id,
    "session": lambda timer: timer.session_id,
    "signal": lambda timer: timer.signal.summary,
}
