"""Streams whose id is made of several names: `/` stands between them, and inside of one it is written as `%2F`."""


def joined(*parts: str) -> str:
    """The id of these names."""
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def parted(stream_id: str) -> tuple[str, ...]:
    """The names in an id."""
    return tuple(part.replace("%2F", "/").replace("%25", "%") for part in stream_id.split("/"))
