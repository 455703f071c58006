"""Keys that look real and are not, each in a place of its own, and where they are found again."""

import hashlib
from pathlib import Path

_SHAPES = (
    "sk-proj-{0}", "sk-ant-api03-{0}", "AKIA{1}", "ghp_{0}", "github_pat_{0}", "xoxb-123456789012-{0}", "AIza{2}",
    "glpat-{2}", "eyJhbGciOiJIUzI1NiJ9.eyJ{0}.{0}",
)  # fmt: skip
"""In which {0} is 40 characters, {1} 16 capitals and {2} 35 characters."""


class Planted:
    """Makes keys, and knows them."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}

    def key(self, place: str) -> str:
        """The key of this place, of one of the shapes of providers."""
        digest = hashlib.sha256(place.encode()).hexdigest()
        shape = _SHAPES[len(self._keys) % len(_SHAPES)]
        return self._keys.setdefault(place, shape.format(f"a1B{digest[:37]}", digest[:16].upper(), f"z9-{digest[:32]}"))

    def password(self, place: str) -> str:
        """The password of this place, which has no shape."""
        return self._keys.setdefault(place, f"pw{hashlib.sha256(place.encode()).hexdigest()[:10]}")

    def of(self, places: str) -> "Planted":
        """Those whose place begins so."""
        some = Planted()
        some._keys = {place: key for place, key in self._keys.items() if place.startswith(places)}
        return some

    def __len__(self) -> int:
        return len(self._keys)

    def found_in(self, data: str | bytes) -> list[str]:
        """Whose keys are in there."""
        raw = data.encode() if isinstance(data, str) else data
        return [place for place, key in self._keys.items() if key.encode() in raw]

    def found_below(self, directory: Path) -> dict[str, list[str]]:
        """Whose keys are in which file."""
        files = [path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink()]
        found = {str(path.relative_to(directory)): self.found_in(path.read_bytes()) for path in files}
        return {path: places for path, places in found.items() if places}
