"""Where at the end of a text something begins that may become a secret when more of the text comes.

A word is held back only where a shape (`secret_shapes.py`) has begun, or its prefix has: words of prose are not.
"""

import re
from typing import Final

from .secret_names import NAMES, VALUE, lowered, name_begins
from .secret_shapes import ESCAPES, PREFIXES, WORD

BEFORE: Final = 400
"""So much of what is before a value tells whether it is a secret: the longest is a line of `curl`."""

# What keys consist of, with what is between their parts.
_KEY_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./+="


def _begun(prefix: str) -> str:
    """A pattern of a part of this prefix, of which nothing but its beginning is there."""
    letters = re.findall(r"\[[^\]]*\]|.", prefix)
    pattern = ""
    for letter in reversed(letters[:-1]):
        pattern = f"{letter}(?:{pattern})?" if pattern else letter
    return pattern


_KEY: Final = re.compile(
    rf"(?:(?<!{WORD})|{'|'.join(f'(?<={escape})' for escape in ESCAPES)})"
    rf"(?:(?:{'|'.join(PREFIXES)})|(?:{'|'.join(map(_begun, PREFIXES))})\Z)"
)
_BLOCK_BEGINS: Final = re.compile(r"-{1,5}\Z|-----(?:B|BE|BEG|BEGI)\Z")
_BLOCK: Final = re.compile(
    r"-----BEGIN(?: [A-Z0-9 ]{0,60}+(?:-{0,4}\Z|-----(?:(?<=PRIVATE KEY-----)|(?<=NKEY SEED-----)|(?<=KEY BLOCK-----))"
    r"(?:[^-]|-(?!----))*+(?:\Z|-----(?:E|EN|END(?: [A-Z0-9 ]{0,60}+-{0,4})?)?\Z))|\Z)"
)
_TOKEN: Final = r"(?P<value>[A-Za-z0-9._~+/=-]*)\Z"
_MARKED: Final = (
    re.compile(rf"[Bb](?i:earer|asic)\s++{_TOKEN}"),
    re.compile(
        r"(?i:authorization)(?:\\{0,3}[\"'])?\s{0,4}[:=]\s{0,4}(?:\\{0,3}[\"'])?(?i:basic|token|apikey)\s{1,4}" + _TOKEN
    ),
    re.compile(r"[?&;]sig=(?P<value>[A-Za-z0-9%+/=_-]*)\Z"),
    re.compile(r"://(?P<value>[^\s/\"'<>\\]*)\Z"),
    re.compile(
        r"(?:postgres|postgresql|mysql|mariadb|mongodb|rediss?|amqps?)(?:[+][a-z0-9]{1,16})?"
        r"://(?P<value>[^\s\"'<>\\]{0,200})\Z"
    ),
    re.compile(r"-(?:u|-[a-z-]{1,60})[ =]{0,4}[\"']?(?P<value>[^\s\"'\\]*)\Z"),
)
_NAMED: Final = re.compile(
    rf"(?:{NAMES})(?:\\{{0,3}}[\"'])?\s{{0,4}}(?::=|=>|[:=])\s{{0,4}}"
    rf"(?P<value>\\{{0,3}}|\\{{0,3}}[\"'`](?:[^\s\"'`\\]*|[^\n\"'`\\]{{0,130}})\\{{0,3}}|{VALUE}*+)\Z"
)


def unfinished(text: str, begin: int, *, names: bool) -> int:
    """Where that is, and not before `begin`; the length of the text when there is nothing.

    Args:
        names: Values that are named a secret count.
    """
    at = len(text)
    run = max(begin, len(text.rstrip(_KEY_LETTERS)))
    if found := _KEY.search(text, run):
        at = found.start()
    if found := _BLOCK_BEGINS.search(text, max(begin, len(text) - 10)):
        at = min(at, found.start())
    if "-----BEGIN" in text and (found := _BLOCK.search(text, begin)):
        at = min(at, found.start())
    for marked in _MARKED:
        if found := marked.search(text, max(0, begin - BEFORE)):
            at = min(at, max(begin, found.start("value")))
    if names:
        low = lowered(text)
        for place in name_begins(low, max(0, begin - BEFORE)):
            if found := _NAMED.match(low, place):
                at = min(at, max(begin, found.start("value")))
                break
    return at
