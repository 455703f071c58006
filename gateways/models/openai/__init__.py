"""OpenAI's models, and those of everybody who speaks its protocols.

model.py           OpenAIModel: the client, the call, its errors
chat.py            the chat completions API: what is asked, and how its answers read
responses.py       the responses API, likewise
options.py         what both make of a call's options
dialect.py         what a server knows of what OpenAI's own know
effort.py          the efforts that OpenAI's models take
strict_schema.py   JSON Schema as the strict mode wants it
answer.py          whether an answer is whole, and what it used
errors.py          the table of errors
"""

from .model import OpenAIModel

__all__ = ["OpenAIModel"]
