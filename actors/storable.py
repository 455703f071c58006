"""The last look at an event before it is recorded: what no journal could take, or give back, would hold up its stream.

What is in events comes from outside too, from providers and their errors. Half a character has no UTF-8, and a number
where another kind was expected is written down but never read again. When the journal finds out, the state has been
folded and others build on it, and a run would never end.
"""

from typing import Any, TypeVar, cast

import msgspec

from ..events.envelope import decode_event, encode_event
from ..events.errors import Undecodable
from ..events.event import Event
from .json_form import Unrecordable
from .surrogates import mended

E = TypeVar("E", bound=Event)


def storable(event: E) -> E:
    """`event` as a journal takes it: with half characters in its texts replaced by U+FFFD.

    Raises:
        Unrecordable: It has no JSON form for another reason, or one that is no such event.
    """
    try:
        try:
            encoded = encode_event(event)
        except UnicodeEncodeError:
            event = msgspec.convert(_whole(msgspec.to_builtins(event)), type(event))
            encoded = encode_event(event)
        decode_event(event.event_tag, event.event_schema, encoded)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError, Undecodable) as exc:
        raise Unrecordable(f"{event.event_tag} cannot be recorded: {exc}") from exc
    return event


def _whole(plain: Any) -> Any:
    """JSON types with their texts mended, names of members too."""
    if isinstance(plain, str):
        return mended(plain)
    if isinstance(plain, dict):
        return {mended(name): _whole(each) for name, each in cast(dict[str, Any], plain).items()}
    if isinstance(plain, list | tuple):
        return [_whole(each) for each in cast(list[Any], plain)]
    return plain
