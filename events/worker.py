"""A worker: serves prompts that runs delegate to it. Stream `worker-<name>`.

A task's id is the delegating call's id, and its run id is derived from it: a task that is asked for twice, by a run
that was resumed or a network that repeats itself, is done once and answered twice.
"""

from typing import Any, TypeAlias

from msgspec import Struct, field

from .budget import Scope
from .envelope import StreamName
from .event import Event
from .fork_terms import ForkTerms
from .message import Image, Message, OutputFormat, Usage
from .run import RunState

CATEGORY = "worker"
KEPT_RESULTS = 1000


def worker_stream(name: str) -> StreamName:
    return StreamName(f"worker-{name}")


# --- events ----------------------------------------------------------------------------------------------------------


class TaskAccepted(Event, tag="worker.task_accepted"):
    """The worker will do this. `user_id` is the delegating run's, and the child run's; `budgets` are its as well.

    Attributes:
        session_id: The worker's conversation that this goes on with; empty for none.
        conversation: What came before the prompt, without a session.
        images: The pictures of the prompt.
        metadata: The delegating run's.
        tone: How the answer is to be phrased, where the worker's agent has no tone of its own; None: nothing is said.
        output: What the answer has to be, whatever the agent says; None: nothing is said.
        fork: The forked tree that the delegating run is a part of.
    """

    task_id: str
    run_id: str
    prompt: str
    user_id: str = ""
    parent_run_id: str = ""
    depth: int = 1
    budgets: tuple[Scope, ...] = ()
    session_id: str = ""
    conversation: tuple[Message, ...] = ()
    metadata: dict[str, Any] = {}
    images: tuple[Image, ...] = ()
    tone: str | None = None
    output: OutputFormat | None = None
    fork: ForkTerms | None = None


class TaskEnded(Event, tag="worker.task_ended"):
    """What came of it. `usage` is the child run's, with its own children."""

    task_id: str
    state: RunState
    output: str = ""
    error: str = ""
    turns: int = 0
    usage: Usage = Usage()


WorkerEvent: TypeAlias = TaskAccepted | TaskEnded


# --- state -----------------------------------------------------------------------------------------------------------


class Worker(Struct):
    """The fold of a worker: open tasks, newest results. Owned by one activation; `evolve` changes it in place."""

    open: dict[str, TaskAccepted] = field(default_factory=dict[str, TaskAccepted])
    ended: dict[str, TaskEnded] = field(default_factory=dict[str, TaskEnded])
    total: int = 0


SNAPSHOT = "worker/1"


def evolve(state: Worker, event: Event) -> Worker:
    match event:
        case TaskAccepted():
            state.total += 1
            state.open[event.task_id] = event
        case TaskEnded():
            state.open.pop(event.task_id, None)
            state.ended[event.task_id] = event
            while len(state.ended) > KEPT_RESULTS:
                del state.ended[next(iter(state.ended))]
        case _:
            pass
    return state


# --- decisions -------------------------------------------------------------------------------------------------------


def accept(task: TaskAccepted, state: Worker) -> list[TaskAccepted]:
    """A task, once."""
    return [] if task.task_id in state.open or task.task_id in state.ended else [task]


def call_off(ended: TaskEnded, state: Worker) -> list[TaskEnded]:
    """The end of a task that was not accepted yet, and is not wanted any more: it will not be."""
    return [] if ended.task_id in state.open or ended.task_id in state.ended else [ended]


def end(ended: TaskEnded, state: Worker) -> list[TaskEnded]:
    """A task's end, once."""
    return [ended] if ended.task_id in state.open else []
