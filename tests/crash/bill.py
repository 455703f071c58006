"""Models that are paid for each answer, and the bill for it: a ledger outside, with a line for each call.

A line is there before the answer is, and no crash undoes it. So the bill says how often a model was asked in truth,
whatever the journal says.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import structs
from thinking import Parts, Says

from treadle import FunctionModel, Message, ModelReply, ToolSpec, Usage
from treadle.actors.context import current_model_call
from treadle.events.model_step import ModelCompleted

from .afterwards import Broken, read
from .ledger import Ledger
from .programs import World

BILL = "bill"


def paid(world: World, parts: Mapping[str, Says]) -> FunctionModel:
    """A model that plays these parts (see `thinking.py`), which must be functions of what it is shown."""
    played, ledger = Parts(parts), Ledger(world.directory / BILL, world.points)

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        await asyncio.sleep(0)
        call = current_model_call()
        assert call is not None
        ledger.write("model", call.call_id, call.attempt)
        return structs.replace(await played.complete(messages, tools=tools), usage=Usage(10, 5))

    return FunctionModel(answer)


class Bill:
    """What the lives of one program paid.

    Attributes:
        answered: The calls whose answers the journal had when the last life had ended.
    """

    def __init__(self, directory: Path) -> None:
        self.answered: set[str] = set()
        self._directory = directory
        self._lines = 0

    async def settle(self) -> int:
        """Look at what the last life paid; how many calls those were.

        Raises:
            Broken: It has paid for an answer that was there when it began, or for one answer twice.
        """
        lines = [line.call_id for line in Ledger(self._directory / BILL).effects()][self._lines :]
        if not lines:
            return 0  # no answer is new: the journal need not be opened, which may not be there yet
        self._lines += len(lines)
        if again := sorted(self.answered.intersection(lines)):
            raise Broken(f"paid again for what had been answered: {again}", self._directory)
        if len(lines) > len(set(lines)):
            raise Broken(f"one life paid twice for one answer: {lines}", self._directory)
        recorded = [recorded.event for recorded in await read(self._directory)]
        self.answered = {event.call_id for event in recorded if isinstance(event, ModelCompleted)}
        return len(lines)
