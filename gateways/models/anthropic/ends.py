"""How an answer of the Messages API ended, and whether it is whole."""

from msgspec import Struct

from ....actors.model_errors import BadReply, ModelError, RequestRefused, TruncatedAnswer

_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    # OpenAI's words, of servers that speak both protocols.
    "stop": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
}


class NoAnswer(Struct, frozen=True):
    """An end that is none of a whole answer."""

    error: type[ModelError]
    why: str


def end_of(reason: str | None, why: str, *, called: bool, answered: bool) -> str | NoAnswer:
    """The end in our words.

    Args:
        reason: The provider's `stop_reason`; `why` is what it says of a refusal.
        called: There are calls of tools in it.
        answered: There is one in it of the tool that is the answer.
    """
    match reason:
        case None:
            return NoAnswer(TruncatedAnswer, "did not say why its answer ended")
        case "refusal":
            return NoAnswer(RequestRefused, f"declined to answer{': ' if why else ''}{why}")
        case "pause_turn":
            # Only the provider's own tools lead here, and an answer that goes on in another call is not the run's.
            return NoAnswer(TruncatedAnswer, "paused in the middle of a long turn (stop_reason 'pause_turn')")
        case _:
            finish = _FINISHES.get(str(reason))
    if finish is None:
        return NoAnswer(BadReply, f"ended its answer with stop_reason {reason!r}, which means nothing here")
    if finish != "tool_calls" or called:
        return finish
    return "stop" if answered else NoAnswer(BadReply, "ended its answer to call a tool, and called none")
