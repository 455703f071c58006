"""Where lessons are kept for later runs: in a store that is given, or in a working block of the user's memory."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

from ...events.logs import get_logger
from ...events.redaction import redact
from ..context import current_cause
from ..foreign import called, contained
from ..raised import CodeFailed, origin_of
from ..services import MemoryPort
from ..tool import say
from ..vectors import Chunk, VectorStore

_KIND = "lesson"
_STORE = "lesson_store of Reflexion"

_log = get_logger("treadle.actors")


class LessonStore(Protocol):
    """Keeps lessons of users. Lessons are added again when a process died before it had heard that they were kept."""

    async def add(self, user_id: str, text: str) -> None:
        """Keep a lesson; one that is kept already is kept once."""
        ...

    async def search(self, user_id: str, prompt: str, k: int) -> Sequence[str]:
        """At most `k` lessons of this user that help with `prompt`, the best first."""
        ...


class LessonsInVectors:
    """`LessonStore` over a vector store, which may have other things in it, and other users' lessons."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store

    async def add(self, user_id: str, text: str) -> None:
        name = hashlib.sha256(f"{user_id}\n{text}".encode()).hexdigest()[:32]
        await self._store.add([Chunk(text, _tags(user_id))], [f"{_KIND}_{name}"])

    async def search(self, user_id: str, prompt: str, k: int) -> Sequence[str]:
        found = await self._store.search(prompt, k, filter=_tags(user_id))
        return [result.chunk.content for result in found]


def _tags(user_id: str) -> dict[str, str]:
    return {"kind": _KIND, "user_id": user_id}


def lesson_store_of(given: "LessonStore | VectorStore | None") -> LessonStore | None:
    """What `lesson_store=` means."""
    return LessonsInVectors(given) if isinstance(given, VectorStore) else given


async def found_in(store: LessonStore, user_id: str, prompt: str, k: int) -> list[str]:
    """At most `k` lessons.

    Raises:
        CodeFailed: The store raised, or returned something else.
    """
    try:
        found: Sequence[object] = [*await contained(called(store.search, user_id, prompt, k))][:k]
    except Exception as exc:  # of whatever kind: it may be away when the run's own journal is not
        raise CodeFailed(f"{_STORE} raised {say(exc)}") from exc
    lessons = [each for each in found if isinstance(each, str)]
    if len(lessons) < len(found):
        raise CodeFailed(f"{_STORE} returned {str(found)[:200]}; search() returns a list of texts")
    return lessons


async def keep_in(store: LessonStore, user_id: str, lesson: str) -> None:
    """Keep it. Raises as `found_in`."""
    try:
        await contained(called(store.add, user_id, lesson))
    except Exception as exc:
        raise CodeFailed(f"{_STORE} raised {say(exc)}") from exc


def said_of_store(run_id: str, error: CodeFailed) -> str:
    """Why there are no lessons, for the run's record. The log has where the store failed."""
    _log.warning("run %s goes on without lessons: %s", run_id, error, exc_info=origin_of(error))
    return redact(str(error))


async def add_to_block(memory: MemoryPort, user_id: str, name: str, lesson: str, max_lessons: int) -> None:
    """Write a lesson into a working block, which stands in the prompts of all later runs; once.

    The newest `max_lessons` stay. Of two runs that write at the same moment one may lose its lesson.
    """
    line = f"- {' '.join(lesson.split())}"
    lines = (await memory.state(user_id)).blocks.get(name, "").splitlines()
    if line not in lines:
        kept = "\n".join([*lines, line][-max_lessons:])
        await memory.update_block(user_id, name, kept, current_cause())
