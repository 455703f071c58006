"""The budget actor of one scope, and the port that runs are charged through."""

import asyncio
from functools import partial
from typing import Any

from msgspec import Struct

from ..events.budget import (
    SNAPSHOT,
    Budget,
    Limits,
    Reserved,
    evolve,
    held_up,
    open_budget,
    release,
    release_run,
    reserve,
    settle,
    spend_time,
)
from ..events.envelope import Meta
from ..events.errors import BudgetExceeded
from ..events.message import Usage
from .entity import Fold
from .host import Host
from .partition import PartitionActor
from .runtime import AskTimeout, Reply
from .services import Scopes, Services

FOLD: Fold[Budget] = Fold(Budget, evolve, SNAPSHOT)


class SetLimits(Struct, frozen=True):
    """The caps from now on. Answers None when they are on disk."""

    limits: Limits
    cause: Meta


class Reserve(Struct, frozen=True):
    """Set aside for one call, under these caps; answers None when it is on disk, or with `BudgetExceeded`.

    While only the reservations of other calls are in the way, the answer waits until they are settled.
    """

    asked: Reserved
    limits: Limits
    cause: Meta


class Settle(Struct, frozen=True):
    """What a call used. Answers None when it is on disk."""

    call_id: str
    usage: Usage
    cause: Meta


class Release(Struct, frozen=True):
    """Give a reservation back. Answers None when it is on disk."""

    call_id: str
    reason: str
    cause: Meta


class ReleaseRun(Struct, frozen=True):
    """Give back all that a run holds. Answers None when it is on disk."""

    run_id: str
    reason: str
    cause: Meta


class SpendTime(Struct, frozen=True):
    """How long a run has taken. Answers None when it is on disk."""

    run_id: str
    seconds: float
    cause: Meta


class AskBudget(Struct, frozen=True):
    """Answers with the `Budget` state, to be read only."""


class LookAgain(Struct, frozen=True):
    """Read what other processes have settled, and let in who waits."""


LOOK_EVERY_S = 0.1

BudgetMessage = SetLimits | Reserve | Settle | Release | ReleaseRun | SpendTime | LookAgain | AskBudget


class BudgetActor(PartitionActor[Budget]):
    """One scope's caps. See `PartitionActor` for its phases."""

    def __init__(self, services: Services, stream: str) -> None:
        super().__init__(services, stream, FOLD)
        self._scope = stream.removeprefix("budget-")
        self._waiting: dict[str, tuple[Reserve, Reply[None]]] = {}

    async def on_receive(self, message: BudgetMessage) -> Any:
        match message:
            case SetLimits(limits, cause):
                await self._commit(lambda state: open_budget(limits, state), cause)
            case Reserve(_, limits, cause):
                await self._commit(lambda state: open_budget(limits, state), cause)
                return await self._reserve(message)
            case Settle(call_id, usage, cause):
                await self._commit(lambda state: settle(call_id, usage, state), cause)
                await self._let_in()
            case Release(call_id, reason, cause):
                self._waiting.pop(call_id, None)
                await self._commit(lambda state: release(call_id, reason, state), cause)
                await self._let_in()
            case ReleaseRun(run_id, reason, cause):
                await self._commit(lambda state: release_run(run_id, reason, state), cause)
                await self._let_in()
            case SpendTime(run_id, seconds, cause):
                await self._commit(lambda state: spend_time(run_id, seconds, state), cause)
            case LookAgain():
                await self._entity.refresh()
                await self._let_in()
            case AskBudget():
                return self._state

    def can_passivate(self) -> bool:
        return not self._waiting and super().can_passivate()

    async def _reserve(self, message: Reserve) -> Reply[None] | None:
        asked = message.asked
        try:
            await self._commit(partial(reserve, self._scope, asked), message.cause)
        except BudgetExceeded:
            if not held_up(self._scope, asked, self._state):
                raise
            reply: Reply[None] = Reply(self.address)
            if not self._waiting:
                self.spawn(self._look(), name=f"waiting for {self.address}")
            self._waiting[asked.call_id] = message, reply
            return reply
        return None

    async def _look(self) -> None:
        """Another process may hold the reservations: its settling is seen by reading."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if not self._waiting:
                return
            self.ref.tell(LookAgain())

    async def _let_in(self) -> None:
        """There may be room now: those who wait are let in, or told that there will be none, in their order."""
        for message, reply in tuple(self._waiting.values()):
            asked = message.asked
            try:
                # With the cause of who waited, not of whose settling made the room.
                await self._commit(partial(reserve, self._scope, asked), message.cause)
            except BudgetExceeded as exc:
                if held_up(self._scope, asked, self._state):
                    return
                reply.set_exception((type(exc), exc, exc.__traceback__))
            else:
                reply.set(None)
            self._waiting.pop(asked.call_id, None)


WAIT_S = 60.0
"""How long a call waits for the reservations of others; those of a process that died are settled when it is resumed."""


class Budgets:
    """`BudgetPort` by asking the scopes' budget actors."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def reserve(self, scopes: Scopes, call_id: str, most: Usage, cause: Meta) -> None:
        asked = Reserved(
            call_id=call_id,
            run_id=cause.run_id,
            input_tokens=most.input_tokens,
            output_tokens=most.output_tokens,
            cost_usd=most.cost_usd,
        )
        tried: list[str] = []
        try:
            for scope, limits in scopes:
                tried.append(scope)
                await self._ask(scope, Reserve(asked, limits, cause))
        except BudgetExceeded as exc:
            for scope in tried[:-1]:
                await self._host.budget(scope).ask(Release(call_id, f"budget {exc.scope!r} refused", cause))
            raise
        except BaseException:
            # Cancelled, or the journal failed: who asked will not settle. The last may hold it or not; told
            # after it was asked, it gives back what it holds.
            for scope in tried:
                self._host.budget(scope).tell(Release(call_id, "the reservation was given up", cause))
            raise

    async def _ask(self, scope: str, message: Reserve) -> None:
        wait_s = self._host.services.patience_s or WAIT_S
        try:
            await self._host.budget(scope).ask(message, wait_s)
        except AskTimeout as exc:
            asked = message.asked
            self._host.budget(scope).tell(Release(asked.call_id, "it waited too long for others", message.cause))
            tokens = asked.input_tokens + asked.output_tokens
            raise BudgetExceeded(
                scope, f"what other calls hold for {wait_s:g} s now (patience_s of the system)", tokens, 0
            ) from exc

    async def settle(self, scopes: Scopes, call_id: str, usage: Usage, cause: Meta) -> None:
        for scope, _ in scopes:
            await self._host.budget(scope).ask(Settle(call_id, usage, cause))

    async def release(self, scopes: Scopes, call_id: str, reason: str, cause: Meta) -> None:
        for scope, _ in scopes:
            await self._host.budget(scope).ask(Release(call_id, reason, cause))

    async def release_run(self, scopes: Scopes, reason: str, cause: Meta) -> None:
        for scope, _ in scopes:
            await self._host.budget(scope).ask(ReleaseRun(cause.run_id, reason, cause))

    async def spend_time(self, scopes: Scopes, seconds: float, cause: Meta) -> None:
        for scope, _ in scopes:
            await self._host.budget(scope).ask(SpendTime(cause.run_id, seconds, cause))
