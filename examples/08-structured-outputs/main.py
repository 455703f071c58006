"""Answers as types: `python examples/08-structured-outputs/main.py [MODEL]`.

A desk reads letters into invoices, or says why it cannot. Without a name a scripted model answers; it makes a mistake
first, so that its correction is seen. With one, `gpt-4o-mini` say or `claude-haiku-4-5`, that model is asked, with the
key that stands in the environment (`OPENAI_API_KEY`, `ANTHROPIC_API_KEY`).
"""

import asyncio
import sys
from datetime import date
from typing import Any

from pydantic import BaseModel, Field

from treadle import Agent, OutputValidationError, ScriptedModel, ScriptedTurn


class Line(BaseModel):
    what: str
    cents: int = Field(gt=0)


class Invoice(BaseModel):
    """An invoice, as it was read out of a letter."""

    number: str
    due: date
    lines: list[Line]

    @property
    def total_cents(self) -> int:
        return sum(line.cents for line in self.lines)


class NoInvoice(BaseModel):
    """The letter has no invoice in it."""

    reason: str


LETTERS = (
    "Invoice 2026-042. A repaired gate: 120.50 EUR. Travel: 30 EUR. Payable by 31 August 2026.",
    "Dear all, the office is closed on Friday.",
)

SCRIPT = ScriptedModel(
    [
        ScriptedTurn('{"value": {"number": "2026-042", "due": "31 August", "lines": []}}'),
        ScriptedTurn(
            '{"value": {"number": "2026-042", "due": "2026-08-31", "lines": '
            '[{"what": "Repaired gate", "cents": 12050}, {"what": "Travel", "cents": 3000}]}}'
        ),
        ScriptedTurn('{"value": {"reason": "It tells of a closed office."}}'),
    ]
)


async def main() -> None:
    model: Any = sys.argv[1] if len(sys.argv) > 1 else SCRIPT
    reader = Agent("Read the letter.", model=model, output_schema=Invoice | NoInvoice)
    async with reader:
        for letter in LETTERS:
            try:
                result = await reader.run(letter)
            except OutputValidationError as exc:
                print(f"no answer fits: {exc.cause}")
                continue
            answer: Invoice | NoInvoice = result.value
            match answer:
                case Invoice():
                    print(f"invoice {answer.number}: {answer.total_cents / 100:.2f} EUR, due {answer.due}")
                case NoInvoice(reason=reason):
                    print(f"no invoice: {reason}")
            print(f"  in {result.turns} turns")


if __name__ == "__main__":
    asyncio.run(main())
