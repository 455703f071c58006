"""`treadle up`: hosts agents until it is told to stop.

SIGTERM or Ctrl-C once: runs are suspended, everything is told and closed, exit code 0. Twice: it ends at once, as a
crash would end it; nothing is lost either, the next `up` goes on.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from ...actors.tool import Tool
from ...events.errors import Unavailable
from ...events.logs import get_logger
from ..broker.server import EmbeddedServer
from ..buses.nats import shown_urls
from ..journals import is_postgres, journal_path, open_journal
from ..operations.health import alive, health_of
from ..operations.health_http import HealthServer
from ..operations.sd_notify import Notifier
from ..placement import DRAIN_S
from ..postgres import redacted
from ..system import System
from ..workers.worker import Worker
from . import system_file
from .agents import find_agents, find_offered
from .command import Call, command
from .output import plain
from .place import EMBEDDED
from .python_file import Declared
from .system_file import SystemFile

NATS_PORT = 4222
HEALTH = "127.0.0.1:0"
_LOOK_S = 0.25
"""How often the embedded server is looked after."""

_log = get_logger("treadle")
app = typer.Typer()

Level = Literal["debug", "info", "warning", "error"]


@command(app)
async def up(
    call: Call,
    agents: Annotated[
        list[str] | None, Argument(help="TOML or Python files, or module:object. Default: agents.toml.")
    ] = None,
    nats: Annotated[
        str, Option(envvar="TREADLE_NATS", help="embedded, or the URL of a server that runs; of several: a,b,c.")
    ] = EMBEDDED,
    replicas: Annotated[
        int | None,
        Option(
            envvar="TREADLE_REPLICAS",
            min=1,
            max=5,
            help="How many servers of a cluster keep each stream. Default: 3, or as many as there are.",
        ),
    ] = None,
    nats_port: Annotated[int, Option(help="Port of the embedded server; 0 takes a free one.")] = NATS_PORT,
    monitor_port: Annotated[int, Option(help="Its HTTP monitoring; 0 takes a free one.")] = 0,
    worker: Annotated[
        bool, Option("--worker", help="Work for runs elsewhere: calls of the files' tools, prompts of their agents.")
    ] = False,
    health: Annotated[str, Option(help="Where /healthz and /readyz are served; port 0 takes a free one.")] = HEALTH,
    drain: Annotated[
        float,
        Option(min=0, help="Seconds that a step may take when this node stops and others go on; 0: stop at once."),
    ] = DRAIN_S,
    log_level: Annotated[Level, Option(help="What is told on standard error.")] = "info",
) -> None:
    """Host agents: NATS and a journal, until SIGTERM or Ctrl-C."""
    _log_to_stderr(log_level)
    hosting = asyncio.create_task(_host(call, agents or [], nats_port, monitor_port, worker, replicas, health, drain))
    _stop_on_signals(hosting)
    try:
        await hosting
    except asyncio.CancelledError:
        call.out.note("stopped")


async def _host(
    call: Call,
    references: list[str],
    nats_port: int,
    monitor_port: int,
    worker: bool,
    replicas: int | None,
    health: str,
    drain_s: float,
) -> None:
    place, notifier = call.place, Notifier()
    offered = find_offered(references) if worker else Declared((), find_agents(references))
    if not offered.agents:
        await _work(call, offered.tools, notifier)
        return
    with system_file.claim(place.directory):
        await _check_writable(place.own_journal)
        system = System(
            journal=place.own_journal,
            nats=place.own_nats,
            namespace=place.own_namespace,
            directory=place.directory,
            nats_port=nats_port,
            monitor_port=monitor_port,
            worker=worker,
            nats_credentials=place.credentials,
            nats_tls=place.tls,
            nats_replicas=replicas,
            drain_s=drain_s,
        )
        async with HealthServer(health, partial(health_of, system)) as probes, system:
            for name, agent in offered.agents.items():
                system.host(agent, name)
            await system.offer(*offered.tools)
            await system.start_hosting()
            described = _described(system, place.own_journal, place.own_nats, offered, worker, probes.url)
            system_file.write(place.directory, described)
            _say_ready(call, described)
            notifier.tell(
                "READY=1", f"STATUS={', '.join([*described.agents, *described.tools])} on {shown_urls(described.nats)}"
            )
            watchdog = asyncio.create_task(notifier.watch(lambda: ", ".join(map(str, alive(system)))))
            try:
                await _look_after(system.server)
            finally:
                watchdog.cancel()
                notifier.tell("STOPPING=1")
                if drain_s and system.server is None:
                    # A server of ours ends with us: nobody could go on.
                    await system.drain()
                system_file.write_stopped(place.directory, described, datetime.now(UTC))


async def _work(call: Call, tools: Sequence[Tool], notifier: Notifier) -> None:
    """Offer tools and nothing else. That wants a server that runs, and neither a directory nor a journal."""
    place = call.place
    worker = Worker(
        tools,
        nats=place.nats_url,
        journal=place.worker_journal,
        namespace=place.subjects.namespace,
        nats_credentials=place.credentials,
        nats_tls=place.tls,
    )
    async with worker:
        described = SystemFile(
            pid=os.getpid(),
            nats=place.nats_url,
            journal=_shown(place.worker_journal or ""),
            namespace=worker.subjects.namespace,
            started_at=datetime.now(UTC),
            worker=True,
            tools=tuple(tool.name for tool in tools),
        )
        _say_ready(call, described)
        notifier.tell("READY=1", f"STATUS={', '.join(described.tools)} on {shown_urls(described.nats)}")
        watchdog = asyncio.create_task(notifier.watch(lambda: ""))
        try:
            await worker.serve()
        finally:
            watchdog.cancel()
            notifier.tell("STOPPING=1")


async def _check_writable(spec: str) -> None:
    """Say why nothing can be recorded before anything is started.

    Raises:
        ReadOnly, JournalTooNew: The journal can be read and not written.
    """
    journal = await open_journal(spec)
    try:
        if journal.refusal is not None:
            raise journal.refusal
    finally:
        await journal.close()


def _described(system: System, journal: str, nats: str, offered: Declared, worker: bool, health: str) -> SystemFile:
    server = system.server
    return SystemFile(
        pid=os.getpid(),
        nats=server.url if server is not None else nats,
        monitor=server.monitor_url if server is not None else "",
        journal=_shown(journal),
        namespace=system.subjects.namespace,
        started_at=datetime.now(UTC),
        agents=tuple(offered.agents),
        worker=worker,
        tools=tuple(tool.name for tool in offered.tools),
        health=health,
    )


def _shown(journal: str) -> str:
    """In a file that others read: a password is given to each command, by the environment or ~/.pgpass."""
    if is_postgres(journal):
        return redacted(journal)
    path = journal_path(journal) if journal else None
    return journal if path is None else f"sqlite:{Path(path).absolute()}"


def _say_ready(call: Call, system: SystemFile) -> None:
    nats = shown_urls(system.nats)
    if call.out.json:
        shown = {name: getattr(system, name) for name in system.__struct_fields__[:-1]}
        call.out.object({"ready": True, **shown, "nats": nats})
        return
    hosted = ", ".join([*system.agents, *system.tools])
    journal = f"journal {system.journal}" if system.journal else "no journal"
    call.out.say(f"ready: {hosted} on {nats}, {journal}, process {system.pid}", "green")


async def _look_after(server: EmbeddedServer | None) -> None:
    """Until cancelled. A server of ours that ends is started again, on the same ports and the same files."""
    if server is None:
        await asyncio.Event().wait()
        return
    while True:
        await asyncio.sleep(_LOOK_S)
        if not server.running:
            _log.error("nats-server on %s has ended; it is started again", server.url)
            await server.stop()
            try:
                await server.start()
            except Unavailable as exc:
                _log.error("%s", exc)


def _stop_on_signals(hosting: "asyncio.Task[None]") -> None:
    def stop() -> None:
        if hosting.cancelling():
            os._exit(130)
        hosting.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def _log_to_stderr(level: Level) -> None:
    handler: logging.Handler
    if sys.stderr.isatty():
        from rich.logging import RichHandler

        handler = RichHandler(show_path=False, markup=False)
        handler.setFormatter(_OneLine("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])


class _OneLine(logging.Formatter):
    """Messages may quote what anybody sent: nothing in them may steer the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return plain(super().formatMessage(record))
