"""What an agent is, normalised: the one form behind everything that users may write (see `gateways/agent.py`)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct

from ..events.budget import Limits
from ..events.message import ToolCall
from ..events.workspace import Joined
from .manner import PLAIN, Manner
from .model import Model
from .retry import RetryPolicy
from .tool import Tool

if TYPE_CHECKING:
    from .gate import Gate
    from .living_plan import LivingPlanPolicy
    from .strategies.architecture import Architecture

ApprovalHandler = Callable[["ApprovalQuestion"], "bool | Awaitable[bool]"]


class ApprovalQuestion(Struct, frozen=True):
    """A call that needs a yes.

    Attributes:
        reason: `destructive` and `permission` before the first attempt; `unknown_outcome` when an earlier attempt
            may have happened, and yes means doing it again.
    """

    call_id: str
    tool: str
    args: Mapping[str, Any]
    reason: Literal["destructive", "permission", "unknown_outcome"]
    run_id: str
    session_id: str
    user_id: str
    agent: str

    @property
    def call(self) -> ToolCall:
        return ToolCall(self.call_id, self.tool, dict(self.args))


class SharedWorkspace(Protocol):
    """A workspace as agents share it (`gateways/workspace.py`)."""

    @property
    def joined(self) -> Joined | None:
        """What a run records of it; None when only who has this object can open it."""
        ...

    def given_to(
        self, spec: "AgentSpec", role: str, teammates: Sequence[str] = (), plan: tuple[str, str] | None = None
    ) -> "AgentSpec":
        """The agent with the workspace, in which it writes as `role`; unchanged if it has one of its own.

        Args:
            plan: The plan that its notes belong to unless it has its own, and the step there; None: as this one's.
        """
        ...


class AgentSpec(Struct, frozen=True, kw_only=True):
    """An agent.

    Attributes:
        approvals: Who answers when a tool asks: `deny` refuses, `allow` permits, `wait` parks the run until somebody
            approves it from outside, a function decides. A call whose outcome is unknown is never decided by
            `allow` or `deny`: it waits, unless a function answers.
        max_turns: Model calls in one run; the run is interrupted after them.
        timeout_s: Seconds that one activation of a run may work, waiting for approvals included; None: no limit.
        model_timeout_s: Seconds that one model call may take.
        approval_timeout_s: Seconds after which an approval that nobody has answered is a no; None: it waits.
        retry: What is done about a model call that failed and may succeed later.
        manner: How it answers, where a run does not say otherwise.
        living_plan: How it plans; None: it has no plan.
        gates: What its answers have to pass, in this order.
        budget: Caps for all runs of this agent together; `budget_per_user` for those of each user.
        workspace: Notes that it shares with the agents that it asks.
    """

    name: str
    model: Model
    instructions: str = ""
    tools: Mapping[str, Tool] = {}
    architecture: "Architecture"
    approvals: Literal["deny", "allow", "wait"] | ApprovalHandler = "deny"
    max_turns: int = 50
    timeout_s: float | None = None
    model_timeout_s: float | None = 600.0
    approval_timeout_s: float | None = None
    budget: Limits | None = None
    budget_per_user: Limits | None = None
    memory: bool = False
    workspace: SharedWorkspace | None = None
    options: Mapping[str, Any] = {}
    retry: RetryPolicy = RetryPolicy()
    manner: Manner = PLAIN
    living_plan: "LivingPlanPolicy | None" = None
    gates: "tuple[Gate, ...]" = ()
