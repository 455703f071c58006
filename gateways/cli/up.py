"""`treadle up`: hosts agents until it is told to stop.

SIGTERM or Ctrl-C once: runs are suspended, everything is told and closed, exit code 0. Twice: it ends at once, as a
crash would end it; nothing is lost either, the next `up` goes on.
"""

import asyncio
import logging
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from ...events.errors import Unavailable
from ..broker.server import EmbeddedServer
from ..journals import is_postgres, journal_path, open_journal
from ..postgres import redacted
from ..system import System
from . import system_file
from .agents import find_agents
from .command import Call, command
from .output import plain
from .place import EMBEDDED
from .system_file import SystemFile

NATS_PORT = 4222
_LOOK_S = 0.25
"""How often the embedded server is looked after."""

_log = logging.getLogger("treadle")
app = typer.Typer()

Level = Literal["debug", "info", "warning", "error"]


@command(app)
async def up(
    call: Call,
    agents: Annotated[list[str] | None, Argument(help="TOML files or module:object. Default: agents.toml.")] = None,
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
    worker: Annotated[bool, Option("--worker", help="Take delegated prompts only: no signals, no services.")] = False,
    log_level: Annotated[Level, Option(help="What is told on standard error.")] = "info",
) -> None:
    """Host agents: NATS and a journal, until SIGTERM or Ctrl-C."""
    _log_to_stderr(log_level)
    hosting = asyncio.create_task(_host(call, agents or [], nats_port, monitor_port, worker, replicas))
    _stop_on_signals(hosting)
    try:
        await hosting
    except asyncio.CancelledError:
        call.out.note("stopped")


async def _host(
    call: Call, references: list[str], nats_port: int, monitor_port: int, worker: bool, replicas: int | None
) -> None:
    place = call.place
    with system_file.claim(place.directory):
        agents = find_agents(references)
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
        )
        async with system:
            for name, agent in agents.items():
                system.host(agent, name)
            await system.start_hosting()
            described = _described(system, place.own_journal, place.own_nats, tuple(agents), worker)
            system_file.write(place.directory, described)
            _say_ready(call, described)
            try:
                await _look_after(system.server)
            finally:
                system_file.write_stopped(place.directory, described, datetime.now(UTC))


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


def _described(system: System, journal: str, nats: str, agents: tuple[str, ...], worker: bool) -> SystemFile:
    # A file that others read: a password is given to each command, by the environment or ~/.pgpass.
    path, journal = journal_path(journal), redacted(journal) if is_postgres(journal) else journal
    server = system.server
    return SystemFile(
        pid=os.getpid(),
        nats=server.url if server is not None else nats,
        monitor=server.monitor_url if server is not None else "",
        journal=journal if path is None else f"sqlite:{Path(path).absolute()}",
        namespace=system.subjects.namespace,
        started_at=datetime.now(UTC),
        agents=agents,
        worker=worker,
    )


def _say_ready(call: Call, system: SystemFile) -> None:
    if call.out.json:
        call.out.object({"ready": True, **{name: getattr(system, name) for name in system.__struct_fields__[:-1]}})
        return
    hosted = ", ".join(system.agents)
    call.out.say(f"ready: {hosted} on {system.nats}, journal {system.journal}, process {system.pid}", "green")


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
