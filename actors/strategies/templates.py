"""Prompts with places to be filled in: `{prompt}`. Other braces stay as they are, for prompts that show JSON."""

import re
from collections.abc import Collection

from ...events.errors import ConfigError

_PLACE = re.compile(r"\{(\w+)\}")


def filled(template: str, **words: str) -> str:
    """`template` with `words` in their places. What is filled in is not looked through for further places."""
    return _PLACE.sub(lambda place: words.get(place[1], place[0]), template)


def check_template(name: str, template: str, needs: Collection[str]) -> str:
    """`template`, when it has the places that it needs.

    Raises:
        ConfigError: One is missing; the model would not be told.
    """
    missing = [f"{{{place}}}" for place in needs if f"{{{place}}}" not in template]
    if missing:
        raise ConfigError(f"{name} has no place for {', '.join(missing)}: its model would not be told")
    return template
