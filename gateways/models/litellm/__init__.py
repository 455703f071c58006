"""LiteLLM: about a hundred providers.

model.py     LiteLLMModel
library.py   the library, imported late and quietly
table.py     its table of prices and abilities, read without it
keys.py      what the providers' keys are called
messages.py  a conversation in its form
reading.py   an answer, whole or by chunks
native.py    how it ended, in the provider's word
errors.py    the table of errors
"""

from .errors import GENERAL, STATUSES, TABLE
from .model import LiteLLMModel

__all__ = ["GENERAL", "STATUSES", "TABLE", "LiteLLMModel"]
