"""How an answer ended, in the provider's own word.

LiteLLM says `stop` for every word that it does not know, for some failures that it does know, and where there was no
word at all. What it was answered it shows to whoever logs, and so to us.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

_WORDS = {
    "complete": "stop",  # Cohere
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "network_error": "error",  # Zhipu
}


class _Choice(Struct):
    finish_reason: str | None = None
    finish_details: Any = None


class _Answer(Struct):
    choices: list[_Choice]


_answer = msgspec.json.Decoder(_Answer).decode


class NativeEnd:
    """The end of one answer, as far as it came in the form of chat completions.

    Attributes:
        word: Empty when such an answer has none; None when there was no such answer.
    """

    def __init__(self) -> None:
        self.word: str | None = None

    def asked_for(self, request: dict[str, Any]) -> dict[str, Any]:
        """`request` with a `logger_fn` that looks for the end; one of the user's own is called as well."""
        own: Callable[[Mapping[str, Any]], Any] | None = request.get("logger_fn")

        def logged(details: Mapping[str, Any]) -> None:
            self._logged(details)
            if own is not None:
                own(details)

        return {**request, "logger_fn": logged}

    def watch(self, stream: Any) -> None:
        """Look at what a parser of LiteLLM's own reads. Of what an SDK streams, LiteLLM keeps the word itself."""
        parse: Callable[..., Any] | None = getattr(stream, "chunk_parser", None)
        if parse is None:
            return

        def watched(chunk: Any) -> Any:
            self._see(chunk)
            return parse(chunk)

        stream.chunk_parser = watched

    def of(self, said: str, kept: str | None) -> str:
        """The end, in the words of `openai/answer.py`.

        Args:
            said: LiteLLM's word.
            kept: The provider's, where LiteLLM has kept it.
        """
        if self.word == "":
            return ""
        if said not in ("", "stop", "tool_calls"):
            return said  # LiteLLM knows more than the word does: filtered, cut off
        native = (self.word or kept or said).lower()
        end = _WORDS.get(native, native)
        # A call for which it says `stop` it has made the answer's text: where a provider has no other form for that.
        return said if said == "stop" and end == "tool_calls" else end

    def _logged(self, details: Mapping[str, Any]) -> None:
        """The text of an answer that was not streamed is among what LiteLLM logs."""
        text = details.get("original_response")
        if details.get("log_event_type") != "post_api_call" or not isinstance(text, str):
            return
        try:
            answer = _answer(text)
        except msgspec.MsgspecError:
            return  # another protocol's, which LiteLLM reads
        if answer.choices and not answer.choices[0].finish_details:
            self.word = answer.choices[0].finish_reason or ""

    def _see(self, chunk: Any) -> None:
        try:
            answer = msgspec.convert(chunk, _Answer)
        except msgspec.MsgspecError:
            return  # another protocol's
        if answer.choices:
            self.word = answer.choices[0].finish_reason or self.word or ""
