"""A picture in a file, drawn as the file's ending says."""

from pathlib import Path

from ...events.errors import ConfigError
from .mermaid import mermaid_of
from .picture import Picture
from .png import png_of
from .svg import svg_of

ENDINGS = (".mmd", ".md", ".svg", ".png")


def written(picture: Picture, path: str | Path | None) -> str:
    """The picture's Mermaid text; with a path, the picture is in that file too.

    Raises:
        ConfigError: There is no drawing for files with that ending, or the extra for it is missing; nothing was
            written.
    """
    text = mermaid_of(picture)
    if path is not None:
        drawn = _drawn(picture, text, Path(path))
        Path(path).write_bytes(drawn)
    return text


def _drawn(picture: Picture, text: str, path: Path) -> bytes:
    match path.suffix.lower():
        case ".mmd":
            return text.encode()
        case ".md":
            return fenced(text).encode()
        case ".svg":
            return svg_of(picture).encode()
        case ".png":
            return png_of(picture)
        case _:
            raise ConfigError(f"a picture cannot be written to {str(path)!r}; it may end in {', '.join(ENDINGS)}")


def fenced(text: str) -> str:
    """Mermaid text as a block of Markdown."""
    return f"```mermaid\n{text}```\n"
