"""A cassette cut out of a journal: the answers that the models of a run gave, and of the runs that it delegated to.

The journal has the digest of what was sent, and not the messages: they follow from the rest of the run. They are put
together again here as the strategies of Treadle do it, and kept where the digest says that this is what was sent. What
a strategy of one's own sends may stay unknown: such a call is played like the others, and no error can show its words.
"""

from collections.abc import Iterable, Sequence

from ...actors.answer import REJECTED
from ...actors.opening import opening_messages
from ...actors.output import correction
from ...actors.run_history import history_of, messages_of, turns_before
from ...actors.steps import digest_of, result_of_call
from ...events.envelope import Recorded
from ...events.journal import Journal
from ...events.message import Message, ModelReply, ToolCall
from ...events.model_step import ModelAttemptFailed, ModelCompleted, ModelFailed, ModelRequested
from ...events.run import RecordCopied, RunStarted, ValueRecorded, run_stream
from ...events.tool_step import Outcome, ToolCompleted, ToolFailed, ToolOutcomeUnknown
from .entry import Entry, Failure, pictured

_NEVER_SENT = frozenset({"circuit_open"})
_LOST = frozenset({"lost", "cancelled", "steered"})


async def cut(journal: Journal, run_ids: Iterable[str]) -> list[Entry]:
    """The model calls of these runs, in the order in which they were answered. What was lost or never sent is left out.

    Raises:
        NotFound: The journal does not have one of them.
    """
    found: list[tuple[int, Entry]] = []
    for run_id in run_ids:
        history = await history_of(journal, run_id)
        started = history.state.started
        assert started is not None
        before = started.conversation or await messages_of(journal, await turns_before(journal, history))
        opening = opening_messages(started, before, history.state)
        found += _Cut(started, opening).entries(await journal.read(run_stream(run_id)))
    return [entry for _, entry in sorted(found, key=lambda each: each[0])]


class _Cut:
    """What one run's model was sent, as far as its events have been read."""

    def __init__(self, started: RunStarted, opening: Sequence[Message]) -> None:
        self._started = started
        self._messages = list(opening)
        self._calls: tuple[ToolCall, ...] = ()
        self._outcomes: dict[int, Outcome] = {}
        self._digest = ""

    def entries(self, history: Sequence[Recorded]) -> Iterable[tuple[int, Entry]]:
        """The calls, each with the position of its answer in the journal."""
        for recorded in history:
            event = recorded.event.record if isinstance(recorded.event, RecordCopied) else recorded.event
            match event:
                case ModelRequested():
                    self._told()
                    self._digest = event.digest
                case ModelCompleted():
                    yield recorded.position, self._entry(event.model, event.reply)
                    self._messages.append(event.reply.message)
                    self._calls, self._outcomes = event.reply.tool_calls, {}
                case ModelAttemptFailed() | ModelFailed() if event.kind not in _NEVER_SENT | _LOST:
                    failure = Failure(
                        event.kind, event.error, status=event.status, request_id=event.request_id, usage=event.usage
                    )
                    yield recorded.position, self._entry(event.model, failure)
                case ToolCompleted() | ToolFailed() | ToolOutcomeUnknown():
                    self._outcomes[int(event.call_id.rpartition("_")[2])] = event
                case ValueRecorded(name=name, value=why) if name == REJECTED and self._started.output is not None:
                    self._messages.append(Message("user", correction(str(why), self._started.output)))
                case _:
                    pass

    def _told(self) -> None:
        """What the model is told of its calls goes before what it is asked next."""
        for slot, call in enumerate(self._calls):
            if slot in self._outcomes:
                self._messages.append(result_of_call(call, self._outcomes[slot]).message)
        self._calls = ()

    def _entry(self, model: str, answer: ModelReply | Failure) -> Entry:
        known = digest_of(self._messages) == self._digest
        return Entry(
            digest=self._digest,
            model=model or self._started.model,
            messages=pictured(self._messages) if known else (),
            answer=answer,
        )
