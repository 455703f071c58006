"""How agents think, one file each: code over recorded steps (`actors/steps.py`).

react.py    think, act, look, until the model stops asking for tools
"""

from .react import react

STRATEGIES = {"react": react}
"""The strategies that can be named."""

__all__ = ["STRATEGIES", "react"]
