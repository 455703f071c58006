"""The environment the peers are installed in: made when missing, and anew when their requirements have changed."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path


class PeersUnavailable(Exception):
    """The peers could not be installed; the message is pip's last line."""


def peers_python(directory: Path, requirements: Path) -> Path:
    """The interpreter of the peers' environment in `directory`, made from `requirements` if need be.

    Raises:
        PeersUnavailable: pip failed. What was made is left, and the next call tries again.
    """
    python = directory / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    installed = directory / "installed.txt"
    wanted = requirements.read_text()
    if python.exists() and installed.exists() and installed.read_text() == wanted:
        return python
    venv.create(directory, clear=True, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise PeersUnavailable(result.stderr.strip().rpartition("\n")[2])
    installed.write_text(wanted)
    return python
