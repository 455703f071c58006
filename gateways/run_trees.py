"""A run and all that it asked, read from the journal."""

from collections.abc import Sequence

from ..events.blackboard import blackboard_stream
from ..events.child_step import ChildRequested
from ..events.envelope import Recorded
from ..events.errors import NotFound
from ..events.journal import Journal
from ..events.run import run_stream
from ..events.run_tree import Branch, RunTree, questions_of
from ..events.session import session_stream


async def tree_of(journal: Journal, run_id: str) -> RunTree:
    """The streams of the run, of those that it asked, of theirs, and of what they share.

    They are read one after the other, while others may write to them. What has a position when this is called is in it.

    Raises:
        NotFound: The journal does not have the run.
    """
    branches: dict[str, Branch] = {}
    sessions: dict[str, Sequence[Recorded]] = {}
    asked: list[tuple[str, ChildRequested | None, str]] = [(run_id, None, "")]
    while asked:
        found, question, parent_id = asked.pop(0)
        history = await journal.read(run_stream(found))
        branch = Branch(found, question, parent_id, history, await journal.read(blackboard_stream(found)))
        branches[found] = branch
        if question is not None and branch.in_session and (started := branch.started) is not None:
            first = history[0]
            stream = session_stream(first.user_id, started.agent, first.session_id)
            if stream not in sessions:
                sessions[stream] = await journal.read(stream)
        asked += [(child.run_id, child, found) for child in questions_of(history) if child.run_id not in branches]
    if not branches[run_id].history:
        raise NotFound("run", run_id, f"journal {journal.name} has no stream {run_stream(run_id)!r}")
    return RunTree(run_id, branches, sessions)
