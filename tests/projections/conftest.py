"""Each database that views can be kept in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from treadle.gateways.views import PostgresViews, SqliteViews
from treadle.projections import Views


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the views of a test are: a file, or a URL."""
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else str(tmp_path / "views.db")


def open_views(place: str) -> SqliteViews | PostgresViews:
    return PostgresViews(place) if "://" in place else SqliteViews(place)


@pytest.fixture
async def views(place: str) -> AsyncIterator[Views]:
    async with open_views(place) as views:
        yield views


@pytest.fixture
async def their_views(place: str) -> AsyncIterator[Views]:
    """The same as `views`, as another node has them."""
    async with open_views(place) as views:
        yield views
