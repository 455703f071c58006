"""Makes a node known on NATS: one micro service for each, with an endpoint that answers for this node alone.

Any client finds the nodes with `nats micro info treadle-node`, hosts and workers alike. The services that a system
offers (`../services.py`) are asked of whoever is free; this one is asked of each.
"""

import os
import socket
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from nats.micro import add_service  # pyright: ignore[reportUnknownVariableType]
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, ServiceConfig

from ..buses.nats import NatsBus
from ..journals.figures import JournalFigures, journal_figures
from ..services import VERSION, decoded, respond_to
from .node_status import NodeStatus, status_of

if TYPE_CHECKING:
    from ..system import System

SERVICE = "treadle-node"
ENDPOINT = "status"


class AskNode(Struct, frozen=True, forbid_unknown_fields=True):
    """Ask a node how it stands; with `journal`, how large its journal is, too."""

    journal: bool = False


class NodeAnswer(Struct, frozen=True):
    """What a node says of itself, and of its journal if it was asked."""

    status: NodeStatus
    journal: JournalFigures | None = None


class Presence:
    """Answers for one system from `start` on."""

    def __init__(self, system: "System", bus: NatsBus) -> None:
        self._system = system
        self._bus = bus
        self._service: Any = None

    async def start(self) -> None:
        system = self._system
        owner = system.journal.owner
        self._service = await add_service(
            self._bus.client,
            ServiceConfig(
                name=SERVICE,
                version=VERSION,
                description="A node of Treadle: how it stands",
                metadata={
                    "namespace": system.subjects.namespace,
                    "owner": owner,
                    "host": socket.gethostname(),
                    "pid": str(os.getpid()),
                    "treadle": version("treadle"),
                    "started_at": system.started_at.isoformat(),
                },
            ),
        )
        config = EndpointConfig(name=ENDPOINT, subject=system.subjects.status(owner), handler=self._respond)
        await self._service.add_endpoint(config)

    async def close(self) -> None:
        if self._service is not None:
            await self._service.stop()

    async def _respond(self, request: Request) -> None:
        await respond_to(request, self._answer)

    async def _answer(self, _subject: str, data: bytes) -> NodeAnswer:
        asked: AskNode = decoded(data, AskNode)
        system = self._system
        status = await status_of(system)
        if not asked.journal:
            return NodeAnswer(status)
        return NodeAnswer(status, await journal_figures(system.journal, status.at))
