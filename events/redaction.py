"""Redaction: keys, tokens and passwords are masked in all that is recorded or logged.

Text is masked where it comes in, before anything is decided on it: what a run works with is what is recorded, so a
replay finds nothing different. `Entity` masks every event once more before it is folded, so that nothing reaches a
journal by another way; `logs.py` masks what is logged. See docs/secrets.md.

What programs act on goes by the shapes of values alone: the arguments of tool calls, and answers that are JSON. There a
member's name is the name of a parameter, and a tool that is called with a mask for its `pwd` does harm unnoticed.
"""

import re
import threading
from collections.abc import Iterable
from typing import Any, TypeVar, cast

import msgspec
from msgspec import structs

from .message import Image, ModelReply
from .secret_names import is_secret_member
from .secret_shapes import MASK, mask_shapes
from .secret_signs import NAME, is_base64, signs_in

T = TypeVar("T")

SECRET_LENGTH = 8
"""How long a value has to be to be masked wherever it stands: a shorter one is in too many words."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Redaction:
    """What is masked in this process: the shapes of keys, values that are known to be secret, patterns of one's own.

    Threads may add and forget while others mask: what is known is replaced as a whole, and never missing in between.
    """

    def __init__(self) -> None:
        self._on = True
        self._changing = threading.Lock()
        self._patterns: tuple[re.Pattern[str], ...] = ()
        self._secrets: tuple[str, ...] = ()  # the longest first: one may be a part of another
        self._encoded: tuple[bytes, ...] = ()  # the same, as they stand in JSON

    def __repr__(self) -> str:
        state = "on" if self._on else "off"
        return f"<Redaction {state}, {len(self._secrets)} secrets, {len(self._patterns)} patterns of its own>"

    @property
    def is_on(self) -> bool:
        return self._on

    def on(self) -> None:
        """Mask, as at the start."""
        self._on = True

    def off(self) -> None:
        """Mask nothing any more: keys are recorded and logged as they come."""
        self._on = False

    def add_secret(self, value: str) -> None:
        """Mask this very text from now on, whatever it looks like. The keys of models need not be added.

        Raises:
            ValueError: It has fewer than 8 characters.
        """
        if len(value) < SECRET_LENGTH:
            raise ValueError(f"a secret of {len(value)} characters is in too many words; {SECRET_LENGTH} is the least")
        with self._changing:
            if value not in self._secrets:
                self._know((*self._secrets, value))

    def forget_secret(self, value: str) -> None:
        """Mask it no more, unless it has the shape of a key."""
        with self._changing:
            self._know(tuple(each for each in self._secrets if each != value))

    def _know(self, secrets: tuple[str, ...]) -> None:
        encoded = tuple({_encode(each)[1:-1] for each in secrets})
        self._secrets, self._encoded = tuple(sorted(secrets, key=len, reverse=True)), encoded

    def add_pattern(self, pattern: str | re.Pattern[str]) -> None:
        """Mask what this regular expression finds, too. It is looked for in every text: a slow one slows all down."""
        compiled = re.compile(pattern)
        with self._changing:
            if compiled not in self._patterns:
                self._patterns = (*self._patterns, compiled)

    def forget_pattern(self, pattern: str | re.Pattern[str]) -> None:
        """Look for it no more."""
        compiled = re.compile(pattern)
        with self._changing:
            self._patterns = tuple(each for each in self._patterns if each != compiled)

    def text(self, text: str, patterns: Iterable[str | re.Pattern[str]] = (), *, names: bool = True) -> str:
        """`text` with its secrets masked, and what `patterns` find.

        Args:
            names: What a value is called says whether it is a secret, too: in all but what programs act on.
        """
        return self._text(text, patterns, names=names) if self._on else text

    def unfinished(self, text: str, begin: int) -> int:
        """Where at the end of `text` something begins, not before `begin`, that may become a known secret.

        With patterns of one's own, which tell nothing of how their finds begin, that is the last line.
        """
        if not self._on:
            return len(text)
        at = len(text)
        for secret in self._secrets:
            from_ = text.find(secret[0], max(begin, len(text) - len(secret) + 1))
            while 0 <= from_ < at:
                if secret.startswith(text[from_:]):
                    at = from_
                from_ = text.find(secret[0], from_ + 1)
        return min(at, max(begin, text.rfind("\n") + 1)) if self._patterns else at

    @property
    def longest(self) -> int:
        """How long the longest known secret is."""
        return max(map(len, self._secrets), default=0)

    def _text(self, text: str, patterns: Iterable[str | re.Pattern[str]] = (), *, names: bool = True) -> str:
        masked = text
        for secret in self._secrets:
            masked = masked.replace(secret, MASK)
        signs = 0 if is_base64(masked) else signs_in(masked.encode("utf-8", "replace"))
        if not names:
            signs &= ~NAME
        if signs:
            masked = mask_shapes(masked, signs)
        for pattern in (*self._patterns, *patterns):
            masked = re.sub(pattern, MASK, masked)
        return masked

    def value(self, value: T) -> T:
        """JSON types or a struct with the secrets in its texts masked; the same object when there are none.

        What has no JSON form is returned as it is: no journal takes it. The bytes of pictures are passed over: they are
        no text, and there are millions of them.
        """
        if value is None or not self._on:
            return value
        if isinstance(value, str):
            return cast(T, self.text(value))
        if (pictures := _pictures_of(value)) and isinstance(value, msgspec.Struct):
            bare = structs.replace(value, images=tuple(structs.replace(each, data="") for each in pictures))
            masked: Any = self.value(bare)
            if masked is bare:
                return value
            restored = (structs.replace(each, data=was.data) for each, was in zip(masked.images, pictures, strict=True))
            return cast(T, structs.replace(masked, images=tuple(restored)))
        try:
            encoded = _encode(value)
        except (TypeError, ValueError, RecursionError):
            return value
        if not (signs_in(encoded) or self._patterns or (self._encoded and self._is_known_in(encoded))):
            return value
        plain = _decode(encoded)
        if isinstance(value, ModelReply):
            clean = self._masked_answer(plain, "text")
        elif getattr(value, "event_tag", "") == "run.completed":
            clean = self._masked_answer(plain, "output")
        else:
            clean = self._masked(plain)
        if clean == plain:
            return value
        if isinstance(value, msgspec.Struct):
            return msgspec.json.decode(_encode(clean), type=type(value))
        return cast(T, clean)

    def _is_known_in(self, encoded: bytes) -> bool:
        return any(map(encoded.__contains__, self._encoded))

    def _masked(self, value: Any, *, names: bool = True) -> Any:
        """JSON types with their texts masked.

        Args:
            names: What a value is called says whether it is a secret, too.
        """
        held: Any = value
        if isinstance(value, str):
            return self._text(value, names=names)
        if isinstance(value, list):
            return [self._masked(each, names=names) for each in held]
        if isinstance(value, dict):
            return self._masked_object(held, names)
        return value

    def _masked_answer(self, held: dict[str, Any], member: str) -> dict[str, Any]:
        """An object of which one member is an answer: one that a program reads goes by shapes alone."""
        masked = self._masked_object(held, names=True)
        answer: Any = held.get(member)
        if isinstance(answer, str) and is_for_program(answer):
            masked[member] = self._text(answer, names=False)
        return masked

    def _masked_object(self, held: dict[str, Any], names: bool) -> dict[str, Any]:
        masked: dict[str, Any] = {}
        same: dict[str, int] = {}  # how many members have a name that is masked to this one
        for name, value in held.items():
            shown = key = self._text(name)
            while key != name and (key in held or key in masked):
                same[shown] = same.get(shown, 1) + 1
                key = shown.replace(MASK, f"{MASK[:-1]} {same[shown]}]", 1)
            if names and isinstance(value, str) and is_secret_member(name, value):
                masked[key] = MASK
            elif names and name in ("reply", "answer") and isinstance(value, dict):
                masked[key] = self._masked_answer(cast(dict[str, Any], value), "text")
            else:
                arguments = name == "args" and isinstance(held.get("tool"), str)
                masked[key] = self._masked(value, names=names and not arguments)
        return masked


def is_for_program(answer: str) -> bool:
    """Whether a program reads this answer: it is JSON, or a block of it."""
    return answer.lstrip().startswith(_FOR_PROGRAMS)


_FOR_PROGRAMS = ("{", "[", "```")


def _pictures_of(value: object) -> tuple[Image, ...]:
    """The pictures of a message or an event, if there are bytes of any in it."""
    images: tuple[Any, ...] = getattr(value, "images", ())
    return images if any(isinstance(each, Image) and each.data for each in images) else ()


redaction = Redaction()
"""This process's."""


def redact(text: str, *patterns: str | re.Pattern[str]) -> str:
    """`text` with keys, tokens and passwords in it masked, and what `patterns` find.

    Doing it twice does it once, and a text without secrets stays as it is. Treadle does it to all that it records and
    logs (docs/secrets.md).
    """
    return redaction.text(text, patterns)


def redact_bytes(data: bytes) -> bytes:
    """A message that may be anything, with what is text in it masked."""
    masked = redact(text := data.decode("utf-8", "surrogateescape"))
    return data if masked == text else masked.encode("utf-8", "surrogateescape")


def redacted(value: T) -> T:
    """JSON types or a struct, with the texts in it masked."""
    return redaction.value(value)


def learn_secret(value: str) -> None:
    """Mask a value that was looked up as a secret, unless it is a mere word: `ollama`, `not-needed`."""
    if len(value) >= SECRET_LENGTH and not (len(value) < _NO_WORD and _WORDS.fullmatch(value)):
        redaction.add_secret(value)


_NO_WORD = 20
_WORDS = re.compile(r"[A-Za-z]+(?:[-_ ][A-Za-z]+)*")
