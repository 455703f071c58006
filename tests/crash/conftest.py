"""The crash tests share one zygote."""

from collections.abc import Iterator

import pytest
from crash.children import Children


@pytest.fixture(scope="session")
def children() -> Iterator[Children]:
    with Children() as made:
        yield made
