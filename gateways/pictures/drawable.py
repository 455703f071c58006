"""What has a picture: `generate_graph`, and how a notebook shows it."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...events.logs import get_logger

if TYPE_CHECKING:
    from .picture import Picture

_log = get_logger("treadle.pictures")


class Drawable(ABC):
    """Something with a picture. How it is drawn is loaded when somebody looks."""

    @abstractmethod
    def picture(self) -> "Picture":
        """Its nodes and edges."""

    def generate_graph(self, path: str | Path | None = None) -> str:
        """What it looks like, as Mermaid text; with a path, the picture is in that file too.

        Args:
            path: Ends in `.mmd` or `.md` (Mermaid), `.svg`, or `.png`, which needs `pip install "treadle[pictures]"`.
        Raises:
            ConfigError: It ends in something else, or the extra is missing.
        """
        from .files import written

        return written(self.picture(), path)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows for it; never raises, since a cell that only names it should not fail."""
        from .files import fenced
        from .mermaid import mermaid_of
        from .svg import svg_of

        shown = {"text/plain": repr(self)}
        try:
            picture = self.picture()
            return {**shown, "text/markdown": fenced(mermaid_of(picture)), "image/svg+xml": svg_of(picture)}
        except Exception as exc:  # whatever it is, what the cell is about is not its picture
            _log.warning("%r cannot be drawn: %s", self, exc)
            return shown
