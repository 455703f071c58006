"""What a cassette does not have: the nearest call that it has, what differs, and what to do about it."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ...actors.model_errors import PermanentModelError
from ...actors.steps import digest_of
from ...events.message import Message
from ...events.redaction import redacted
from ...events.secret_shapes import MASK
from .entry import Entry, pictured

_MASKED = (
    f"\n{MASK} stands for a secret that was masked when this was recorded: a test sends the same only where it is "
    "masked too, or where none is sent (docs/secrets.md)."
)
_SHOWN_LINES = 12
_SHOWN_CHARS = 200


class NotOnCassette(PermanentModelError):
    """A model was asked what is not on the cassette; the message names the nearest call and what differs.

    Attributes:
        path: The cassette's file.
    """

    KIND = "not_on_cassette"

    def __init__(self, message: str, kind: str = "", *, path: Path | None = None, **more: object) -> None:
        super().__init__(message, kind)
        self.path = path


def missing(path: Path, entries: Sequence[Entry], model: str, messages: Sequence[Message], hint: str) -> NotOnCassette:
    """The error for a call that none of `entries` answers (any more)."""
    asked = tuple(map(redacted, pictured(messages)))
    why = _why(path, entries, model, asked, digest_of(messages))
    return NotOnCassette(f"{why}\n{hint}".rstrip(), path=path)


def _why(path: Path, entries: Sequence[Entry], model: str, asked: Sequence[Message], digest: str) -> str:
    if not entries:
        return (
            f"cassette {path} has no calls, and model {model!r} was asked: {_line(asked[-1]) if asked else 'nothing'}"
        )
    same = [number for number, entry in enumerate(entries, 1) if entry.digest == digest]
    others = sorted({entries[number - 1].model for number in same} - {model})
    if same and others:
        return f"cassette {path} has this call for {', '.join(others)} (call {_numbers(same)}), and not for {model!r}"
    if same:
        times = "once" if len(same) == 1 else f"{len(same)} times"
        return f"cassette {path} has this call {times} (call {_numbers(same)}), and model {model!r} was asked once more"
    known = [(number, entry) for number, entry in enumerate(entries, 1) if entry.messages]
    head = f"cassette {path} has no answer of model {model!r} to this call (digest {digest})"
    if not known:
        return f"{head}; it has {len(entries)} calls, and no messages to compare with"
    number, nearest = max(known, key=lambda each: _likeness(each[1].messages, asked))
    if nearest.messages == tuple(asked):
        return f"{head}; the nearest is call {number}, which differs in what is masked alone{_MASKED}"
    differs = difference(nearest.messages, asked)
    behind = nearest.messages[_same(nearest.messages, asked) :]
    masked = _MASKED if any(MASK in line for line in _lines(behind)) else ""
    return f"{head}; the nearest is call {number}, which differs {differs}{masked}"


def difference(recorded: Sequence[Message], asked: Sequence[Message]) -> str:
    """From which message on what is asked differs from what was recorded, and a short diff from there."""
    same = _same(recorded, asked)
    before, after = _lines(recorded[same:]), _lines(asked[same:])
    lines = [line for line in difflib.ndiff(before, after) if line[:1] in "-+"]
    shown = [f"  {line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + '…'}" for line in lines]
    if len(shown) > _SHOWN_LINES:
        shown = [*shown[:_SHOWN_LINES], f"  … and {len(shown) - _SHOWN_LINES} lines more"]
    return "\n".join([f"from message {same + 1} on (- recorded, + asked now):", *shown])


def _same(recorded: Sequence[Message], asked: Sequence[Message]) -> int:
    """How many messages they begin with in common."""
    same = 0
    while same < min(len(recorded), len(asked)) and recorded[same] == asked[same]:
        same += 1
    return same


def _likeness(recorded: Sequence[Message], asked: Sequence[Message]) -> tuple[float, float]:
    alike = difflib.SequenceMatcher(None, "\n".join(_lines(recorded)), "\n".join(_lines(asked)), autojunk=False)
    # The conversation up to here counts most: what is said first decides whose call it is.
    return _same(recorded, asked) - abs(len(recorded) - len(asked)), alike.quick_ratio()


def _lines(messages: Sequence[Message]) -> list[str]:
    lines: list[str] = []
    for message in messages:
        lines.append(_line(message))
        for call in message.tool_calls:
            lines.append(f"{message.role} calls {call.tool}({msgspec.json.encode(call.args).decode()}), id {call.id}")
    return lines


def _line(message: Message) -> str:
    who = f"{message.role} {message.name}" if message.name else message.role
    pictures = "".join(f" [{image.url or image.data}]" for image in message.images)
    return f"{who}: {message.content}{pictures}".rstrip()


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
