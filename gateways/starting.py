"""A prompt that nobody waits for: its run is begun, and the caller has the handle of it."""

import asyncio
from typing import TYPE_CHECKING

from ..actors.context import RunContext
from ..actors.manner import Manner
from ..actors.run_actor import StartRun
from ..actors.run_history import RunRequest
from ..actors.session_messages import Prompt
from ..actors.spec import AgentSpec
from .run_handle import Run

if TYPE_CHECKING:
    from .node import Node


def start_prompt(node: "Node", spec: AgentSpec, prompt: str, context: RunContext, manner: Manner) -> Run:
    """Begin a run on `node`, in its turn when it belongs to a session."""
    run_id = context.run_id or node.clock.new_id()
    if context.session_id:
        ref = node.host.session(context.user_id, spec.name, context.session_id)
        asking = ref.ask(Prompt(spec=spec, prompt=prompt, run_id=run_id, context=context, manner=manner))
    else:
        ref = None
        given = context if context.metadata or context.shown else None
        request = RunRequest(run_id=run_id, prompt=prompt, user_id=context.user_id, context=given, manner=manner)
        asking = node.host.run(run_id).ask(StartRun(spec, request))
    answer = asyncio.ensure_future(asking)
    # Nobody need wait for a started run; its failure is in the journal.
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())
    return Run(node, run_id, answer, ref)
