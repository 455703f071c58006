"""A picture as PNG: its SVG, drawn by resvg, which needs no browser, no display and no network."""

from importlib.resources import files

from ...events.errors import ConfigError
from .picture import Picture
from .svg import FONT, drawn

_ZOOM = 2.0
"""Pixels for one unit of the SVG: most screens have that many."""

_LIMIT_PIXELS = 8_000
"""Of width and of height; what would be larger is drawn smaller, since viewers give up beyond that."""


def png_of(picture: Picture) -> bytes:
    """The picture as the bytes of a PNG file.

    Raises:
        ConfigError: The extra `pictures` is not installed.
    """
    try:
        import resvg_py

        fonts = files("font_lato")  # a machine without a screen may have no fonts, and labels would be empty
    except ImportError as exc:
        raise ConfigError('pictures as PNG need the package resvg-py: pip install "treadle[pictures]"') from exc
    drawing = drawn(picture)
    zoom = min(_ZOOM, _LIMIT_PIXELS / max(drawing.width, drawing.height))
    return resvg_py.svg_to_bytes(
        svg_string=drawing.svg,
        zoom=zoom,
        font_files=[str(fonts / "files" / f"{FONT}-Regular.ttf")],
        sans_serif_family=FONT,
    )
