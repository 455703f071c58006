"""Anthropic's Messages API.

model.py        AnthropicModel
request.py      a request, of what the options say
messages.py     a conversation in the provider's form
thinking.py     effort, as tokens or as a word
generations.py  what the generations of Claude take
output.py       answers that fit a JSON Schema
reading.py      an answer, whole or by events
ends.py         how it ended, and whether it is whole
errors.py       the table of errors
"""

from .errors import TABLE
from .model import AnthropicModel

__all__ = ["TABLE", "AnthropicModel"]
