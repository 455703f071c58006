"""Language models, one file each, and what surrounds them.

resolver.py    what `model=` may be
facade.py      `Model`: what a model has, and the factories
providers.py   who has models; `settings.py`: what may stand beside a model's name; `extras.py`: packages to install
hosted.py      what the models of all providers share: key, client (`per_loop.py`), price
compatible.py  providers who speak OpenAI's protocol
counts.py      what a provider counts, where it is a count
tool_calls.py  calls from the pieces of a stream, and their arguments
seals.py       whether what goes back to a provider is as it came
secrets.py     where keys come from
prices.py      what models cost; `prices.toml`: the table
fallback.py    FallbackModel: one model in the place of another
echo.py        EchoModel: answers with the question
scripted.py    ScriptedModel: answers from a list; FunctionModel: answers with a function
"""

from .echo import EchoModel
from .fallback import FallbackModel
from .resolver import resolve_model
from .scripted import FunctionModel, ScriptedModel, ScriptedTurn

__all__ = ["EchoModel", "FallbackModel", "FunctionModel", "ScriptedModel", "ScriptedTurn", "resolve_model"]
