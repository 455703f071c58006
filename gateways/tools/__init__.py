"""Tools, made of what users have.

function.py    `@tool`: of a Python function, its type hints and its docstring
"""

from .function import as_tool, tool

__all__ = ["as_tool", "tool"]
