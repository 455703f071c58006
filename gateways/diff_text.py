"""Two runs side by side, as a text."""

import difflib
from collections.abc import Iterator
from itertools import takewhile

from .diff import RunDiff, StepPair
from .run_told import Outcome

_MARKS = {"shared": "=", "same": "=", "other": "~", "first": "-", "second": "+"}
_WIDTH, _BEFORE = 100, 30


def text_of_diff(found: RunDiff) -> str:
    """What is shared, where the runs first differ, their steps, and what came of them."""
    return "\n".join(_lines(found))


def _lines(found: RunDiff) -> Iterator[str]:
    one, two = found.first, found.second
    yield f"- {one.run_id} ({one.agent}, {one.model})"
    yield f"+ {two.run_id} ({two.agent}, {two.model})"
    yield ""
    if found.shared_records:
        tokens = found.saved.total_tokens
        until = f" up to version {found.shared_versions}" if found.shared_versions else ""
        yield f"shared{until}: {found.shared_records} records; {tokens} tokens were not spent again"
    else:
        yield "nothing is shared"
    difference = found.first_difference
    where = "none, they did the same" if difference is None else f"step {difference.name}, {difference.what}"
    yield f"first difference: {where}"
    yield ""
    yield from _steps(found, "")
    yield ""
    yield from _outcomes(one, two)


def _steps(found: RunDiff, indent: str) -> Iterator[str]:
    for step in found.steps:
        within = step.children
        yield f"{indent}{_mark(step)} {step.name}  {step.what}{_shared(step)}"
        if step.mark == "other":
            yield from (f"{indent}    {line}" for line in _compared(step.first, step.second))
        elif step.mark in ("first", "second"):
            yield f"{indent}    {_cut(step.first or step.second)}"
        if within is not None and (within.first_difference is not None or not within.shared_records):
            yield from _steps(within, f"{indent}    ")


def _mark(step: StepPair) -> str:
    return "~" if step.differs and step.mark in ("shared", "same") else _MARKS[step.mark]


def _shared(step: StepPair) -> str:
    return "  (shared)" if step.mark == "shared" else ""


def _compared(one: str, two: str) -> Iterator[str]:
    """The lines that differ; of long texts nothing else."""
    if "\n" not in one + two:
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False))
        start = max(0, sum(1 for _ in alike) - _BEFORE)
        yield from (_cut(f"{sign}{'…' if start else ''}{text[start:]}") for sign, text in (("-", one), ("+", two)))
        return
    lines = difflib.unified_diff(one.splitlines(), two.splitlines(), lineterm="", n=1)
    yield from (_cut(line) for line in list(lines)[2:] if not line.startswith("@@"))


def _outcomes(one: Outcome, two: Outcome) -> Iterator[str]:
    rows = [
        ("state", one.state.value, two.state.value),
        ("turns", str(one.turns), str(two.turns)),
        ("tokens", str(one.tokens), str(two.tokens)),
        ("cost", f"${one.cost_usd:.4f}", f"${two.cost_usd:.4f}"),
        ("seconds", f"{one.duration_s:.3f}", f"{two.duration_s:.3f}"),
    ]
    width = max(len(first) for _, first, _ in rows)
    yield from (f"{name:<8} {first:<{width}}  {second}" for name, first, second in rows)
    if one.output == two.output:
        yield f"output   {_cut(one.output)}"
        return
    yield "output"
    yield from (f"    {line}" for line in _compared(one.output or one.why, two.output or two.why))


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
