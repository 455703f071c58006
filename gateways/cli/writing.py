"""Where commands write what is not for the eyes: a new file, or standard output."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ...events.errors import ConfigError


@contextmanager
def open_output(path: Path | None) -> Generator[BinaryIO]:
    """A file that did not exist, or standard output for None and `-`.

    Raises:
        ConfigError: There is such a file already, or it cannot be made.
    """
    if path is None or str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = path.open("xb")
    except FileExistsError as exc:
        raise ConfigError(f"{str(path)!r} exists already; name another file") from exc
    except OSError as exc:
        raise ConfigError(f"{str(path)!r} cannot be written: {exc.strerror}") from exc
    with file:
        yield file
