"""Language models, one file each.

resolver.py    what `model=` may be
echo.py        EchoModel: answers with the question
scripted.py    ScriptedModel: answers from a list; FunctionModel: answers with a function
"""

from .echo import EchoModel
from .resolver import resolve_model
from .scripted import FunctionModel, ScriptedModel, ScriptedTurn

__all__ = ["EchoModel", "FunctionModel", "ScriptedModel", "ScriptedTurn", "resolve_model"]
