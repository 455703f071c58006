"""What a model says that it used is recorded only where it can be read again, and added up."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from treadle import Agent, Limits, Message, ModelChunk, ModelReply, System, ToolSpec, Usage
from treadle.actors.countable import is_countable
from treadle.actors.model_errors import TruncatedAnswer

NAN = float("nan")
NO_COUNTS: list[Any] = [
    Usage(12.5, 3),  # type: ignore[arg-type]
    Usage(NAN, 3),  # type: ignore[arg-type]
    Usage("12", 3),  # type: ignore[arg-type]
    Usage(True, 3),
    Usage(12, -3000),
    Usage(10**25, 3),
    Usage(12, 3, cached_input_tokens=-1),
    Usage(12, 3, cost_usd=NAN),
    Usage(12, 3, cost_usd=float("inf")),
    Usage(12, 3, cost_usd=-0.5),
    {"input_tokens": 12},
]


class Miscounting:
    """A model of somebody's own that counts wrongly: in an answer, in the end of a stream, in an error."""

    name = "miscounting"
    billed = True

    def __init__(self, usage: Any, how: str) -> None:
        self.usage = usage
        self.how = how
        if how == "whole":
            self.complete = self._complete

    def estimate(self, messages: Sequence[Message]) -> tuple[int, int]:
        return 100, 50

    async def _complete(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> ModelReply:
        return ModelReply("Hello.", usage=self.usage)

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        if self.how == "error":
            raise TruncatedAnswer("cut off", usage=self.usage)
        yield ModelChunk("text", "Hello.")
        yield ModelChunk("finish", usage=self.usage)


@pytest.mark.parametrize("usage", NO_COUNTS, ids=repr)
def test_what_is_no_number_of_tokens_or_dollars_is_no_usage(usage: object) -> None:
    assert not is_countable(usage)


@pytest.mark.parametrize("usage", [Usage(), Usage(12, 3, 4, 5, 0.25), Usage(10**12, cost_usd=2)], ids=repr)
def test_what_counts_tokens_and_dollars_is_one(usage: Usage) -> None:
    assert is_countable(usage)


@pytest.mark.parametrize("usage", [NO_COUNTS[0], NO_COUNTS[4], NO_COUNTS[5], NO_COUNTS[7]], ids=repr)
@pytest.mark.parametrize(("how", "kind"), [("whole", "bad_reply"), ("streamed", "bad_reply"), ("error", "truncated")])
async def test_a_usage_that_is_none_is_charged_at_the_most_and_spoils_no_stream(
    usage: Usage, how: str, kind: str, tmp_path: Path
) -> None:
    async with System(journal=f"sqlite:{tmp_path}/runs.db") as system:
        agent = Agent(model=Miscounting(usage, how), name="desk", budget=Limits(max_tokens=1000))
        result = await system.host(agent).session("conv-1").run("Hello?", on_error="return")
        assert (result.error_kind, result.tokens_in, result.tokens_out) == (f"model:{kind}", 100, 50)
    # All of it is read again: by the next process, and by the projections.
    async with System(journal=f"sqlite:{tmp_path}/runs.db") as system:
        await system.projections.catch_up()
        (row,) = await system.projections.runs.list(agent="desk")
        assert row.input_tokens == 100
        agent = Agent(model="echo", name="desk", budget=Limits(max_tokens=1000))
        assert (await system.host(agent).run("Hello?")).state == "completed"
