"""A text that comes in pieces, masked across them: what has been shown is the beginning of the masked whole.

Held back is only the shortest end that may be the beginning of a secret; what is before it is shown at once.
"""

import re
from typing import Final

from .redaction import is_for_program, redaction
from .secret_beginnings import BEFORE, unfinished
from .secret_shapes import MASK

HELD_CHARS: Final = 16_384
"""How much is held at the most, where no known secret is longer: private keys and JSON Web Tokens are shorter."""

_STEPS: Final = 8
_WORD: Final = re.compile(r"\S*\s")


class RedactedStream:
    """A text while it comes.

    Args:
        answer: It is a model's answer: one that a program reads goes by the shapes of values alone.
    """

    def __init__(self, *, answer: bool = False) -> None:
        self._answer = answer
        self._names: bool | None = None if answer else True
        self._before = ""  # the end of what has been shown, as it was shown: it tells what comes next
        self._held = ""

    def add(self, piece: str) -> str:
        """Take a piece; returns what can be shown now."""
        if not redaction.is_on:
            return self.rest() + piece
        self._held += piece
        if self._names is None:
            begin = self._held.lstrip()
            if not begin or (len(begin) < 3 and "```".startswith(begin)):
                return ""
            self._names = not is_for_program(begin)
        text, begun = self._before + self._held, len(self._before)
        at = min(redaction.unfinished(text, begun), unfinished(text, begun, names=self._names))
        if len(text) - at > max(HELD_CHARS, redaction.longest):
            at = len(text)
        return self._show(text, at)

    def rest(self) -> str:
        """What is still held, at the end of the text."""
        masked = self._masked(self._before + self._held)
        # What was shown cannot be masked any more; what is left of it then is not shown either.
        shown = masked[len(self._before) :] if masked.startswith(self._before) else MASK
        self._names = None if self._answer else True
        self._before = self._held = ""
        return shown

    def _masked(self, text: str) -> str:
        return redaction.text(text, names=self._names is not False)

    def _show(self, text: str, at: int) -> str:
        begun = len(self._before)
        if at <= begun:
            return ""
        whole = self._masked(text)
        if not whole.startswith(self._before):
            return self._given_up()
        for _ in range(_STEPS):
            if at <= begun:
                break
            masked = whole if at == len(text) else self._masked(text[:at])
            before, held = self._of(masked), text[at:]
            if masked.startswith(self._before) and self._parts(whole, masked, before, held):
                shown = masked[begun:]
                self._before, self._held = before, held
                return shown
            # It is in the middle of something that is masked as a whole.
            at = max(text.rfind(" ", 0, at), text.rfind("\n", 0, at))
        return ""

    def _of(self, masked: str) -> str:
        """The end of what is shown by which it is told what comes next."""
        if len(masked) <= 3 * BEFORE:
            return masked
        word = masked.find(" ", len(masked) - 2 * BEFORE, len(masked) - BEFORE)
        end = masked[word if word >= 0 else -BEFORE :]
        # Without what is before it, it may look like a secret.
        return end if self._masked(end) == end else masked

    def _parts(self, whole: str, masked: str, before: str, held: str) -> bool:
        """Whether what is held can be masked after what is before it, and the two are the masked whole then."""
        if not held:
            return True
        again = self._masked(before + held)
        return again.startswith(before) and masked + again[len(before) :] == whole

    def _given_up(self) -> str:
        """What was shown is masked with what came later: a secret has no other beginning than another's end.

        Its last word is not shown. What comes after it is a text by itself.
        """
        word = _WORD.match(self._held)
        if word is None and len(self._held) < HELD_CHARS:
            return ""
        self._before, self._held = "", self._held[word.end() - 1 :] if word else ""
        return MASK
