"""Notes as files of Markdown, for people and for whatever reads files: `<user>/notes/<author>/<slug>.md`.

The files are a copy. Nothing reads them back, and a later export writes them anew.
"""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from ..events.workspace import Note


def export_notes(notes: Sequence[Note], user_id: str, directory: Path) -> list[Path]:
    """Write each note into its file; where they are."""
    written: list[Path] = []
    for note in notes:
        path = directory / _folder(user_id) / "notes" / _folder(note.author) / f"{note.slug}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(markdown_of(note), encoding="utf-8")
        written.append(path)
    return written


def markdown_of(note: Note) -> str:
    """A note as a page: what is known of it, its text, and the answers to it."""
    origin = note.versions[-1].origin
    about = {
        "kind": note.kind,
        "author": note.author,
        "version": str(note.version),
        "updated": note.updated_at.isoformat(timespec="seconds"),
        "tags": ", ".join(note.tags),
        "cites": ", ".join(note.cites),
        "run": origin.run_id,
        "plan": f"{origin.plan} {origin.step}".strip(),
        "archived": "yes" if note.archived else "",
    }
    head = "\n".join(f"- {name}: {value}" for name, value in about.items() if value)
    answers = [f"## Answer of {answer.origin.author or 'a program'}\n\n{answer.text}" for answer in note.answers]
    return "\n\n".join(filter(None, (f"# {note.title}", head, note.body, *answers))) + "\n"


def _folder(name: str) -> str:
    """A name as one folder: a name may hold slashes, or be `..`."""
    folder = quote(name, safe="") or "_"
    return f"%2E{folder[1:]}" if folder.startswith(".") else folder
