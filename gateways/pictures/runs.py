"""The picture of a run, finished or not: what it called and whom it asked, in that order, with times and costs.

It is read from the journal, so it is there for any run, in any process, whoever did it. What a child cost holds what
its own children did. Of a run that is not in this journal, since it is another node's, only its end is known.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from ...events.errors import ConfigError, NotFound
from ...events.journal import Journal
from ...events.run import run_stream
from .labels import short
from .picture import Picture, Sketch
from .run_calls import Call, Seen, seen_in


async def picture_of_run(journal: Journal, run_id: str, most: int = 200) -> Picture:
    """What there is to see of a run. At most `most` nodes, and one that says how many are left out.

    Runs near the root come first: a run that asked a hundred agents shows all of them before the calls of the first.

    Args:
        most: Mermaid takes no more than 500 arrows, unless it is told to.
    Raises:
        NotFound: The journal does not have the run.
        ConfigError: `most` leaves nothing.
    """
    if most < 1:
        raise ConfigError(f"most={most} leaves nothing of the picture; it must be 1 or more")
    sketch = Sketch()
    root = seen_in(await journal.read(run_stream(run_id)))
    if root is None:
        raise NotFound("run", run_id, f"journal {journal.name} has no stream {run_stream(run_id)!r}")
    top = sketch.add(_summary(root), "run", failed=root.failed)
    waiting = deque([(top, root.calls)])
    drawn, left, unread = {run_id}, 0, 0
    while waiting:
        parent, calls = waiting.popleft()
        nodes, left_here = _draw(sketch, parent, calls, most)
        left += left_here
        for call in calls:
            if not call.run_id or call.call_id not in nodes or call.run_id in drawn:
                continue
            drawn.add(call.run_id)
            if len(sketch) >= most:
                unread += 1
                continue
            child = seen_in(await journal.read(run_stream(call.run_id)))
            if child is not None:
                waiting.append((nodes[call.call_id], child.calls))
    if left or unread:
        sketch.connect(top, sketch.add(_left_out(left, unread), "more"), dashed=True)
    return sketch.picture


def _draw(sketch: Sketch, parent: str, calls: Sequence[Call], most: int) -> tuple[Mapping[str, str], int]:
    """The nodes of a run's calls, by call id, and how many there was no room for."""
    nodes: dict[str, str] = {}
    number = 0
    for call in calls:
        if len(sketch) >= most:
            break
        within = nodes.get(call.within)  # a child that a tool's code asks belongs to the tool
        nodes[call.call_id] = sketch.add(_label(call), call.kind, failed=call.failed)
        if within is None:
            number += 1
            sketch.connect(parent, nodes[call.call_id], str(number))
        else:
            sketch.connect(within, nodes[call.call_id])
    return nodes, len(calls) - len(nodes)


def _left_out(left: int, unread: int) -> str:
    parts = [f"{left} more"] if left else []
    if unread:
        parts.append(f"runs not looked into: {unread}")
    return "\n".join(parts)


def _summary(seen: Seen) -> str:
    return "\n".join([seen.agent, _figures(seen.state, seen.duration_ms, seen.cost_usd), *_why(seen.error)])


def _label(call: Call) -> str:
    state = "" if call.outcome == "completed" else call.outcome
    tries = f"{call.attempts} attempts" if call.attempts > 1 else ""
    figures = _figures(state, call.duration_ms, call.cost_usd, tries)
    return "\n".join([call.name, *([figures] if figures else []), *_why(call.error)])


def _figures(state: str, duration_ms: float | None, cost_usd: float, tries: str = "") -> str:
    took = "" if duration_ms is None else took_of(duration_ms)
    cost = f"${cost_usd:.4f}" if cost_usd else ""
    return " · ".join(each for each in (state, tries, took, cost) if each)


def _why(error: str) -> list[str]:
    return [short(error)] if error else []


def took_of(duration_ms: float) -> str:
    """A duration for people: `12 ms`, `3.4 s`, `2 min 5 s`, `3 h 20 min`."""
    if duration_ms < 1000:
        return f"{duration_ms:.0f} ms"
    if duration_ms < 60_000:
        return f"{duration_ms / 1000:.1f} s"
    minutes, seconds = divmod(round(duration_ms / 1000), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"
