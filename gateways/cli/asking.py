"""The services of the system that runs: run, resume, history, steer, approve, cancel, status. See docs/nats.md."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from ...events.bus import Bus, answer
from ...events.errors import TreadleError
from ...events.subjects import Subjects
from ..buses.nats import NatsBus
from .place import Place

TIMEOUT_S = 10.0

_SERVICE_ERROR = "Nats-Service-Error"


class Answered(TreadleError):
    """The system said no. `kind` is the name of its error."""

    def __init__(self, text: str) -> None:
        kind, colon, message = text.partition(": ")
        known = bool(colon) and kind.isidentifier()
        super().__init__(message if known else text)
        self.kind = kind if known else "TreadleError"


@asynccontextmanager
async def connect(place: Place) -> AsyncGenerator[NatsBus]:
    """A connection to the system that runs.

    Raises:
        ConfigError: None runs here, and none was named.
        Unavailable: No server answers there.
    """
    bus = await NatsBus.connect(
        place.nats_url,
        namespace=place.subjects.namespace,
        name="treadle-cli",
        credentials=place.credentials,
        tls=place.tls,
    )
    try:
        yield bus
    finally:
        await bus.close()


async def ask_over(
    bus: Bus, subjects: Subjects, kind: str, body: Any, *, timeout_s: float = TIMEOUT_S, wanted: Any = Any
) -> Any:
    """Ask a service.

    Args:
        wanted: The type of the answer.
    Raises:
        Answered: It said no.
        Unavailable: Nobody serves it, or nobody answered in time.
    """
    reply = await bus.request(subjects.ask(kind), msgspec.json.encode(body), timeout_s)
    if _SERVICE_ERROR in reply.headers:
        raise Answered(reply.headers[_SERVICE_ERROR])
    return msgspec.json.decode(answer(reply), type=wanted)


async def ask(place: Place, kind: str, body: Any, *, timeout_s: float = TIMEOUT_S) -> Any:
    """As `ask_over`, with a connection for this one question."""
    async with connect(place) as bus:
        return await ask_over(bus, place.subjects, kind, body, timeout_s=timeout_s)
