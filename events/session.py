"""A session: one conversation of one user with one agent. Stream `session-<user>/<agent>/<session>`.

The single writer of the conversation: it takes prompts and signals, runs one at a time, and hands each run the
turns before it. Signals are deduplicated by id and by `dedupe_key`; a run that has ended is never run again.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct, field

from .envelope import StreamName
from .event import Event
from .message import Image, Message
from .run import RunState
from .signal import RuntimeSignal
from .stream_parts import joined, parted

CATEGORY = "session"

HISTORY_LIMIT_CHARS = 200_000
"""How much of the conversation a session keeps ready for the next run: its newest turns, about 50,000 tokens."""

IMAGE_CHARS = 6_400
"""What a picture counts for there: providers charge about 1,600 tokens."""

REMEMBERED_SIGNALS = 4096
"""How many signal ids and dedupe keys a session remembers; the broker redelivers long before that many."""


def session_stream(user_id: str, agent: str, session_id: str) -> StreamName:
    """The stream of a session; see `stream_parts.py`."""
    return StreamName("session-" + joined(user_id, agent, session_id))


def session_key(stream: str) -> tuple[str, str, str]:
    """User, agent and session id of a session's stream."""
    user_id, agent, session_id = parted(stream.removeprefix("session-"))
    return user_id, agent, session_id


# --- events ----------------------------------------------------------------------------------------------------------


class Turn(Struct, frozen=True):
    """A prompt and what came of it.

    Attributes:
        told: What the user said while the run went on, and the run took up, in this order.
    """

    run_id: str
    prompt: str
    output: str
    images: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def chars(self) -> int:
        """How much of a conversation it is."""
        return len(self.prompt) + sum(map(len, self.told)) + len(self.output) + len(self.images) * IMAGE_CHARS


class SignalReceived(Event, tag="session.signal_received"):
    """A signal waits for its run."""

    signal: RuntimeSignal


class SignalParked(Event, tag="session.signal_parked"):
    """A signal was set aside; its bytes are on the parked subject."""

    signal_id: str
    reason: str
    size_bytes: int = 0


class RunOpened(Event, tag="session.run_opened"):
    """The conversation goes on with this run; there is no other until it has ended.

    Attributes:
        images: The digests of the prompt's pictures; they themselves stand in the run's own `run.started`.
        before: What came before it elsewhere, when it is a fork, which begins a conversation of its own.
    """

    run_id: str
    prompt: str
    signal_id: str = ""
    images: tuple[str, ...] = ()
    before: tuple[Turn, ...] = ()


class RunEnded(Event, tag="session.run_ended"):
    """The run's last word. `told` and `output` join the conversation when the run completed.

    Attributes:
        told: What it was steered by and took up.
        position: Of one that a fork shares: where in the journal it was said first.
    """

    run_id: str
    state: RunState
    output: str = ""
    told: tuple[str, ...] = ()
    position: int = 0


SessionEvent: TypeAlias = SignalReceived | SignalParked | RunOpened | RunEnded


# --- state -----------------------------------------------------------------------------------------------------------


class Session(Struct):
    """The fold of a session's stream. Owned by one activation; `evolve` changes it in place."""

    turns: list[Turn] = field(default_factory=list[Turn])
    turns_chars: int = 0
    turns_dropped: int = 0
    open: RunOpened | None = None
    waiting: list[RuntimeSignal] = field(default_factory=list[RuntimeSignal])
    seen: dict[str, str] = field(default_factory=dict[str, str])
    last_run_id: str = ""
    parked: int = 0

    @property
    def history(self) -> list[Message]:
        """The conversation before the next run, oldest first; without the pictures in it."""
        return self.history_with({})

    def history_with(self, images: Mapping[str, Sequence[Image]]) -> list[Message]:
        """The conversation before the next run, oldest first.

        Args:
            images: The pictures of the runs whose prompts had any.
        """
        messages: list[Message] = []
        for turn in self.turns:
            messages.append(Message("user", turn.prompt, images=tuple(images.get(turn.run_id, ()))))
            messages += [Message("user", text) for text in turn.told]
            messages.append(Message("assistant", turn.output))
        return messages


SNAPSHOT = "session/1"


def evolve(state: Session, event: Event) -> Session:
    match event:
        case SignalReceived(signal):
            state.waiting.append(signal)
            _remember(state, signal.id, "")
            if signal.dedupe_key:
                _remember(state, f"key:{signal.dedupe_key}", "")
        case SignalParked():
            state.parked += 1
            _remember(state, event.signal_id, "")
        case RunOpened():
            state.open, state.last_run_id = event, event.run_id
            for turn in event.before:
                _converse(state, turn)
            if event.signal_id:
                _remember(state, event.signal_id, event.run_id)
                if state.waiting and state.waiting[0].id == event.signal_id:
                    state.waiting.pop(0)
        case RunEnded():
            opened, state.open = state.open, None
            if opened is not None and event.state == RunState.COMPLETED:
                _converse(state, Turn(event.run_id, opened.prompt, event.output, opened.images, event.told))
        case _:
            pass
    return state


def _converse(state: Session, turn: Turn) -> None:
    state.turns.append(turn)
    state.turns_chars += turn.chars
    while state.turns_chars > HISTORY_LIMIT_CHARS and len(state.turns) > 1:
        state.turns_chars -= state.turns.pop(0).chars
        state.turns_dropped += 1


def _remember(state: Session, key: str, run_id: str) -> None:
    state.seen[key] = run_id
    while len(state.seen) > REMEMBERED_SIGNALS:
        del state.seen[next(iter(state.seen))]


# --- decisions -------------------------------------------------------------------------------------------------------


def receive_signal(signal: RuntimeSignal, state: Session) -> list[SignalReceived]:
    """Take a signal; nothing when it, or one with its dedupe key, was taken before."""
    if signal.id in state.seen or (signal.dedupe_key and f"key:{signal.dedupe_key}" in state.seen):
        return []
    return [SignalReceived(signal=signal)]


def park_signal(signal_id: str, reason: str, size_bytes: int, state: Session) -> list[SignalParked]:
    """Set a signal aside; once."""
    if signal_id in state.seen:
        return []
    return [SignalParked(signal_id=signal_id, reason=reason, size_bytes=size_bytes)]


def open_run(run_id: str, prompt: str, signal_id: str, state: Session, images: tuple[str, ...] = ()) -> list[RunOpened]:
    """Begin a run. Nothing while one is open, for a session runs one at a time, or when the signal had its run."""
    if state.open is not None or (signal_id and state.seen.get(signal_id)):
        return []
    return [RunOpened(run_id=run_id, prompt=prompt, signal_id=signal_id, images=images)]


def end_run(run_id: str, ended: RunState, output: str, state: Session, told: tuple[str, ...] = ()) -> list[RunEnded]:
    """The end of the open run; nothing when it has ended before."""
    if state.open is None or state.open.run_id != run_id:
        return []
    return [RunEnded(run_id=run_id, state=ended, output=output, told=told)]
