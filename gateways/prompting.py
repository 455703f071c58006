"""A prompt on its way to its run: in a session or by itself, with its caller waiting, reading along, or leaving."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ..actors.children import Children, HasSpec, Question, spec_of
from ..actors.context import RunContext
from ..actors.feed import Feed
from ..actors.manner import Manner
from ..actors.result import RunResult
from ..actors.run_actor import Abandon, StartRun
from ..actors.run_history import RunRequest
from ..actors.runtime import ActorDead, Ref, Reply
from ..actors.session_messages import AbandonPrompt, Prompt
from ..actors.spec import AgentSpec
from ..events.errors import Unavailable
from ..events.message import Image
from .arguments import check_mapping

if TYPE_CHECKING:
    from .node import Node

_LEAVING_S = 5.0  # how long a cancelled caller waits for the note that its run is suspended
_NO_CONTEXT = RunContext()


def context_of(
    context: RunContext | None, user_id: str | None, session_id: str | None, metadata: Mapping[str, Any] | None
) -> RunContext:
    """The context of a run: `context`, with what the caller says beside it."""
    given = context or _NO_CONTEXT
    if user_id is None and session_id is None and metadata is None:
        return given
    if metadata is not None:
        check_mapping("metadata", metadata)
    return RunContext(
        user_id=given.user_id if user_id is None else user_id,
        session_id=given.session_id if session_id is None else session_id,
        run_id=given.run_id,
        metadata=given.metadata if metadata is None else {**given.metadata, **metadata},
        inputs=given.inputs,
        knowledge=given.knowledge,
        extensions=given.extensions,
    )


async def run_prompt(
    node: "Node",
    spec: AgentSpec,
    prompt: str,
    context: RunContext,
    manner: Manner,
    *,
    images: tuple[Image, ...] = (),
    feed: Feed | None = None,
) -> RunResult:
    """Run a prompt on `node`, in its turn when it belongs to a session; what came of it."""
    run_id = context.run_id or node.clock.new_id()
    if not context.session_id:
        ref = node.host.run(run_id)
        given = context if context.metadata or context.shown else None
        request = RunRequest(
            run_id=run_id, prompt=prompt, images=images, user_id=context.user_id, context=given, manner=manner
        )
        return await unless_cancelled(ref.ask(StartRun(spec, request, feed=feed)), ref, Abandon())
    ref = node.host.session(context.user_id, spec.name, context.session_id)
    message = Prompt(
        spec=spec, prompt=prompt, images=images, run_id=run_id, context=context, manner=manner, feed=feed
    )  # fmt: skip
    return await unless_cancelled(ref.ask(message), ref, AbandonPrompt(run_id))


async def run_nested(
    asking: Children, agent: HasSpec, prompt: str, context: RunContext, manner: Manner, images: tuple[Image, ...]
) -> RunResult:
    """Run a prompt for the tool that this code runs in: a child of its call, on the system of its run."""
    question = Question(
        prompt=prompt, images=images, session_id=context.session_id, context=context, manner=manner
    )  # fmt: skip
    return await asking.nested(spec_of(agent), question)


async def unless_cancelled(asking: Reply[RunResult], ref: Ref, abandon: Any) -> RunResult:
    """The answer. A caller that is cancelled leaves a run behind that is suspended, and says so on disk."""
    try:
        return await asking
    except asyncio.CancelledError:
        leaving = asyncio.ensure_future(ref.ask(abandon))
        leaving.add_done_callback(lambda left: left.cancelled() or left.exception())
        await asyncio.wait((leaving,), timeout=_LEAVING_S)
        raise
    except ActorDead as exc:
        raise Unavailable("the system of this agent", "it was closed; `resume` continues a run that is open") from exc


@asynccontextmanager
async def beside(run: Coroutine[Any, Any, RunResult], feed: Feed) -> AsyncGenerator[None]:
    """Run it beside the block, which reads `feed` to its end; then raise what it raised. Leaving early suspends it."""
    running = asyncio.ensure_future(run)

    def ended(done: "asyncio.Future[RunResult]") -> None:
        feed.end()
        if not done.cancelled():
            done.exception()  # raised below, unless the reader has left or was told already

    running.add_done_callback(ended)
    try:
        yield
        await running
    finally:
        feed.abandon()
        if not running.done():
            running.cancel()
            await asyncio.wait((running,))
