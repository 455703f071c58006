"""Treadle: LLM agents as event-sourced actors over NATS.

    from treadle import Agent, tool

    agent = Agent("You are a helpful assistant.", model="echo")
    result = await agent.run("Tell me a joke.")

Names are loaded when they are used, so that importing treadle stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .actors.context import CallContext, RunContext, current_call, get_run_context, set_run_context
    from .actors.generation import Generation
    from .actors.model import ModelChunk
    from .actors.model_errors import (
        AuthenticationError,
        BadReply,
        CircuitOpen,
        ConnectionFailed,
        ContentFilterError,
        InvalidRequestError,
        ModelError,
        ModelTimeout,
        OutputValidationError,
        OverloadedError,
        PermanentModelError,
        QuotaExceeded,
        RateLimitError,
        RequestRefused,
        ServerError,
        TransientModelError,
        TruncatedAnswer,
        UnknownModel,
    )
    from .actors.quality import QualityGate, QualityResult
    from .actors.result import RunResult
    from .actors.retry import RetryPolicy
    from .actors.run_until import RunUntil
    from .actors.session import NothingToResume
    from .actors.spec import ApprovalQuestion
    from .actors.steps import Steps, ToolResult
    from .actors.stop_hooks import StopContext, StopHook, StopHookResult
    from .actors.strategies import ARCHITECTURES, Architecture, ReAct
    from .actors.tool import Tool
    from .actors.workflow.graph import END, START
    from .events.budget import Limits
    from .events.errors import (
        AppendUncertain,
        BudgetExceeded,
        ConfigError,
        CorruptEvent,
        Fenced,
        JournalTooNew,
        NotFound,
        Owned,
        ReadOnly,
        ReplayDivergence,
        RunError,
        RunTimeout,
        TreadleError,
        Unavailable,
        VersionConflict,
    )
    from .events.fork import NotAForkPoint
    from .events.message import Image, Message, ModelReply, ToolCall, ToolSpec, Usage
    from .events.plan import LivingPlan, LivingPlanStep
    from .events.redaction import redact, redaction
    from .events.run import RunState
    from .events.signal import RuntimeSignal
    from .events.workspace import Note
    from .events.workspace_rules import NoteRefused
    from .gateways.agent import Agent
    from .gateways.blackboard import Blackboard
    from .gateways.cassettes import Cassette, NotOnCassette
    from .gateways.delegation import delegate
    from .gateways.handoff import Handoff
    from .gateways.memory import Memory
    from .gateways.models.classify import classify_model_error
    from .gateways.models.echo import EchoModel
    from .gateways.models.facade import Model
    from .gateways.models.fallback import FallbackModel
    from .gateways.models.prices import Price, price_of, use_prices
    from .gateways.models.providers import register_provider
    from .gateways.models.scripted import FunctionModel, ScriptedModel, ScriptedTurn
    from .gateways.models.secrets import DictSecrets, EnvSecrets, Secrets
    from .gateways.run_event import Event
    from .gateways.run_handle import Run, Session
    from .gateways.system import System
    from .gateways.team import Team
    from .gateways.timers import Timer
    from .gateways.tools.function import tool
    from .gateways.tuning import Tuning
    from .gateways.vectors.hashing import HashEmbedder
    from .gateways.workers.remote_tool import remote
    from .gateways.workers.worker import Worker
    from .gateways.workflow import Workflow
    from .gateways.workflow_nodes import step
    from .gateways.workflow_result import WorkflowFailed, WorkflowResult
    from .gateways.workspace import Workspace
    from .gateways.workspace_kinds import InMemoryWorkspace, LocalDiskWorkspace

_NAMES = {
    "actors.context": ("CallContext", "RunContext", "current_call", "get_run_context", "set_run_context"),
    "actors.generation": ("Generation",),
    "actors.model": ("ModelChunk",),
    "actors.model_errors": (
        "AuthenticationError",
        "BadReply",
        "CircuitOpen",
        "ConnectionFailed",
        "ContentFilterError",
        "InvalidRequestError",
        "ModelError",
        "ModelTimeout",
        "OutputValidationError",
        "OverloadedError",
        "PermanentModelError",
        "QuotaExceeded",
        "RateLimitError",
        "RequestRefused",
        "ServerError",
        "TransientModelError",
        "TruncatedAnswer",
        "UnknownModel",
    ),
    "actors.quality": ("QualityGate", "QualityResult"),
    "actors.result": ("RunResult",),
    "actors.retry": ("RetryPolicy",),
    "actors.run_until": ("RunUntil",),
    "actors.session": ("NothingToResume",),
    "actors.spec": ("ApprovalQuestion",),
    "actors.steps": ("Steps", "ToolResult"),
    "actors.stop_hooks": ("StopContext", "StopHook", "StopHookResult"),
    "actors.strategies": ("ARCHITECTURES", "Architecture", "ReAct"),
    "actors.tool": ("Tool",),
    "actors.workflow.graph": ("END", "START"),
    "events.budget": ("Limits",),
    "events.errors": (
        "AppendUncertain",
        "BudgetExceeded",
        "ConfigError",
        "CorruptEvent",
        "Fenced",
        "JournalTooNew",
        "NotFound",
        "Owned",
        "ReadOnly",
        "ReplayDivergence",
        "RunError",
        "RunTimeout",
        "TreadleError",
        "Unavailable",
        "VersionConflict",
    ),
    "events.fork": ("NotAForkPoint",),
    "events.message": ("Image", "Message", "ModelReply", "ToolCall", "ToolSpec", "Usage"),
    "events.plan": ("LivingPlan", "LivingPlanStep"),
    "events.redaction": ("redact", "redaction"),
    "events.run": ("RunState",),
    "events.signal": ("RuntimeSignal",),
    "events.workspace": ("Note",),
    "events.workspace_rules": ("NoteRefused",),
    "gateways.agent": ("Agent",),
    "gateways.blackboard": ("Blackboard",),
    "gateways.cassettes": ("Cassette", "NotOnCassette"),
    "gateways.delegation": ("delegate",),
    "gateways.handoff": ("Handoff",),
    "gateways.memory": ("Memory",),
    "gateways.models.classify": ("classify_model_error",),
    "gateways.models.echo": ("EchoModel",),
    "gateways.models.facade": ("Model",),
    "gateways.models.fallback": ("FallbackModel",),
    "gateways.models.prices": ("Price", "price_of", "use_prices"),
    "gateways.models.providers": ("register_provider",),
    "gateways.models.scripted": ("FunctionModel", "ScriptedModel", "ScriptedTurn"),
    "gateways.models.secrets": ("DictSecrets", "EnvSecrets", "Secrets"),
    "gateways.run_event": ("Event",),
    "gateways.run_handle": ("Run", "Session"),
    "gateways.system": ("System",),
    "gateways.team": ("Team",),
    "gateways.timers": ("Timer",),
    "gateways.tools.function": ("tool",),
    "gateways.tuning": ("Tuning",),
    "gateways.vectors.hashing": ("HashEmbedder",),
    "gateways.workers.remote_tool": ("remote",),
    "gateways.workers.worker": ("Worker",),
    "gateways.workflow": ("Workflow",),
    "gateways.workflow_nodes": ("step",),
    "gateways.workflow_result": ("WorkflowFailed", "WorkflowResult"),
    "gateways.workspace": ("Workspace",),
    "gateways.workspace_kinds": ("InMemoryWorkspace", "LocalDiskWorkspace"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__version__ = "0.1.0"

__all__ = [
    "ARCHITECTURES",
    "END",
    "START",
    "Agent",
    "AppendUncertain",
    "ApprovalQuestion",
    "Architecture",
    "AuthenticationError",
    "BadReply",
    "Blackboard",
    "BudgetExceeded",
    "CallContext",
    "Cassette",
    "CircuitOpen",
    "ConfigError",
    "ConnectionFailed",
    "ContentFilterError",
    "CorruptEvent",
    "DictSecrets",
    "EchoModel",
    "EnvSecrets",
    "Event",
    "FallbackModel",
    "Fenced",
    "FunctionModel",
    "Generation",
    "Handoff",
    "HashEmbedder",
    "Image",
    "InMemoryWorkspace",
    "InvalidRequestError",
    "JournalTooNew",
    "Limits",
    "LivingPlan",
    "LivingPlanStep",
    "LocalDiskWorkspace",
    "Memory",
    "Message",
    "Model",
    "ModelChunk",
    "ModelError",
    "ModelReply",
    "ModelTimeout",
    "NotAForkPoint",
    "NotFound",
    "NotOnCassette",
    "Note",
    "NoteRefused",
    "NothingToResume",
    "OutputValidationError",
    "OverloadedError",
    "Owned",
    "PermanentModelError",
    "Price",
    "QualityGate",
    "QualityResult",
    "QuotaExceeded",
    "RateLimitError",
    "ReAct",
    "ReadOnly",
    "ReplayDivergence",
    "RequestRefused",
    "RetryPolicy",
    "Run",
    "RunContext",
    "RunError",
    "RunResult",
    "RunState",
    "RunTimeout",
    "RunUntil",
    "RuntimeSignal",
    "ScriptedModel",
    "ScriptedTurn",
    "Secrets",
    "ServerError",
    "Session",
    "Steps",
    "StopContext",
    "StopHook",
    "StopHookResult",
    "System",
    "Team",
    "Timer",
    "Tool",
    "ToolCall",
    "ToolResult",
    "ToolSpec",
    "TransientModelError",
    "TreadleError",
    "TruncatedAnswer",
    "Tuning",
    "Unavailable",
    "UnknownModel",
    "Usage",
    "VersionConflict",
    "Worker",
    "Workflow",
    "WorkflowFailed",
    "WorkflowResult",
    "Workspace",
    "classify_model_error",
    "current_call",
    "delegate",
    "get_run_context",
    "price_of",
    "redact",
    "redaction",
    "register_provider",
    "remote",
    "set_run_context",
    "step",
    "tool",
    "use_prices",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'treadle' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
