"""Databases for the read models.

sqlite.py       a file beside the journal, or memory
"""

from .sqlite import SqliteViews, views_path

__all__ = ["SqliteViews", "views_path"]
