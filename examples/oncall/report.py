"""The hand-over report: what a language model makes of the night, when there is a key for one. Without one, nothing.

The desk itself goes on by rules: what is judged at the end must not hang on what a model feels like. The report is a
run of its own, in a journal of its own beside the desk's, and is shown as it is written.
"""

import asyncio
import os
from collections.abc import Sequence

from rich.console import Console

from treadle import Agent, Generation, Limits, TreadleError

from .claims import Claim
from .evidence import Evidence
from .place import Place
from .tables import numbers

MODELS = {"ANTHROPIC_API_KEY": "claude-haiku-4-5", "OPENAI_API_KEY": "gpt-4o-mini"}
"""Which model writes, by the key that is there; `ONCALL_MODEL` names another one."""

MOST_USD = 0.05

_ENTRIES = 12

INSTRUCTIONS = """
You hand an on-call desk over to the next shift. Write at most eight lines of plain text, no headings: what happened,
what held and what did not, and what to look at first. Use the figures that you are given, and no others.
"""


def writer() -> str | None:
    """The model that writes; None when there is no key."""
    if named := os.environ.get("ONCALL_MODEL"):
        return named
    return next((model for key, model in MODELS.items() if os.environ.get(key)), None)


def night(e: Evidence, claims: Sequence[Claim]) -> str:
    """What the writer is told of the night."""
    counted = [f"{name}: {number}" for name, number in numbers(e).items()]
    judged = [f"{'held' if claim.held else 'DID NOT HOLD'}: {claim.text} ({claim.found})" for claim in claims]
    board = [f"{entry.kind}: {entry.content}" for entry in e.board[-_ENTRIES:]]
    return "\n".join([*counted, "", *judged, "", "The last entries of the board:", *board])


def write(console: Console, place: Place, night: str) -> None:
    """Have the report written, if there is anybody to write it."""
    model = writer()
    if model is None:
        return
    console.print(f"\n[bold]The hand-over report[/], by {model}:\n", highlight=False)
    try:
        asyncio.run(_write(console, place, model, night))
    except TreadleError as exc:  # its package is missing, say
        _say(console, f"it was not written: {exc}\n")


async def _write(console: Console, place: Place, model: str, night: str) -> None:
    agent = Agent(
        INSTRUCTIONS,
        name="reporter",
        model=model,
        runtime=f"sqlite:{place.directory / 'report.db'}",
        generation=Generation(max_tokens=400),
        budget=Limits(max_cost_usd=MOST_USD),
        timeout_s=60.0,
    )
    async with agent:
        async for event in agent.stream(f"Write the hand-over report of this night.\n\n{night}"):
            match event.type:
                case "model.chunk" if event.payload["chunk"]["kind"] == "text":
                    _say(console, event.payload["text"])
                case "run.completed":
                    _say(console, f"\n\n({event.payload['usage'].get('cost_usd', 0.0):.4f} USD)\n")
                case "run.failed":
                    _say(console, f"it was not written: {event.payload['error']}\n")
                case "run.interrupted":
                    _say(console, f"\nit was not finished: {event.payload['reason']}\n")
                case _:
                    pass


def _say(console: Console, text: str) -> None:
    console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
