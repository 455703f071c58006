"""How agents think, one file each: code over recorded steps (`actors/steps.py`).

architecture.py   what they have in common
react.py          think, act, look, until the model stops asking for tools
"""

from collections.abc import Callable, Mapping

from .architecture import Architecture, architecture_of, tools_of
from .react import ReAct

ARCHITECTURES: Mapping[str, Callable[[], Architecture]] = {"react": ReAct}
"""Those that can be named: `Agent(architecture="react")`."""

__all__ = ["ARCHITECTURES", "Architecture", "ReAct", "architecture_of", "tools_of"]
