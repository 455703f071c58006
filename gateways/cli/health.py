"""`treadle health`: whether the system here is alive, or ready; for the health checks of containers."""

import asyncio
import http.client
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import typer
from typer import Option

from ...events.errors import ConfigError
from ..operations.health import Health, Trouble
from .command import Call, command

app = typer.Typer()


@command(app)
async def health(
    call: Call,
    ready: Annotated[
        bool, Option("--ready", help="Whether it can do its work now, and not only whether it lives.")
    ] = False,
    timeout: Annotated[float, Option(min=0.1, help="How many seconds it may take to answer.")] = 8.0,
    url: Annotated[str, Option(help="Where it serves its health. Default: the system here.")] = "",
) -> None:
    """Tell whether the system here is alive, or ready; exit code 1 when it is not."""
    found = await asyncio.to_thread(_ask, url or _here(call), timeout)
    if call.out.json:
        call.out.object(found)
    for trouble in found.troubles:
        call.out.say(str(trouble), "yellow")
    well = found.ready if ready else found.healthy
    call.out.say("ready" if found.ready else "alive, and not ready" if found.healthy else "not alive")
    call.exit(0 if well else 1)


def _here(call: Call) -> str:
    system = call.place.running
    if system is None or not system.health:
        raise ConfigError(
            f"no system runs in {str(call.place.directory)!r}; start one with `treadle up`, or give --url"
        )
    return system.health


def _ask(url: str, timeout_s: float) -> Health:
    where = urlsplit(url)
    if where.scheme != "http" or not where.hostname:
        raise ConfigError(f"{url!r} is no URL of a node's health; write http://127.0.0.1:8080")
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=timeout_s)
    try:
        connection.request("GET", "/readyz")
        return msgspec.json.decode(connection.getresponse().read(), type=Health)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError) as exc:
        return Health(False, False, (Trouble("node", f"{url} does not answer: {exc or type(exc).__name__}"),))
    finally:
        connection.close()
