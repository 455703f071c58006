"""Whether replies agree: by the final answers that they end with, or by their words where one has none."""

import re
from collections.abc import Sequence

_FINAL = re.compile(r"final answer\W*:[\s*_]*(?P<answer>[^\s*_][^\n]*)", re.IGNORECASE)
_BOXED = "\\boxed{"
_WORD = re.compile(r"\w+")


def final_answer_in(reply: str) -> str | None:
    """The answer that a reply ends with, in a form that compares: `Final answer: 42`, or `\\boxed{42}`."""
    lines = _FINAL.findall(reply)
    answer = (_boxed(lines[-1]) or lines[-1]) if lines else _boxed(reply)
    if answer is None:
        return None
    return " ".join(answer.split()).strip(" .…*_`$\"'").casefold() or None


def supporters(replies: Sequence[str], similarity: float) -> list[int]:
    """How many of the replies hold what each of them holds, with itself.

    Args:
        similarity: From which Jaccard index of their words on replies hold the same, where not all of them end with an
            answer.
    """
    answers = [final_answer_in(reply) for reply in replies]
    if None not in answers:
        return [answers.count(answer) for answer in answers]
    words = [_words(reply) for reply in replies]
    return [
        sum(this == that or jaccard(mine, its) >= similarity for that, its in enumerate(words))
        for this, mine in enumerate(words)
    ]


def jaccard(left: set[str], right: set[str]) -> float:
    """The part of all words that both have; 0 where there are none."""
    every = left | right
    return len(left & right) / len(every) if every else 0.0


def _words(reply: str) -> set[str]:
    return set(_WORD.findall(reply.casefold()))


def _boxed(text: str) -> str | None:
    """What stands in the last box of LaTeX; None when there is none, or it is not closed."""
    start = text.rfind(_BOXED)
    if start < 0:
        return None
    depth, begin = 1, start + len(_BOXED)
    for end in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if not depth:
            return text[begin:end]
    return None
