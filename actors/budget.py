"""The budget actor of one scope, and the port that runs are charged through."""

from typing import Any

from msgspec import Struct

from ..events.budget import (
    SNAPSHOT,
    Budget,
    Limits,
    Reserved,
    evolve,
    open_budget,
    release,
    reserve,
    settle,
    spend_time,
)
from ..events.errors import BudgetExceeded
from ..events.message import Usage
from .entity import Fold
from .host import Host
from .partition import PartitionActor
from .services import Scopes, Services

FOLD: Fold[Budget] = Fold(Budget, evolve, SNAPSHOT)


class SetLimits(Struct, frozen=True):
    """The caps from now on. Answers None when they are on disk."""

    limits: Limits


class Reserve(Struct, frozen=True):
    """Set aside for one call, under these caps; answers None when it is on disk, or with `BudgetExceeded`."""

    asked: Reserved
    limits: Limits


class Settle(Struct, frozen=True):
    """What a call used. Answers None when it is on disk."""

    call_id: str
    usage: Usage


class Release(Struct, frozen=True):
    """Give a reservation back. Answers None when it is on disk."""

    call_id: str
    reason: str


class SpendTime(Struct, frozen=True):
    """How long a run has taken. Answers None when it is on disk."""

    run_id: str
    seconds: float


class AskBudget(Struct, frozen=True):
    """Answers with the `Budget` state, to be read only."""


BudgetMessage = SetLimits | Reserve | Settle | Release | SpendTime | AskBudget


class BudgetActor(PartitionActor[Budget]):
    """One scope's caps. See `PartitionActor` for its phases."""

    def __init__(self, services: Services, stream: str) -> None:
        super().__init__(services, stream, FOLD)
        self._scope = stream.removeprefix("budget-")

    async def on_receive(self, message: BudgetMessage) -> Any:
        match message:
            case SetLimits(limits):
                await self._commit(lambda state: open_budget(limits, state))
            case Reserve(asked, limits):
                await self._commit(lambda state: open_budget(limits, state))
                await self._commit(lambda state: reserve(self._scope, asked, state))
            case Settle(call_id, usage):
                await self._commit(lambda state: settle(call_id, usage, state))
            case Release(call_id, reason):
                await self._commit(lambda state: release(call_id, reason, state))
            case SpendTime(run_id, seconds):
                await self._commit(lambda state: spend_time(run_id, seconds, state))
            case AskBudget():
                return self._state


class Budgets:
    """`BudgetPort` by asking the scopes' budget actors."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def reserve(self, scopes: Scopes, call_id: str, run_id: str, tokens_in: int, tokens_out: int) -> None:
        asked = Reserved(call_id=call_id, run_id=run_id, input_tokens=tokens_in, output_tokens=tokens_out)
        tried: list[str] = []
        try:
            for scope, limits in scopes:
                tried.append(scope)
                await self._host.budget(scope).ask(Reserve(asked, limits))
        except BudgetExceeded as exc:
            for scope in tried[:-1]:
                await self._host.budget(scope).ask(Release(call_id, f"budget {exc.scope!r} refused"))
            raise
        except BaseException:
            # Cancelled, or the journal failed: who asked will not settle. The last may hold it or not; told
            # after it was asked, it gives back what it holds.
            for scope in tried:
                self._host.budget(scope).tell(Release(call_id, "the reservation was given up"))
            raise

    async def settle(self, scopes: Scopes, call_id: str, usage: Usage) -> None:
        for scope, _ in scopes:
            await self._host.budget(scope).ask(Settle(call_id, usage))

    async def release(self, scopes: Scopes, call_id: str, reason: str) -> None:
        for scope, _ in scopes:
            await self._host.budget(scope).ask(Release(call_id, reason))

    async def spend_time(self, scopes: Scopes, run_id: str, seconds: float) -> None:
        for scope, _ in scopes:
            await self._host.budget(scope).ask(SpendTime(run_id, seconds))
