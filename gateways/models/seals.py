"""Whether what a provider wants back is still as it came: what is recorded has its secrets masked."""

from hashlib import sha256
from typing import Any

import msgspec


def seal(carried: Any) -> str:
    """Stands beside `carried`, which has a JSON form, and fits it no more once anything in it has changed.

    A signed block that was changed is refused by its provider, whatever else the request says.
    """
    text = carried if isinstance(carried, str) else _encode(carried).decode()
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


_encode = msgspec.json.Encoder(order="sorted").encode
