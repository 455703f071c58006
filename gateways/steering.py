"""What is said to a run that goes on, looked at where it is passed in, and the run of a session that it is for."""

from typing import TYPE_CHECKING

from ..actors.run_actor import SteerRun
from ..actors.session_messages import NameOpenRun
from ..events.errors import ConfigError, NotFound, Refused
from ..events.run import run_stream
from ..events.steering import LONGEST_STEERING
from .arguments import check_id, check_text, well_formed

if TYPE_CHECKING:
    from .node import Node


class NothingToSteer(Refused):
    """The session has no run that could be told anything."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id!r} has no run going on, and nobody to steer; send it a prompt")
        self.session_id = session_id


def steering_of(text: str, *, id: str, by: str = "", now: bool = False, to: str = "") -> SteerRun:
    """What a run is told.

    Raises:
        ConfigError: It says nothing, too much, or an argument is not of its type.
    """
    check_text("text", text)
    if not text.strip():
        raise ConfigError("the text is empty; say what the run is to know")
    if len(text) > LONGEST_STEERING:
        raise ConfigError(f"the text has {len(text):,} characters, and a run is told {LONGEST_STEERING:,} at most")
    check_id("id", id)
    return well_formed(SteerRun(text, id, by, now, to), "steer")


async def check_owner(node: "Node", run_id: str, user_id: str) -> None:
    """Have whoever names a user reach runs of this user alone.

    Raises:
        NotFound: There is no such run, or it is somebody else's, which nobody learns.
    """
    begun = await node.journal.read(run_stream(run_id), 0, 1)
    if not begun or begun[0].user_id != user_id:
        raise NotFound("run", run_id, f"user {user_id!r} has none of this id")


async def open_run_of(node: "Node", user_id: str, agent: str, session_id: str) -> str:
    """The run of a session that has not ended.

    Raises:
        NothingToSteer: There is none.
    """
    run_id: str = await node.host.session(user_id, agent, session_id).ask(NameOpenRun())
    if not run_id:
        raise NothingToSteer(session_id)
    return run_id
