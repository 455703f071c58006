"""A budget: caps on tokens, cost and wall clock of one scope. Stream `budget-<scope>`.

Reserve before a model call, settle after it, release when it failed. What is reserved counts as spent until it
is settled, so runs that go on at the same time cannot pass a cap together.
"""

from typing import TypeAlias

from msgspec import Struct, field, structs

from .envelope import StreamName
from .errors import BudgetExceeded
from .event import Event
from .message import Usage

CATEGORY = "budget"


def budget_stream(scope: str) -> StreamName:
    return StreamName(f"budget-{scope}")


class Limits(Struct, frozen=True, omit_defaults=True):
    """Caps; None is no cap.

    Attributes:
        max_tokens: Input and output, cached ones included.
        max_cost_usd: US dollars.
        max_wall_clock_s: Seconds that runs may take, added up.
        soft_warning_at: The share of a cap from which on a warning is recorded.
    """

    max_tokens: int | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    max_cost_usd: float | None = None
    max_wall_clock_s: float | None = None
    soft_warning_at: float = 0.8


class Scope(Struct, frozen=True):
    """A budget by its name, and the caps that hold in it for whoever names it."""

    name: str
    limits: Limits


# --- events ----------------------------------------------------------------------------------------------------------


class Opened(Event, tag="budget.opened"):
    """The caps that hold from now on."""

    limits: Limits


class Reserved(Event, tag="budget.reserved"):
    """Set aside for one model call, before the call is sent."""

    call_id: str
    run_id: str
    input_tokens: int
    output_tokens: int
    cost_usd: float = 0.0


class Settled(Event, tag="budget.settled"):
    """What the call used in truth; it replaces the reservation."""

    call_id: str
    usage: Usage


class Released(Event, tag="budget.released"):
    """The call was not made, or failed without being charged."""

    call_id: str
    reason: str


class Warned(Event, tag="budget.warned"):
    """A cap is near; recorded once for each cap."""

    limit: str
    used: float
    cap: float


class TimeSpent(Event, tag="budget.time_spent"):
    """A run has ended after so many seconds; counted once for each run and activation."""

    run_id: str
    seconds: float


BudgetEvent: TypeAlias = Opened | Reserved | Settled | Released | Warned | TimeSpent


# --- state -----------------------------------------------------------------------------------------------------------


class Budget(Struct):
    """The fold of a budget. Owned by one activation; `evolve` changes it in place."""

    limits: Limits = Limits()
    reserved: dict[str, Reserved] = field(default_factory=dict[str, Reserved])
    used: Usage = Usage()
    settled: int = 0
    dearest_usd: float = 0.0
    wall_clock_s: float = 0.0
    warned: set[str] = field(default_factory=set[str])
    timed: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def reserved_input_tokens(self) -> int:
        return sum(held.input_tokens for held in self.reserved.values())

    @property
    def reserved_output_tokens(self) -> int:
        return sum(held.output_tokens for held in self.reserved.values())

    @property
    def reserved_cost_usd(self) -> float:
        return sum(held.cost_usd for held in self.reserved.values())


SNAPSHOT = "budget/2"
_KEPT_TIMES = 1000


def evolve(state: Budget, event: Event) -> Budget:
    match event:
        case Opened(limits):
            state.limits = limits
        case Reserved():
            state.reserved[event.call_id] = event
        case Settled(call_id, usage):
            state.reserved.pop(call_id, None)
            state.used += usage
            state.settled += 1
            state.dearest_usd = max(state.dearest_usd, usage.cost_usd)
        case Released(call_id):
            state.reserved.pop(call_id, None)
        case Warned(limit):
            state.warned.add(limit)
        case TimeSpent(run_id, seconds):
            state.wall_clock_s += seconds - state.timed.get(run_id, 0.0)
            state.timed[run_id] = seconds
            if len(state.timed) > _KEPT_TIMES:
                del state.timed[next(iter(state.timed))]
        case _:
            pass
    return state


