"""Tool calls as the chat protocol sends them: in pieces, with their arguments as text."""

from collections.abc import Container, Sequence
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct

from ...events.message import ToolCall


class _Call(Struct, eq=False):
    id: str
    tool: str
    args: list[str]
    extra: Any = None


class ToolCallPieces:
    """Puts calls together from the pieces of a stream, in the order in which they began; or from one answer.

    OpenAI numbers its calls by `index`, and gives id and name with the first piece. Others give no index, or 0 for all
    of them, or say id and name again with each piece, or give two calls one id.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._at: dict[int | None, _Call] = {}

    def add(self, pieces: Sequence[Any]) -> None:
        """The `tool_calls` of one delta, or of a message."""
        fed: list[_Call] = []
        for piece in pieces:
            index, function = getattr(piece, "index", None), getattr(piece, "function", None)
            id_, tool = piece.id or "", (function and function.name) or ""
            call = self._at.get(index)
            # Two pieces without an index in one delta are two calls; so are two ids, or two names.
            if call is None or (index is None and call in fed) or _another(call, id_, tool):
                call = self._at[index] = _Call(id_, tool, [])
                self._calls.append(call)
            call.id, call.tool = call.id or id_, call.tool or tool
            if function and function.arguments:
                call.args.append(_text(function.arguments))
            if piece.model_extra:
                call.extra = piece.model_extra.get("extra_content", call.extra)
            fed.append(call)

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def extra(self) -> list[Any]:
        """What Gemini signs its calls with, one for each call; it wants that back with them. Empty without any."""
        extra = [call.extra for call in self._calls]
        return extra if any(extra) else []

    def whole(self, cut_off: bool) -> tuple[ToolCall, ...]:
        """The calls. `cut_off` tells that the answer was: see `arguments`."""
        return numbered([(call.id, call.tool, arguments("".join(call.args), cut_off)) for call in self._calls])


def numbered(calls: list[tuple[str, str, dict[str, Any]]]) -> tuple[ToolCall, ...]:
    """Calls by id, tool and arguments. An id pairs a call with its result: one that is missing, or there twice, is made
    up."""
    found: dict[str, ToolCall] = {}
    for id_, tool, args in calls:
        own = own_id(id_, found)
        found[own] = ToolCall(own, tool, args)
    return tuple(found.values())


def own_id(id_: str | None, taken: Container[str]) -> str:
    """An id that a call has for itself: its own, or one that is made up."""
    return id_ if id_ and id_ not in taken else f"call_{uuid4().hex[:24]}"


def arguments(text: str, cut_off: bool = False) -> dict[str, Any]:
    """The arguments of a call from their text; `{"_invalid": text}` when it is no JSON object.

    No text is no arguments; in an answer that was cut off it may be that they are missing.
    """
    if not text.strip() and not cut_off:
        return {}
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {"_invalid": text}


def text_of(args: dict[str, Any]) -> str:
    """Arguments as the protocol sends them."""
    return _encode(args).decode()


def _another(call: _Call, id_: str, tool: str) -> bool:
    if id_ and call.id:
        return id_ != call.id
    return bool(tool and call.tool and tool != call.tool)


def _text(arguments: Any) -> str:
    # Some servers send them as the object itself.
    return arguments if isinstance(arguments, str) else text_of(arguments)


_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
