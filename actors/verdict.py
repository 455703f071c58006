"""What those are shown who judge an answer and did not write it, and what is read in their words."""

import re
from typing import TYPE_CHECKING

from .gate import Pass

if TYPE_CHECKING:
    from .steps import Steps

_SHOWN = 500
"""How many characters of a tool's result they are shown."""

_MARKUP = r"\s*_`#>"


def evidence_of(passed: Pass, steps: "Steps") -> str:
    """What was asked, what tools said, and the answer."""
    results = [message for message in passed.conversation if message.role == "tool"]
    said = "\n".join(f"- {message.name}: {message.content[:_SHOWN]}" for message in results)
    told = f"What tools said:\n{said}\n\n" if said else ""
    return f"What was asked for:\n{steps.prompt}\n\n{told}The answer:\n{passed.answer or '(nothing)'}"


def first_word(text: str, yes: str, no: str) -> tuple[str, str]:
    """The word that a reply begins with, and what it says beside it; without either word: empty, and what it says.

    A yes lets something pass, so it has to be all of its line: "DONE? No.", "DONE: NOT_DONE" and "DONE, nearly" are
    none. A no may go on.

    Args:
        yes, no: The words, in capitals. An underscore may be left out, or be a space.
    """
    first, _, rest = text.strip().partition("\n")
    if re.fullmatch(rf"[{_MARKUP}]*{_spelled(yes)}[{_MARKUP}.:!]*", first, re.IGNORECASE):
        return yes, rest.strip()
    found = re.match(rf"[\W_]*(?P<word>{_spelled(no)})(?![A-Za-z0-9])[\W_]*(?P<beside>.*)$", first, re.IGNORECASE)
    # "Not done with the tests yet" is none.
    if found is not None and (found["word"].isupper() or not found["beside"]):
        return no, f"{found['beside']}\n{rest}".strip()
    said = " ".join(text.split())
    return "", f"{said[:200]!r}" if said else "nothing"


def _spelled(word: str) -> str:
    return word.replace("_", "[_ -]?")
