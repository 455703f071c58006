"""What architectures read in a model's words: JSON, scores, lists. A reply that has none is None, never a guess."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, cast

_FENCED = re.compile(r"```(?:\w+)?\s*\n(.*?)```", re.DOTALL)
_STARTS = 64
"""How many brackets are tried for the beginning of JSON in prose."""

_DIGITS = r"(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_NUMBER = rf"(?P<number>{_DIGITS})(?!\d|\.\d|[eE][-+\d]|\s*(?:[-–]|to\b)\s*\d)"  # none of a range: "(0-1)", "0 to 1"
_OF = rf"(?P<of>{_DIGITS})"
_SCORES = (
    re.compile(rf"\bscore\b(?:\s+is\b)?[^\w.]{{0,4}}(?<!-){_NUMBER}\s*(?:/\s*{_OF}|(?P<percent>%))?", re.IGNORECASE),
    re.compile(rf"(?<![\w.-]){_NUMBER}\s*/\s*{_OF}(?![\w/])"),
    re.compile(rf"(?<![\w.-]){_NUMBER}\s*(?P<percent>%)"),
    re.compile(rf"^\s*{_NUMBER}\s*$", re.MULTILINE),
)
_SHARE = re.compile(r"(?<![\w.–-])(?<!\bto )(?:0?\.\d+|1\.0+)(?![\w%]|\.\d|\s*(?:[-–/]|to\b)\s*\d)")
"""A decimal from 0 to 1 in prose."""
_ITEM = re.compile(r"^\s*(?:\d+[.):]|[-*•])\s+(.+?)\s*$", re.MULTILINE)


def json_in(text: str) -> Any:
    """The first JSON object or array in a reply: the whole of it, a fenced block, or what stands in the prose."""
    for candidate in (text, *_FENCED.findall(text)):
        found = _decoded(candidate.strip())
        if found is not None:
            return found
    decoder = json.JSONDecoder()
    for start in [match.start() for match in re.finditer(r"[{\[]", text)][:_STARTS]:
        try:
            found, _ = decoder.raw_decode(text, start)
        except (json.JSONDecodeError, RecursionError):
            continue
        return found
    return None


def object_in(text: str) -> dict[str, Any] | None:
    """The first JSON object in a reply, be it the only one of an array."""
    match json_in(text):
        case {**found} | [{**found}]:
            return cast("dict[str, Any]", found)
        case _:
            return None


def array_in(text: str) -> Sequence[Any] | None:
    """The first JSON array in a reply, be it in an object: `{"steps": […]}`."""
    found = json_in(text)
    values = cast("dict[str, Any]", found).values() if isinstance(found, dict) else (found,)
    return next((cast("Sequence[Any]", value) for value in values if isinstance(value, list)), None)


def score_in(text: str) -> float | None:
    """The score that a reply gives, from 0 to 1: `{"score": 0.7}`, `score: 0.7`, `7/10`, `70%`, or a bare number.

    A bare number from 2 on is taken to be of 10, or of 100; what is not from 0 to 1 then is no score. A decimal from 0
    to 1 in prose is one, if it is the only one.
    """
    found = object_in(text)
    if found is not None and "score" in found:
        given = found["score"]
        if isinstance(given, str):
            return score_in(f"score: {given}")
        return _of(float(given), None) if isinstance(given, int | float) and not isinstance(given, bool) else None
    for pattern in _SCORES:
        if (match := pattern.search(text)) is not None:
            said = match.groupdict()
            of = said.get("of")
            return _of(float(said["number"]), 100.0 if said.get("percent") else float(of) if of else None)
    shares = _SHARE.findall(text)
    return float(shares[0]) if len(shares) == 1 else None


def list_in(text: str) -> list[str]:
    """The items of a numbered or dotted list; none when there is no list."""
    return [match[1] for match in _ITEM.finditer(text)]


def items_in(text: str) -> list[str]:
    """The items of a numbered or dotted list; the lines of a reply that has none."""
    return list_in(text) or [line.strip() for line in text.splitlines() if line.strip()]


def plain(name: str) -> str:
    """A name without what models put around it, for telling whether two are one."""
    return name.strip(" \t\r\n*_`\"'<>.").casefold()


def _decoded(text: str) -> Any:
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None


def _of(value: float, of: float | None) -> float | None:
    if not math.isfinite(value):
        return None
    if of is None:
        of = 1.0 if value < 2 else 10.0 if value <= 10 else 100.0
    share = value / of if of > 0 else -1.0
    return share if 0 <= share <= 1 else None
