"""`treadle facts`: what memory holds to be true, now or as of another day."""

from typing import Annotated

import typer
from typer import Option

from ...projections import Belief, Facts
from .command import Call, command
from .output import Columns, text_of
from .reading import read_projections
from .times import moment

app = typer.Typer()


@command(app)
async def facts(
    call: Call,
    user: Annotated[str, Option(help="Whose memory.")] = "",
    subject: Annotated[str | None, Option(help="Only facts about this.")] = None,
    predicate: Annotated[str | None, Option(help="Only facts that say this of it.")] = None,
    valid_at: Annotated[str | None, Option(metavar="TIME", help="Only what holds at this time in the world.")] = None,
    as_of: Annotated[str | None, Option(metavar="TIME", help="What was believed then. Default: now.")] = None,
    history: Annotated[bool, Option("--history", help="Everything that was ever believed, in that order.")] = False,
    limit: Annotated[int, Option(min=1, help="How many.")] = 1000,
) -> None:
    """Show what is believed, or was believed at another time."""
    valid, known = moment(valid_at, "--valid-at"), moment(as_of, "--as-of")
    if history and (valid or known):
        raise typer.BadParameter("--history is over all times; leave out --valid-at and --as-of")
    kept = Facts()
    async with read_projections(call.place, kept):
        if history:
            beliefs = await kept.history(user, subject, predicate, limit=limit)
        else:
            beliefs = await kept.query(user, subject, predicate, valid_at=valid, as_of=known, limit=limit)
    call.out.rows(beliefs, COLUMNS, empty=f"no facts of {user or 'the anonymous user'}")


def _until(belief: Belief) -> str:
    return "further notice" if belief.valid_until is None else text_of(belief.valid_until)


COLUMNS: Columns[Belief] = {
    "subject": lambda belief: belief.subject,
    "predicate": lambda belief: belief.predicate,
    "object": lambda belief: belief.object,
    "confidence": lambda belief: belief.confidence,
    "valid from": lambda belief: belief.valid_from,
    "until": _until,
    "believed from": lambda belief: belief.recorded_from,
    "to": lambda belief: "now" if belief.recorded_until is None else belief.recorded_until,
}
