"""Views in PostgreSQL: the contract, several nodes, and a server that goes away."""

import asyncio

import psycopg
import pytest
from contracts.views import RUNS, ViewsContract, count_turn, rows

from treadle.events.errors import ConfigError, ReadOnly, Unavailable
from treadle.gateways.views.postgres import PostgresViews
from treadle.gateways.views.postgres_dialect import escaped, in_postgres, unescaped
from treadle.projections import Transaction


class TestPostgresViews(ViewsContract):
    @pytest.fixture(autouse=True)
    def _place(self, postgres_url: str) -> None:
        self.url = postgres_url

    def open_views(self) -> PostgresViews:
        return PostgresViews(self.url)
