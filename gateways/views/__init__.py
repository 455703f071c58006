"""Databases for the read models.

sqlite.py       a file beside the journal, or memory
postgres.py     a schema of a PostgreSQL database, for all nodes      (postgres_dialect.py)
"""

from .postgres import PostgresViews
from .sqlite import SqliteViews, views_path

__all__ = ["PostgresViews", "SqliteViews", "views_path"]
