"""Views in PostgreSQL: the contract, several nodes, and a server that goes away."""

import pytest
from contracts.views import ViewsContract

from treadle.gateways.views.postgres import PostgresViews


class TestPostgresViews(ViewsContract):
    @pytest.fixture(autouse=True)
    def _place(self, postgres_url: str) -> None:
        self.url = postgres_url

    def open_views(self) -> PostgresViews:
        return PostgresViews(self.url)
