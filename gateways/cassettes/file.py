"""The file of a cassette: JSON that people read and review, and that differs where the calls differ.

    {
      "treadle": "cassette",
      "format": 1,
      "calls": [
        {"model": "gpt-4o", "digest": "…", "sent": [messages], "reply": {…}},
        {"model": "gpt-4o", "digest": "…", "continues": 1, "sent": [what is new], "reply": {…}}
      ]
    }

A call that goes on from an earlier one, counted from 1, names it and holds the messages after that one's answer: so a
run reads like its conversation, and its length is that of the conversation and not its square. There are no times and
no numbers of its own in it. What a provider needs to know besides the messages (key, address, options) is not in it.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from ...actors.steps import digest_of
from ...events.errors import ConfigError
from ...events.message import Message, ModelReply
from .entry import Entry, Failure

FORMAT = 1


class Origin(Struct, frozen=True, omit_defaults=True):
    """The run that a cassette was cut out of (`treadle record`), for whoever reads it."""

    agent: str = ""
    prompt: str = ""


class _Call(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    model: str
    digest: str = ""
    continues: int = 0
    sent: tuple[Message, ...] = ()
    reply: ModelReply | None = None
    failure: Failure | None = None


class _File(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    treadle: Literal["cassette"]
    format: int
    run: Origin | None = None
    calls: tuple[_Call, ...] = ()


class _Head(Struct, frozen=True):
    treadle: str = ""
    format: int = 0


def read(path: Path) -> tuple[Origin | None, list[Entry]]:
    """The run that it was cut out of, if it was, and the calls.

    Raises:
        ConfigError: It is no cassette, or a newer Treadle wrote it; says where it does not fit.
    """
    text = path.read_bytes()
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.treadle == "cassette" and head.format > FORMAT:
            raise ConfigError(f"cassette {path} has format {head.format}, this Treadle reads up to {FORMAT}; update it")
        file = msgspec.json.decode(text, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is no cassette: {exc}; repair it, or delete it and record again") from exc
    entries: list[Entry] = []
    for number, call in enumerate(file.calls, 1):
        entries.append(_entry(path, number, call, entries))
    return file.run, entries


def write(path: Path, entries: Sequence[Entry], run: Origin | None = None) -> None:
    """All at once: whoever reads it meanwhile reads the old one or the new one."""
    file = _File("cassette", FORMAT, run, tuple(_call(entry, entries[:index]) for index, entry in enumerate(entries)))
    text = msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(text)
        Path(made).chmod(0o644)
        Path(made).replace(path)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise


def _entry(path: Path, number: int, call: _Call, before: Sequence[Entry]) -> Entry:
    where = f"cassette {path}, call {number}"
    if (call.reply is None) == (call.failure is None):
        raise ConfigError(f"{where}: one of `reply` and `failure` is wanted")
    if not 0 <= call.continues < number:
        raise ConfigError(f"{where}: `continues` is {call.continues}; an earlier call is wanted, counted from 1")
    messages = (*before[call.continues - 1].conversation, *call.sent) if call.continues else call.sent
    if not call.digest and not messages:
        raise ConfigError(f"{where}: `sent` is wanted, or `digest`")
    answer = call.reply if call.reply is not None else call.failure
    assert answer is not None
    # One that was written by hand need not have a digest.
    return Entry(digest=call.digest or digest_of(messages), model=call.model, messages=messages, answer=answer)


def _call(entry: Entry, before: Sequence[Entry]) -> _Call:
    continues, sent = 0, entry.messages
    for number, earlier in enumerate(before, 1):
        known = earlier.conversation
        # Of several that it may go on from, the one that says the most, and the last of those.
        if known and entry.messages[: len(known)] == known and len(entry.messages) - len(known) <= len(sent):
            continues, sent = number, entry.messages[len(known) :]
    reply, failure = (entry.answer, None) if isinstance(entry.answer, ModelReply) else (None, entry.answer)
    return _Call(entry.model, entry.digest, continues, sent, reply, failure)
