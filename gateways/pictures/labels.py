"""Labels, made fit to be shown: names and errors come from anywhere, and may hold anything."""

import unicodedata

LIMIT_LINES = 6
LIMIT_CHARACTERS = 48
"""Of one line: a picture is to be seen as a whole."""

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def lines_of(label: str) -> list[str]:
    """The lines of a label, without what cannot be seen, and not too many or too long; at least one.

    Control characters, half surrogates and marks that turn the direction of writing would hide or forge what is around
    them, and are no XML; they are replaced.
    """
    lines = [_shown(line) for line in label[: 100 * LIMIT_LINES * LIMIT_CHARACTERS].splitlines()]
    kept = [line for line in lines if line] or [" "]
    return kept if len(kept) <= LIMIT_LINES else [*kept[: LIMIT_LINES - 1], "…"]


def short(text: str, most: int = LIMIT_CHARACTERS) -> str:
    """A text as one line of at most `most` characters."""
    line = " ".join(text[: 10 * most].split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _shown(line: str) -> str:
    return short("".join(each if each.isprintable() else _instead_of(each) for each in line))


def _instead_of(character: str) -> str:
    return " " if character == "\t" or unicodedata.category(character).startswith("Z") else _UNKNOWN
