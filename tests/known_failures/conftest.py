"""Agents on one journal file, as several processes would open it, and the zygote for those that are killed."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from crash.children import Children
from known_failures.agents import Opened


@pytest.fixture(scope="session")
def children() -> Iterator[Children]:
    with Children() as made:
        yield made


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    made = Opened(tmp_path)
    yield made
    await made.aclose()
