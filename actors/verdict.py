"""What those are shown who judge an answer and did not write it, and what is read in their words."""

import re
from typing import TYPE_CHECKING

from .gate import Pass

if TYPE_CHECKING:
    from .steps import Steps

_SHOWN = 500
"""How many characters of a tool's result they are shown."""


def evidence_of(passed: Pass, steps: "Steps") -> str:
    """What was asked, what tools said, and the answer."""
    results = [message for message in passed.conversation if message.role == "tool"]
    said = "\n".join(f"- {message.name}: {message.content[:_SHOWN]}" for message in results)
    told = f"What tools said:\n{said}\n\n" if said else ""
    return f"What was asked for:\n{steps.prompt}\n\n{told}The answer:\n{passed.answer or '(nothing)'}"


def first_word(text: str, yes: str, no: str) -> tuple[str, str]:
    """The word that a reply begins with, and what it says beside it; without either word: empty, and what it says.

    Args:
        yes, no: The words, in capitals. An underscore may be left out, or be a space.
    """
    words = {word: word.replace("_", "[_ -]?") for word in (no, yes)}
    first, _, rest = text.strip().partition("\n")
    for word, pattern in words.items():
        found = re.match(rf"[\W_]*(?P<word>{pattern})(?![A-Za-z0-9])[\W_]*(?P<beside>.*)$", first, re.IGNORECASE)
        # "Done with the check: two tests fail" is none.
        if found is not None and (found["word"].isupper() or not found["beside"]):
            return word, f"{found['beside']}\n{rest}".strip()
    said = " ".join(text.split())
    return "", f"{said[:200]!r}" if said else "nothing"
