"""Pictures as callers give them, as they are recorded and shown to models."""

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from ..events.errors import ConfigError
from ..events.message import Image

LIMIT_BYTES = 5 * 1024 * 1024
"""What every provider takes of one picture."""

LIMIT_COUNT = 20
"""Pictures of one prompt: all of them stand in one event."""

LIMIT_TOTAL_BYTES = 20 * 1024 * 1024
"""Of them together: providers take no more in a request, and to record and send as much takes about a second."""

Picture: TypeAlias = Image | Path | bytes | str
"""A file, its bytes, or the text of an address: `https://…` or `data:…`."""

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_KNOWN = "PNG, JPEG, GIF or WebP"


def images_of(pictures: Sequence[Picture]) -> tuple[Image, ...]:
    """Pictures in the form in which they are recorded.

    Raises:
        ConfigError: One of them is too large, is of no kind that models are shown, or cannot be read; says which. Or
            all of them together are too large.
    """
    if isinstance(pictures, str | bytes | Path | Image):
        raise ConfigError(f"images= is a list of pictures, not one {type(pictures).__name__}; write images=[…]")
    if len(pictures) > LIMIT_COUNT:
        raise ConfigError(f"images= has {len(pictures)} pictures; one prompt may have {LIMIT_COUNT}")
    images: list[Image] = []
    total_bytes = 0
    for index, picture in enumerate(pictures):
        image = _image(picture, f"images[{index}]")
        total_bytes += len(image.data) * 3 // 4
        if total_bytes > LIMIT_TOTAL_BYTES + 2 * LIMIT_COUNT:  # what base64 rounds up
            raise ConfigError(
                f"images= has more than {LIMIT_TOTAL_BYTES // 1024**2} MB in all, with images[{index}] of "
                f"{len(pictures)}; make them smaller, or give addresses"
            )
        images.append(image)
    return tuple(images)


def _image(picture: Picture, where: str) -> Image:
    match picture:
        case Path():
            return _read(picture, f"{where} ({picture})")
        case bytes():
            return _of_bytes(picture, where)
        case str() if picture.startswith("data:"):
            return _of_data(picture, where)
        case str():
            return _at(picture, where)
        case Image(url=url) if url:
            if picture.data:
                raise ConfigError(f"{where} has both data and a url; one of them is the picture")
            return _of_data(url, where) if url.startswith("data:") else _at(url, where)
        case Image(data=data):
            return _of_base64(data, where)
    raise ConfigError(
        f"{where} is {type(picture).__name__}; a picture is a Path, bytes, the text of a URL, or an Image"
    )


def _read(path: Path, where: str) -> Image:
    try:
        with path.open("rb") as file:
            return _of_bytes(file.read(LIMIT_BYTES + 1), where)
    except OSError as exc:
        raise ConfigError(f"{where}: {exc.strerror or exc}") from exc


def _of_bytes(data: bytes, where: str) -> Image:
    """The bytes say of what kind they are: a file's name, or what it is called, may be wrong."""
    if len(data) > LIMIT_BYTES:
        raise ConfigError(f"{where} has more than {LIMIT_BYTES // 1024**2} MB; make it smaller")
    media_type = next((kind for signature, kind in _SIGNATURES if data.startswith(signature)), "")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        media_type = "image/webp"
    if not media_type:
        raise ConfigError(f"{where} is no {_KNOWN}; it begins with {data[:8]!r}")
    return Image(media_type=media_type, data=base64.b64encode(data).decode())


def _of_base64(text: str, where: str) -> Image:
    try:
        return _of_bytes(base64.b64decode(text, validate=True), where)
    except (binascii.Error, ValueError) as exc:
        raise ConfigError(f"{where} is no base64: {exc}") from exc


def _of_data(url: str, where: str) -> Image:
    head, comma, data = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise ConfigError(f"{where}: a data URL is data:image/png;base64,…")
    return _of_base64(data, where)


def _at(url: str, where: str) -> Image:
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"{where}: {url[:100]!r} is no http(s) address; a file is given as a Path")
    return Image(url=url)
