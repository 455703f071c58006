"""The services for one user each, on `<ns>.ask.<user>.<kind>`: what they ask is about their own runs, or is not there.

Who may ask in a user's name is the broker's to know: it writes the user into the subject (`gateways/broker/auth.py`).
Here a request is checked against that user, and what is left of it is answered as anybody's. What is another's gets
the answer of what does not exist, so that nobody learns which ids there are.
"""

from typing import Any

import msgspec
from msgspec import structs

from ..events.errors import NotFound, Undecodable
from ..events.journal import Journal
from ..events.memory import CATEGORY as MEMORY
from ..events.run import CATEGORY as RUN
from ..events.run import run_stream
from ..events.session import CATEGORY as SESSION
from ..events.subjects import Subjects
from ..events.workspace import CATEGORY as WORKSPACE
from .services import AnswerFor, AskApprove, AskCancel, AskHistory, AskResume, AskRun, AskSteer, Services, decoded

OF_ONE_USER = (RUN, SESSION, MEMORY, WORKSPACE)
"""Categories whose streams are one user's from the first event to the last."""


class Tenants:
    """Services for users, over those that ask nobody's name: `kinds` is what `Services.start` wants of it."""

    def __init__(self, journal: Journal, subjects: Subjects, services: Services) -> None:
        self._journal = journal
        self._subjects = subjects
        self._services = services
        self.kinds: dict[str, AnswerFor] = {
            "run": self._for_user(self._run),
            "resume": self._for_user(self._resume),
            "history": self._for_user(self._history),
            "steer": self._for_user(self._steer),
            "approve": self._for_user(self._approve),
            "cancel": self._for_user(self._cancel),
        }

    def _for_user(self, answer: AnswerFor) -> AnswerFor:
        """`answer`, given the user of the subject."""

        async def respond(subject: str, data: bytes) -> Any:
            try:
                user_id = self._subjects.parse_ask(subject)
            except ValueError as exc:
                raise Undecodable(f"nobody is asked there: {exc}") from exc
            return await answer(user_id, data)

        return respond

    async def _run(self, user_id: str, data: bytes) -> Any:
        asked: AskRun = decoded(data, AskRun)
        if asked.user_id not in ("", user_id):
            raise Undecodable(f"user {user_id!r} cannot run as {asked.user_id!r}; leave user_id out")
        return await self._services.run(_encoded(structs.replace(asked, user_id=user_id)))

    async def _resume(self, user_id: str, data: bytes) -> Any:
        asked: AskResume = decoded(data, AskResume)
        await self._check_run(user_id, asked.run_id)
        return await self._services.resume(_encoded(asked))

    async def _history(self, user_id: str, data: bytes) -> Any:
        asked: AskHistory = decoded(data, AskHistory)
        stream = asked.wanted
        if not await self._is_own(user_id, stream):
            return {"stream": stream, "events": [], "head": 0, "more": False}
        return await self._services.history(_encoded(asked))

    async def _steer(self, user_id: str, data: bytes) -> Any:
        asked: AskSteer = decoded(data, AskSteer)
        await self._check_run(user_id, asked.run_id)
        return await self._services.steer(_encoded(structs.replace(asked, by=user_id)))

    async def _approve(self, user_id: str, data: bytes) -> Any:
        asked: AskApprove = decoded(data, AskApprove)
        await self._check_run(user_id, asked.wanted)
        return await self._services.approve(_encoded(structs.replace(asked, run_id=asked.wanted, by=user_id)))

    async def _cancel(self, user_id: str, data: bytes) -> Any:
        asked: AskCancel = decoded(data, AskCancel)
        await self._check_run(user_id, asked.run_id)
        return await self._services.cancel(_encoded(structs.replace(asked, by=user_id)))

    async def _check_run(self, user_id: str, run_id: str) -> None:
        if not await self._is_own(user_id, run_stream(run_id)):
            raise NotFound("run", run_id, f"user {user_id!r} has none of this id")

    async def _is_own(self, user_id: str, stream: str) -> bool:
        """A stream of one user says with its first event whose it is."""
        if stream.partition("-")[0] not in OF_ONE_USER:
            return False
        first = await self._journal.read(stream, 0, 1)
        return bool(first) and first[0].user_id == user_id


def _encoded(asked: msgspec.Struct) -> bytes:
    return msgspec.json.encode(asked)
