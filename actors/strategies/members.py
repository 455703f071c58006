"""The agents of an architecture: who may be one, what it is asked, and what becomes of one that fails.

A member is asked in a run of its own (`Steps.agent`), under the same user, metadata and budgets, and knows the
conversation before the prompt, and its pictures. Whose words may come to the user speaks in the run's tone (`SPEAKS`),
and whose words are the answer answers in the form that the run is asked for (`ANSWERS`).

When it fails, that is a result: an architecture goes on without it where it can, and where it cannot the run ends with
the member's error in its reason. A budget of the run that stops a member stops the run: it ends as it would have by a
model call of its own, whatever its architecture.
"""

from collections.abc import Mapping, Sequence
from enum import Enum

from ...events.child_step import ChildEnded
from ...events.errors import ConfigError, TreadleError
from ...events.message import Message
from ..children import Asked, spec_of
from ..manner import PLAIN, Manner
from ..model_charges import Interrupted
from ..spec import AgentSpec
from ..steps import Steps


class GaveUp(Interrupted):
    """An architecture comes to no end of its own, and nothing failed. The run's reason is `word: why`.

    Args:
        word: `router:no_route`.
        output: What there is of an answer.
    """

    def __init__(self, word: str, why: str, output: str = "") -> None:
        super().__init__(f"{word}: {why}", why, output)


class MemberFailed(TreadleError):
    """There is no answer without a member that failed. The message begins with a word: `debate:all_failed`."""


# --- asking ----------------------------------------------------------------------------------------------------------


def question_of(steps: Steps) -> str:
    """What the run was asked, with what it was given beside the prompt and what an outer architecture adds."""
    return "\n\n".join([steps.messages()[-1].content, *steps.notes])


def conversation_of(steps: Steps) -> Sequence[Message]:
    """What was said before the prompt."""
    return [message for message in steps.messages()[:-1] if message.role != "system"]


class Part(Enum):
    """What becomes of a member's words."""

    ADVISES = "advises"
    """Other members read them: the tone and the form of answers are no business of theirs."""
    SPEAKS = "speaks"
    """The user may come to read them."""
    ANSWERS = "answers"
    """They are the run's answer, or the last draft of it."""


ADVISES, SPEAKS, ANSWERS = Part.ADVISES, Part.SPEAKS, Part.ANSWERS


async def ask(
    steps: Steps, agent: Asked, prompt: str, role: str, part: Part = ADVISES, *, session_id: str = ""
) -> ChildEnded:
    """Ask a member what the run was asked, or about that.

    Args:
        session_id: The member's own conversation, which it goes on with; else it knows the one before the run's prompt.
    """
    history = () if session_id else conversation_of(steps)
    manner = manner_of(steps, agent, part)
    return await steps.agent(
        agent, prompt, role=role, history=history, images=steps.images, session_id=session_id, manner=manner
    )


def manner_of(steps: Steps, agent: Asked, part: Part) -> Manner:
    """How a member is to answer, by what becomes of it."""
    if part is ADVISES:
        return PLAIN
    manner = steps.manner if part is ANSWERS else Manner(tone=steps.tone or None)
    # The tone of an agent that is known by its name is known where it is hosted.
    return manner if isinstance(agent, str) else manner.where_free(spec_of(agent).manner)


# --- what comes back -------------------------------------------------------------------------------------------------


def answer_of(steps: Steps, ended: ChildEnded, architecture: str, role: str, name: str = "", instead: str = "") -> str:
    """The answer of a member that the run cannot do without.

    Args:
        instead: What there is of an answer without it.
    Raises:
        Interrupted: It was stopped by a limit, or there is something without it; that is the run's output then.
        MemberFailed: There is nothing.
    """
    if ended.answered:
        return ended.output
    check_budgets(steps, [ended], instead)
    word = f"{architecture}:{role}_{ended.state}"
    why = said_of(ended, f"the {role} {name!r}" if name else f"the {role}")
    if instead or ended.state == "interrupted":
        raise GaveUp(word, why, instead or ended.output)
    raise MemberFailed(f"{word}: {why}")


def check_budgets(steps: Steps, ended: Sequence[ChildEnded], instead: str = "") -> None:
    """End the run where a member was stopped by a budget that holds for the run too.

    A budget that is the member's alone is its own affair: it gave no answer.

    Args:
        instead: What there is of an answer without it.
    Raises:
        Interrupted: It was; the reason is the budget's, `budget:max_tokens`.
    """
    for each in ended:
        of, _, cap = each.error.partition(":")
        if each.state != "interrupted" or of != "budget":
            continue
        if any(getattr(limits, cap, None) is not None for _, limits in steps.budgets):
            raise Interrupted(each.error, f"a member was stopped by a budget of the run: {cap}", instead or each.output)


def said_of(ended: ChildEnded, who: str) -> str:
    """What came of a member that gave no answer, as a reason."""
    return f"{who} gave no answer, its run is {ended.state}: {ended.error}"


# --- what is given ---------------------------------------------------------------------------------------------------


def check_agent(name: str, agent: object) -> None:
    """Refuse what cannot be asked.

    Raises:
        ConfigError: It is no agent.
    """
    spec = getattr(agent, "spec", agent)
    if not isinstance(spec, AgentSpec) and not (isinstance(agent, str) and agent):
        raise ConfigError(f"{name} must be an Agent, or the name of one that is hosted, not {agent!r}")


def check_members(name: str, given: object) -> None:
    """Refuse what does not have members by their names.

    Raises:
        ConfigError: It is no mapping.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f'{name} takes members by their names, {{"name": agent}}, not {given!r}')


def check_name(name: str, given: object) -> None:
    """Refuse what cannot name a member.

    Raises:
        ConfigError: It is no text, or empty.
    """
    if not isinstance(given, str) or not given.strip():
        raise ConfigError(f"{name} must be a text that names it, not {given!r}")
