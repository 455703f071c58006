"""How an agent phrases what it says, apart from its instructions: a preset's name, or any words.

Whoever is nearest to the run decides: the call, then the agent, then what is around it (`ambient`).
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

TONES = {
    "casual": "relaxed and friendly, as among colleagues: short sentences, everyday words, contractions.",
    "professional": "courteous, clear and to the point, as in good business letters: no slang, no flourish.",
    "technical": "exact, for engineers: proper terms, versions, units and numbers, code where it says more than words.",
    "legal": "careful and unambiguous: defined terms, conditions and exceptions spelt out, no promise that is not "
    "meant, facts kept apart from assessments.",
    "finance": "sober and led by figures: amounts with currency and period, assumptions and risks named, no hype.",
    "executive": "the conclusion first, then the few points it rests on: impact, options, what is to be decided.",
    "academic": "formal and measured: claims hedged as far as their evidence goes, terms defined, limits stated.",
}
"""The presets, and what they have the model do."""

_ambient: ContextVar[str | None] = ContextVar("treadle_tone", default=None)


def ambient_tone() -> str | None:
    """The tone of whatever this code runs in; None when it has none."""
    return _ambient.get()


@contextmanager
def ambient(tone: str | None) -> Generator[None]:
    """Agents that are run inside and have no tone of their own take this one."""
    token = _ambient.set(tone)
    try:
        yield
    finally:
        _ambient.reset(token)


def words_of(tone: str) -> str:
    """A tone as it is recorded and shown: a preset with its name, anything else as it is."""
    name = tone.strip().lower()
    return f"{name}: {TONES[name]}" if name in TONES else tone


def tone_directive(words: str) -> str:
    """What the model reads of it."""
    return f"Tone of your answers, which changes how you say things and not what you say:\n{words}"
