"""What `Agent` takes, in one piece: for functions that make agents and hand on what they are given."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from ..actors.generation import Generation
from ..actors.quality import QualityGate
from ..actors.retry import RetryPolicy
from ..actors.run_until import RunUntil
from ..actors.spec import ApprovalHandler
from ..actors.stop_hooks import StopHook
from ..events.budget import Limits
from .models.secrets import Secrets
from .tuning import Tuning
from .workspace import Workspace


class AgentOptions(TypedDict, total=False):
    """As the arguments of `Agent` of the same names, without `architecture`."""

    instructions: str
    model: Any
    name: str | None
    tools: Sequence[Any]
    runtime: str | None
    approval_handler: Literal["allow", "deny", "wait"] | ApprovalHandler | None
    budget: Limits | None
    budget_per_user: Limits | None
    memory: bool
    max_turns: int
    timeout_s: float | None
    model_timeout_s: float | None
    approval_timeout_s: float | None
    timeout: float | None
    generation: Generation | None
    options: Mapping[str, Any] | None
    retry_policy: RetryPolicy | None
    output_schema: Any
    output_validation_retries: int | None
    response_tone: str | None
    living_plan: Any
    stop_hooks: Sequence[StopHook] | None
    run_until: str | RunUntil | Mapping[str, Any] | None
    quality: QualityGate | Sequence[str] | Mapping[str, Any] | None
    tuning: Tuning | None
    secrets: Secrets | None
    workspace: Workspace | str | bool | None
