"""Plans as models send them: objects, lines, JSON in a text, with many words for one status. Read here, and judged in
`events/plan.py`.

What cannot be meant is refused and the model is told; nothing is guessed that would change what it said.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ..events.plan import STATUSES, LivingPlan, LivingPlanStep, Status
from .tool import BadArguments

_STEPS = ("steps", "plan", "todos", "items", "tasks")
_DESCRIPTION = ("description", "title", "step", "task", "content", "name", "text")
_STATUS = ("status", "state")
_FINDING = ("finding", "result", "outcome", "notes", "note", "evidence")
_VERIFIED = ("verified_by", "verifiedBy", "tool_call_ids", "tool_call_id")

_WORDS: Mapping[Status, str] = {
    "todo": "to_do pending open new planned queued not_started unstarted",
    "doing": "in_progress inprogress progress active current started working ongoing running wip",
    "done": "completed complete finished ok success succeeded x",
    "blocked": "waiting stuck on_hold hold failed",
    "skipped": "skip cancelled canceled dropped abandoned obsolete n/a",
}
_SYNONYMS: Mapping[str, Status] = {
    word: status for status, words in _WORDS.items() for word in (status, *words.split())
}
_MARKS: Mapping[str, Status] = {
    "": "todo",
    " ": "todo",
    "x": "done",
    "X": "done",
    "~": "doing",
    ">": "doing",
    "!": "blocked",
    "-": "skipped",
}
_LINE = re.compile(r"^\s*(?:(?:[-*•]|\d+[.):])\s+)?(?:\[(?P<mark>[ xX~>!\-]?)\]\s*)?(?P<text>\S.*?)\s*$")


def plan_in(args: Mapping[str, Any]) -> LivingPlan:
    """The plan in the arguments of a call.

    Raises:
        BadArguments: There is none; says what is wrong, and with which step.
    """
    if set(args) == {"_invalid"}:
        raise BadArguments(f"the arguments are not a JSON object: {args['_invalid']}")
    goal = args.get("goal") or ""
    if not isinstance(goal, str):
        raise BadArguments(f"goal must be a text, not {goal!r}")
    given = _first(args, _STEPS)
    if given is None:
        raise BadArguments("steps are missing: send all steps of the plan, each with its description and its status")
    return LivingPlan(goal.strip(), tuple(steps_in(given)))


def steps_in(given: Any) -> list[LivingPlanStep]:
    """Steps, as objects, as texts, or as one text with a line for each, or with JSON.

    Raises:
        BadArguments: One of them is none.
    """
    if isinstance(given, str):
        given = _decoded(given)
    if isinstance(given, Mapping):
        inner = cast("Mapping[str, Any]", given)
        nested = next((inner[name] for name in _STEPS if isinstance(inner.get(name), list)), None)
        given = [inner] if nested is None else nested
    if not isinstance(given, Sequence):
        raise BadArguments(f"steps must be a list, not {given!r}")
    return [_step(number, step) for number, step in enumerate(cast("Sequence[Any]", [*given]), 1)]


def _decoded(text: str) -> Any:
    lines = [line for line in text.splitlines() if line.strip()]
    if text.strip()[:1] not in ("[", "{"):
        return lines
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return lines  # "[x] write it down" is none


def _step(number: int, given: Any) -> LivingPlanStep:
    if isinstance(given, LivingPlanStep):
        return given
    if isinstance(given, str):
        line = _LINE.match(given)
        if line is None:
            raise BadArguments(f"step {number} has no description; say what is to be done")
        return LivingPlanStep(line["text"], _MARKS[line["mark"] or ""])
    if not isinstance(given, Mapping):
        raise BadArguments(f"step {number} must be an object with a description and a status, not {given!r}")
    step = cast("Mapping[str, Any]", given)
    description = _first(step, _DESCRIPTION)
    if not isinstance(description, str) or not description.strip():
        raise BadArguments(f"step {number} has no description; say what is to be done")
    finding = _first(step, _FINDING)
    if finding is not None and not isinstance(finding, str):
        raise BadArguments(f"the finding of step {number} must be a text, not {finding!r}")
    status = _status(number, _first(step, _STATUS))
    return LivingPlanStep(description.strip(), status, (finding or "").strip(), _calls(number, _first(step, _VERIFIED)))


def _status(number: int, given: Any) -> Status:
    if given is None or given == "":
        return "todo"
    word = re.sub(r"[\s-]+", "_", str(given).strip().lower())
    if word not in _SYNONYMS:
        raise BadArguments(f"step {number} has the status {given!r}; there are: {', '.join(STATUSES)}")
    return _SYNONYMS[word]


def _calls(number: int, given: Any) -> tuple[str, ...]:
    if isinstance(given, str):
        given = [each for each in re.split(r"[,\s]+", given) if each]
    calls: list[Any] = [*given] if isinstance(given, list | tuple) else [] if given is None else [given]
    if any(not isinstance(each, str) for each in calls):
        raise BadArguments(f"verified_by of step {number} must be a list of calls, not {given!r}")
    return tuple(each.strip() for each in calls if each.strip())


def _first(given: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), None)
