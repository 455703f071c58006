"""Where lessons are kept for later runs: in a store that is given, or in a working block of the user's memory."""

from collections.abc import Sequence
from typing import Protocol

from ..context import current_cause
from ..services import MemoryPort


class LessonStore(Protocol):
    """Keeps lessons of users. Lessons are added again when a process died before it had heard that they were kept."""

    async def add(self, user_id: str, text: str) -> None:
        """Keep a lesson; one that is kept already is kept once."""
        ...

    async def search(self, user_id: str, prompt: str, k: int) -> Sequence[str]:
        """At most `k` lessons of this user that help with `prompt`, the best first."""
        ...


async def add_to_block(memory: MemoryPort, user_id: str, name: str, lesson: str, max_lessons: int) -> None:
    """Write a lesson into a working block, which stands in the prompts of all later runs; once.

    The newest `max_lessons` stay. Of two runs that write at the same moment one may lose its lesson.
    """
    line = f"- {' '.join(lesson.split())}"
    lines = (await memory.state(user_id)).blocks.get(name, "").splitlines()
    if line not in lines:
        kept = "\n".join([*lines, line][-max_lessons:])
        await memory.update_block(user_id, name, kept, current_cause())
