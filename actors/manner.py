"""How a run is to answer: as which type, in which tone."""

from msgspec import Struct

from ..events.message import OutputFormat
from .model import Model
from .output import Output
from .tone import words_of

RETRIES = 1
"""How often an answer that does not fit may be corrected, when nobody says otherwise."""


class Manner(Struct, frozen=True):
    """How to answer. None: as whoever is asked next says, the call before the agent.

    Attributes:
        retries: How often an answer that does not fit may be corrected.
        tone: A preset of `tone.py` or any words; empty for none.
    """

    output: Output | None = None
    retries: int | None = None
    tone: str | None = None

    def over(self, below: "Manner") -> "Manner":
        """This, and `below` where this says nothing."""
        return Manner(
            below.output if self.output is None else self.output,
            below.retries if self.retries is None else self.retries,
            below.tone if self.tone is None else self.tone,
        )

    def where_free(self, own: "Manner") -> "Manner":
        """This for somebody who is asked in another's place: whose own tone holds, if there is one."""
        return self if own.tone is None else Manner(self.output, self.retries)

    def words(self) -> str:
        """The tone, as it is recorded."""
        return words_of(self.tone) if self.tone else ""

    def output_format(self, model: Model) -> OutputFormat | None:
        """What an answer of `model` has to be, as it is recorded."""
        output = self.output
        if output is None:
            return None
        native: bool = getattr(model, "native_output", False)
        retries = RETRIES if self.retries is None else self.retries
        return OutputFormat(output.name, output.schema, output.wrapped, native, retries)


PLAIN = Manner()
