"""`treadle nodes`: every node of the namespace, what waits for them, and how large their journals are."""

import asyncio
from typing import Annotated

import typer
from typer import Option

from ...actors.clock import SYSTEM_CLOCK
from ...events.errors import Unavailable
from ..journals.figures import CategoryFigures, JournalFigures
from ..operations.node_status import Behind, NodeStatus
from ..operations.nodes import Nodes, SeenNode, ask_nodes
from .asking import connect
from .command import Call, command
from .output import Columns, Output

app = typer.Typer()


@command(app)
async def nodes(
    call: Call,
    watch: Annotated[bool, Option("--watch", help="Ask again and again, until Ctrl-C.")] = False,
    every: Annotated[float, Option(min=0.1, help="With --watch: how many seconds between.")] = 2.0,
    sizes: Annotated[bool, Option(help="Ask for the sizes of their journals.")] = True,
) -> None:
    """Show every node, what waits for them, and how large their journals are; exit code 1 when none answers."""
    async with connect(call.place) as bus:
        while True:
            try:
                found = await ask_nodes(bus, call.place.subjects, SYSTEM_CLOCK, journals=sizes)
            except Unavailable as exc:
                if not watch:
                    raise
                call.out.note(str(exc))
            else:
                _show(call.out, found, clear=watch)
                if not watch:
                    call.exit(0 if found.answered else 1)
            await asyncio.sleep(every)


def _show(out: Output, found: Nodes, *, clear: bool) -> None:
    if out.json:
        out.object(found)
        return
    if clear and out.live:
        out.console.clear()
    out.rows(found.nodes, COLUMNS, empty=f"no node of namespace {found.namespace} answered")
    out.fields(
        {
            "answered": found.answered,
            "signals": _signals(found),
            "parked": found.waiting.parked,
            "timers": found.waiting.timers,
            "events at NATS": found.waiting.events,
            **{f"journal {name}": _journal(figures) for name, figures in found.journals.items()},
        }
    )
    for warning in found.warnings:
        out.say(f"warning: {warning}", "yellow")


def _signals(found: Nodes) -> str:
    by_agent = ", ".join(f"{agent} {count}" for agent, count in found.waiting.by_agent.items())
    return f"{found.waiting.signals} wait or run" + (f" ({by_agent})" if by_agent else "")


def _journal(figures: JournalFigures) -> str:
    runs = figures.categories.get("run", CategoryFigures())
    parts = [
        f"{_bytes(figures.database_bytes or figures.size_bytes)}, {figures.events} events",
        f"{runs.streams} runs of {_bytes(runs.bytes_per_stream)}" if runs.streams else "no runs",
        f"last day {figures.new_events} events, {_bytes(figures.new_bytes)}",
    ]
    if figures.archived.archives:
        parts.append(f"archived {figures.archived.events} events, {_bytes(figures.archived.size_bytes)}")
    return ("" if figures.exact else "about ") + "; ".join(parts)


def _bytes(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.1f} {unit}" if unit != "bytes" else f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _behind(behind: Behind | None) -> str:
    return "" if behind is None else f"{behind.events}" + (f" ({behind.seconds:.1f} s)" if behind.events else "")


def _partitions(status: NodeStatus) -> str:
    return "" if status.partitions is None else f"{len(status.partitions.owned)}/{status.partitions.count}"


def _views(status: NodeStatus) -> str:
    late = {name: _behind(view.behind) for name, view in status.views.items() if view.behind.events}
    return ", ".join(f"{name} {behind}" for name, behind in late.items()) or ("0" if status.views else "")


def _state(node: SeenNode) -> str:
    if node.status is None:
        return "silent"
    return "draining" if node.status.draining else "+".join(node.status.roles) or "looking"


COLUMNS: Columns[SeenNode] = {
    "node": lambda node: node.node_id,
    "version": lambda node: node.version,
    "since": lambda node: node.started_at,
    "state": _state,
    "agents": lambda node: ", ".join(node.status.agents) if node.status else "",
    "partitions": lambda node: _partitions(node.status) if node.status else "",
    "actors": lambda node: node.status.actors if node.status else "",
    "running": lambda node: node.status.signals_running if node.status else "",
    "done": lambda node: node.status.signals_done if node.status else "",
    "parked": lambda node: node.status.signals_parked if node.status else "",
    "relay behind": lambda node: _behind(node.status.relay) if node.status else "",
    "views behind": lambda node: _views(node.status) if node.status else "",
    "clock": lambda node: f"{node.clock_offset_s:+.2f} s" if node.status else "",
}
