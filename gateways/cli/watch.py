"""`treadle watch`: follows what happens, over NATS when a system runs, else in the journal."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

import typer
from typer import Argument, Option

from ..run_event import Event
from .asking import connect
from .command import Call, command
from .family import Family
from .following import Follower, OverJournal, OverNats
from .narration import line_of, style_of
from .output import Output, plain
from .reading import read_journal

app = typer.Typer()

FAILED = frozenset({"run.failed", "run.cancelled"})


@command(app)
async def watch(
    call: Call,
    run: Annotated[str | None, Argument(help="The run.", show_default=False)] = None,
    after: Annotated[int, Option(min=0, help="Only events above this version of the run.")] = 0,
    children: Annotated[bool, Option("--children", help="With the runs that it asks for, and theirs.")] = False,
    user: Annotated[str | None, Option(help="All runs of this user, instead of one run.")] = None,
    agent: Annotated[str, Option(help="With --user: only runs of this agent.")] = "",
) -> None:
    """Follow a run, or all runs of a user, from the first event and live."""
    if (run is None) == (user is None):
        raise typer.BadParameter("name a run, or a user with --user")
    if children and run is None:
        raise typer.BadParameter("--children is for one run; --user follows all of them anyway")
    async with follower(call) as following:
        teller = Teller(call.out, with_run=run is None or children)
        try:
            if run is not None and children:
                last = await Family(following).run(run, after, teller.tell)
                call.exit(1 if last.type in FAILED else 0)
            if run is not None:
                last = await following.run(run, after, teller.tell)
                call.exit(1 if last.type in FAILED else 0)
            assert user is not None
            await following.user(user, agent, teller.tell)
        finally:
            teller.close()


@asynccontextmanager
async def follower(call: Call) -> AsyncGenerator[Follower]:
    """Where events come from: the system that runs or was named, else the journal."""
    if call.place.nats is not None:
        async with connect(call.place) as bus:
            yield OverNats(bus, call.place.subjects, call.out.note)
    else:
        async with read_journal(call.place) as journal:
            yield OverJournal(journal)


class Teller:
    """Prints events as they come; chunks of an answer are written as they are made, where a person watches."""

    def __init__(self, out: Output, *, with_run: bool = False) -> None:
        self._out = out
        self._with_run = with_run
        self._in_chunks = False

    def tell(self, event: Event) -> None:
        if self._out.json:
            self._out.object({"kind": event.kind, **{name: getattr(event, name) for name in event.__struct_fields__}})
        elif event.type == "model.chunk":
            self._chunk(event)
        else:
            self.close()
            self._out.say(line_of(event, with_run=self._with_run), style_of(event))

    def close(self) -> None:
        """End the line that chunks were written to."""
        if self._in_chunks:
            sys.stdout.write("\n")
            self._in_chunks = False

    def _chunk(self, event: Event) -> None:
        text = str(event.payload.get("text", ""))
        if text and self._out.live:
            sys.stdout.write(plain(text))
            sys.stdout.flush()
            self._in_chunks = True
