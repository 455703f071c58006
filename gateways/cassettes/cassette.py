"""A cassette: plays the calls that it has, and records those that it has not, as its mode says."""

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, get_args

from ...actors.model import Model
from ...actors.stand_in import standing_in
from ...actors.steps import digest_of
from ...events.errors import ConfigError
from ...events.message import Message, ModelReply
from ...events.redaction import redacted
from . import file
from .entry import Entry, Failure
from .missing import NotOnCassette, missing
from .model import CassetteModel

Mode = Literal["none", "once", "new", "all"]
Match = Literal["messages", "model"]


class Cassette:
    """The answers of models in a file.

    As a context manager it stands in for every model of the process, whichever agent, thread or event loop asks: what
    it has is answered from it, and no key, no provider and no provider's package is needed. What was recorded is
    written at the end, unless the block raised: what half a test was told is no record.

        with Cassette("cassettes/joke.json"):
            await agent.run("Tell me a joke.")

    Args:
        record: What is sent to the real model: `none`: nothing, what is missing is an error. `once`: everything while
            there is no file, and nothing from then on. `new`: what the cassette does not have. `all`: everything; the
            file is made anew.
        match: What has to be equal for an answer to fit: the `messages` that were sent (always), the `model`'s name.
            Of several that fit, one of the same model goes first, then the one that was recorded first; each is played
            once.
    Raises:
        ConfigError: The file is no cassette, or an argument is none of these.
    """

    def __init__(self, path: str | Path, record: Mode = "once", match: Match | Sequence[Match] = ("messages",)) -> None:
        if record not in get_args(Mode):
            raise ConfigError(f"record={record!r}; use {', '.join(map(repr, get_args(Mode)))}")
        words = (match,) if isinstance(match, str) else tuple(match)
        if unknown := [word for word in words if word not in get_args(Match)]:
            raise ConfigError(f"match={unknown[0]!r}; use {', '.join(map(repr, get_args(Match)))}")
        self.path = Path(path)
        self.misses: list[NotOnCassette] = []
        """What was asked for and is not on it."""
        exists = self.path.exists()
        self.run, self._entries = file.read(self.path) if exists and record != "all" else (None, [])
        self._mode = record
        self._by_model = "model" in words
        self._played = [False] * len(self._entries)
        self._recorded = False
        self.filed = True
        """Whether it is, or will be, in a file; what was cut out of a journal is not."""
        self.records = record in ("new", "all") or (record == "once" and not exists)
        """Whether real models are asked for what it does not have."""
        self._lock = threading.Lock()
        self._standing = contextlib.ExitStack()

    @classmethod
    def of(cls, name: str, entries: Sequence[Entry]) -> "Cassette":
        """A cassette without a file, which plays these calls and records nothing."""
        made = cls(name, "none")
        made._entries, made._played, made.filed = list(entries), [False] * len(entries), False
        return made

    def __repr__(self) -> str:
        return f"<Cassette {self.path}, {len(self)} calls{', records' if self.records else ''}>"

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> Sequence[Entry]:
        """The calls, in the order in which they were recorded."""
        return tuple(self._entries)

    @property
    def unplayed(self) -> Sequence[Entry]:
        """What nobody has asked for so far."""
        return [entry for entry, played in zip(self._entries, self._played, strict=True) if not played]

    def model(self, real: Model) -> CassetteModel:
        """What answers in the place of `real`."""
        return CassetteModel(self, real)

    def play(self, model: str, messages: Sequence[Message]) -> Entry | None:
        """The next answer to these messages; None when the real model is to be asked.

        Raises:
            NotOnCassette: There is none (any more), and nothing is recorded.
        """
        digest = digest_of(messages)
        with self._lock:
            fits = [
                index
                for index, entry in enumerate(self._entries)
                if entry.digest == digest and not self._played[index] and (entry.model == model or not self._by_model)
            ]
            if fits:
                index = next((each for each in fits if self._entries[each].model == model), fits[0])
                self._played[index] = True
                return self._entries[index]
            if self.records:
                return None
            miss = missing(self.path, self._entries, model, messages, self._hint())
            self.misses.append(miss)
        raise miss

    def record(self, model: str, messages: Sequence[Message], answer: ModelReply | Failure) -> None:
        """Keep an answer; it is in the file after `save`."""
        self.add(Entry.of(model, messages, answer))

    def add(self, entry: Entry) -> None:
        """Keep a call, redacted, as one that has been played."""
        with self._lock:
            self._entries.append(redacted(entry))
            self._played.append(True)
            self._recorded = True

    def save(self) -> None:
        """Write the file, if anything was recorded."""
        with self._lock:
            if self._recorded:
                file.write(self.path, self._entries, self.run)
                self._recorded = False

    def _hint(self) -> str:
        if not self.filed:
            return ""
        if not self.path.exists():
            return "There is no such file; record it with record='once' (pytest: --treadle-record=once)."
        return (
            "If what is sent was changed on purpose, record it again with record='all' (pytest: --treadle-record=all), "
            "or add what is missing with 'new'."
        )

    def __enter__(self) -> "Cassette":
        self._standing.enter_context(standing_in(self.model))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._standing.close()
        if error is None:
            self.save()
