"""What an event is: an immutable fact with a tag that outlives its class name.

    class ToolRequested(Event, tag="run.tool_requested"):
        call_id: str

The tag is what is stored: `<category>.<what_happened>`. A changed meaning gets a higher `schema` and an
upcaster (see `upcasting.py`). Tag and schema live in the envelope, so the payload holds the fields alone.
"""

from typing import Any, ClassVar, dataclass_transform

import msgspec

_TYPES: dict[str, type["Event"]] = {}


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class EventMeta(msgspec.StructMeta):
    """Makes each event class a frozen struct and files it under its tag."""

    event_tag: str
    event_schema: int

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        tag: str = "",
        schema: int = 1,
        **config: Any,
    ) -> Any:
        options: dict[str, Any] = {"frozen": True, "omit_defaults": True, "gc": False, **config}
        cls = super().__new__(mcls, name, bases, namespace, **options)
        cls.event_tag = tag
        cls.event_schema = schema
        if tag:
            if tag in _TYPES:
                raise TypeError(f"tag {tag!r} of {name} is taken by {_TYPES[tag].__qualname__}; tags are for ever")
            _TYPES[tag] = cls  # type: ignore[assignment]
        return cls


class Event(msgspec.Struct, metaclass=EventMeta):
    """Base of all events."""

    event_tag: ClassVar[str]
    event_schema: ClassVar[int]


class UnknownEvent(Event):
    """An event whose tag or schema this Treadle does not know: kept intact and passed on, never dropped."""

    type: str
    schema: int
    data: msgspec.Raw


def event_type(tag: str) -> type[Event] | None:
    """The class filed under `tag`, if there is one."""
    return _TYPES.get(tag)


def event_types() -> dict[str, type[Event]]:
    """All known event classes by tag."""
    return dict(_TYPES)