# --- decisions -------------------------------------------------------------------------------------------------------


def open_budget(limits: Limits, state: Budget) -> list[Opened]:
    """The caps; nothing when they are these already."""
    return [] if state.limits == limits else [Opened(limits=limits)]


def reserve(scope: str, asked: Reserved, state: Budget) -> list[Reserved | Warned]:
    """Set tokens and money aside for one call. Asking twice for a call reserves once.

    Raises:
        BudgetExceeded: A cap would be passed; nothing is reserved.
    """
    if asked.call_id in state.reserved:
        return []
    asked = _priced(asked, state)
    warnings: list[Reserved | Warned] = []
    for limit, cap, used, more in _caps(asked, state):
        if used + more > cap or used >= cap:
            raise BudgetExceeded(scope, f"{limit}={cap:g}", more, max(cap - used, 0))
        if limit not in state.warned and used + more >= cap * state.limits.soft_warning_at:
            warnings.append(Warned(limit=limit, used=used + more, cap=cap))
    return [asked, *warnings]


def held_up(scope: str, asked: Reserved, state: Budget) -> bool:
    """Whether only what other calls have set aside stands in the way: when they are settled there may be room."""
    if not state.reserved:
        return False
    try:
        reserve(scope, asked, structs.replace(state, reserved={}))
    except BudgetExceeded:
        return False
    return True


def _priced(asked: Reserved, state: Budget) -> Reserved:
    """What a call may cost, where money is capped and nobody can say: as much as the dearest so far; the first, all."""
    cap = state.limits.max_cost_usd
    if cap is None or asked.cost_usd:
        return asked
    free = max(cap - state.used.cost_usd - state.reserved_cost_usd, 0.0)
    return structs.replace(asked, cost_usd=state.dearest_usd if state.settled else free)


def _caps(asked: Reserved, state: Budget) -> list[tuple[str, float, float, float]]:
    """Name, cap, used and reserved so far, and asked for, of each cap there is."""
    limits, used = state.limits, state.used
    rows = [
        (
            "max_tokens",
            limits.max_tokens,
            used.total_tokens + state.reserved_input_tokens + state.reserved_output_tokens,
            asked.input_tokens + asked.output_tokens,
        ),
        (
            "max_input_tokens",
            limits.max_input_tokens,
            used.total_tokens - used.output_tokens + state.reserved_input_tokens,
            asked.input_tokens,
        ),
        (
            "max_output_tokens",
            limits.max_output_tokens,
            used.output_tokens + state.reserved_output_tokens,
            asked.output_tokens,
        ),
        ("max_cost_usd", limits.max_cost_usd, used.cost_usd + state.reserved_cost_usd, asked.cost_usd),
        ("max_wall_clock_s", limits.max_wall_clock_s, state.wall_clock_s, 0.0),
    ]
    return [(name, cap, spent, more) for name, cap, spent, more in rows if cap is not None]


def settle(call_id: str, usage: Usage, state: Budget) -> list[Settled]:
    """What the call used; nothing when it holds no reservation, so it is charged once."""
    return [Settled(call_id=call_id, usage=usage)] if call_id in state.reserved else []


def release(call_id: str, reason: str, state: Budget) -> list[Released]:
    """Give a reservation back; nothing when there is none."""
    return [Released(call_id=call_id, reason=reason)] if call_id in state.reserved else []


def release_run(run_id: str, reason: str, state: Budget) -> list[Released]:
    """Give back all that a run has set aside; nothing when that is nothing."""
    return [Released(call_id=held.call_id, reason=reason) for held in state.reserved.values() if held.run_id == run_id]


def spend_time(run_id: str, seconds: float, state: Budget) -> list[TimeSpent]:
    """How long a run has taken so far; nothing when no more than was counted."""
    return [TimeSpent(run_id=run_id, seconds=seconds)] if seconds > state.timed.get(run_id, 0.0) else []
