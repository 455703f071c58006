"""Handing control over: how a peer of a swarm is reached, and the tools by which the others do."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ...events.message import Message, ToolCall, ToolSpec
from ..children import Asked
from ..output import DoesNotFit, Output
from ..raised import CodeFailed, naming
from ..tool import BadArguments, Tool, as_text
from .arguments import parameters, texts
from .delegating import roster

InputFilter = Callable[[list[Message]], Sequence[Message]]
"""What of the conversation a peer is shown; the same for the same conversation, as a resumed run asks again."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


class Peer:
    """An agent of a swarm, and how control passes to it.

    Args:
        input: What it is handed; None for a message.
        input_filter: What of the conversation before it is shown.
    """

    def __init__(self, agent: Asked, *, input: Output | None = None, input_filter: InputFilter | None = None) -> None:
        self.agent = agent
        self.input = input
        self.input_filter = input_filter

    def shown(self, name: str, history: tuple[Message, ...]) -> tuple[Message, ...]:
        """What of `history` it is shown.

        Raises:
            CodeFailed: The filter raised, or came to something else than messages.
        """
        if self.input_filter is None:
            return history
        code = f"input_filter of the handoff to {name!r}"
        with naming(code):
            kept = tuple(self.input_filter(list(history)))
        for each in kept:
            if not isinstance(each, Message):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise CodeFailed(f"{code} returned {each!r} among the messages")
        return kept


class Passed(NamedTuple):
    """Control passes to `target` with `message`, which may be empty."""

    target: str
    message: str


class HandoffTools:
    """The tools by which one peer hands over to the others.

    Args:
        name: What the tool is called that hands over a message.
    """

    def __init__(self, name: str, others: Mapping[str, Peer]) -> None:
        self._name = name
        self._plain = [target for target, peer in others.items() if peer.input is None]
        self._typed = {typed_name(target): target for target, peer in others.items() if peer.input is not None}
        self._others = others

    @property
    def tools(self) -> Mapping[str, Tool]:
        tools = [self._transfer(name, target) for name, target in self._typed.items()]
        if self._plain:
            tools.append(self._handoff())
        return {tool.name: tool for tool in tools}

    def passed(self, call: ToolCall | None) -> Passed | None:
        """What the call that ended a peer's turn hands over; None when it is no handoff."""
        if call is None:
            return None
        if call.tool in self._typed:
            return Passed(self._typed[call.tool], as_text(call.args))
        return Passed(call.args["target"], call.args.get("message", "")) if call.tool == self._name else None

    def _handoff(self) -> Tool:
        names = roster({target: self._others[target].agent for target in self._plain})
        spec = ToolSpec(
            name=self._name,
            description="Pass the conversation on to another agent, who answers in your place. This ends your turn.",
            parameters=parameters(
                optional=("message",),
                target={"enum": self._plain, "description": names},
                message="What it is to do, and what it has to know.",
            ),
            read_only=True,
            ends_turn=True,
        )
        return Tool(spec, self._hand_over, True, texts("target", optional=("message",)))

    async def _hand_over(self, target: str, message: str = "") -> str:
        if target not in self._plain:
            others = ", ".join(self._plain)
            raise BadArguments(f"there is nobody called {target!r} to hand over to; there are: {others}")
        return f"Handed over to {target}: {message}" if message else f"Handed over to {target}."

    def _transfer(self, name: str, target: str) -> Tool:
        peer = self._others[target]
        wanted = peer.input
        assert wanted is not None

        def bind(args: Mapping[str, Any]) -> Mapping[str, Any]:
            try:
                wanted.parse(msgspec.json.encode(args).decode())
            except DoesNotFit as exc:
                raise BadArguments(f"the arguments do not fit {wanted.name}: {exc}") from exc
            return {"given": args}

        async def transfer(given: Mapping[str, Any]) -> str:
            return f"Handed over to {target}: {as_text(given)}"

        spec = ToolSpec(
            name=name,
            description=f"Pass the conversation on to {roster({target: peer.agent})[2:]}\nThis ends your turn.",
            parameters=msgspec.Raw(msgspec.json.encode(wanted.schema)),
            read_only=True,
            ends_turn=True,
        )
        return Tool(spec, transfer, True, bind)


def typed_name(target: str) -> str:
    """The tool that hands over to a peer that takes more than a message."""
    return f"transfer_to_{_NOT_IN_NAMES.sub('_', target)}"[:64]
