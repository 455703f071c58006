"""Records how each architecture and a workflow ran: `cd tests && python -m histories.thoughts VERSION`.

Each run's own stream becomes `VERSION/thinking/NAME.jsonl`. Existing files are never rewritten.
"""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from histories.thinkers import TASK, THINKERS, Makes

from treadle import FunctionModel, Message, ModelReply, System, ToolCall, ToolSpec
from treadle.events.run import run_stream

_PLAN = """[{"id": "E1", "tool": "look_up", "args": {"topic": "moon"}},
            {"id": "E2", "tool": "look_up", "args": {"topic": "{{E1}}"}}]"""
_NEXT = '{"terminate": false, "next_agent": "a", "instruction": "Go on."}'
_POOR, _GOOD = '{"score": 0.3, "issues": ["Say why."], "summary": "Thin."}', '{"score": 0.95, "issues": []}'
_FOUND = {"description": "Find the cause.", "status": "done", "verified_by": ["look_up"]}

Said = str | Sequence[ToolCall]

SCRIPTS: dict[str, list[Said]] = {
    "react": [[ToolCall("1", "look_up", {"topic": "tides"})], "The moon."],
    "self-refine": ["The sea moves.", "- Say why.", "The moon.", "no issues"],
    "reflexion": ["The sea moves.", "score: 0.2\nThin.", "Say why.", "The moon.", "score: 0.9"],
    "tree-of-thoughts": [*["1. The moon.\n2. The sun.", "score: 0.5", "score: 0.5"] * 3, "The moon."],
    "plan-and-execute": ['["Find the cause.", "Say it."]', "The moon.", "It pulls.", "The moon."],
    "rewoo": [_PLAN, "The moon."],
    "router": ["route: moon\nconfidence: 0.9", "The moon."],
    "supervisor": [
        [ToolCall(role, "delegate", {"worker": role, "instructions": "Go."}) for role in ("a", "b")],
        *["It pulls."] * 2,
        [ToolCall("c", "forward_message", {"worker": "b"})],
    ],
    "swarm": [[ToolCall("1", "handoff", {"target": "b", "message": "Go on."})], "The moon."],
    "actor_critic": ["The sea moves.", _POOR, "The moon.", _GOOD],
    "debate": [*["It pulls.\nFinal answer: the moon"] * 4, "The moon."],
    "blackboard": [_NEXT, "It pulls.", '{"terminate": true}', "The moon."],
    "workflow": ["The moon."] * 3,
    "goals": [
        [ToolCall("1", "look_up", {"topic": "tides"})],
        "The moon.",  # the plan is open
        [ToolCall("2", "plan_write", {"steps": [_FOUND]})],
        "The moon.",  # the hook objects
        *["It pulls.", "NOT_DONE\nWhich way?"],
        *["It pulls up.", "DONE", "FAIL\n- Name the tides."],
        *["It pulls the tides up.", "DONE", "PASS"],
    ],
}
"""What the models say, in the order in which they are asked; where several are asked at once, they all say the same."""


def model_of(script: Sequence[Said]) -> FunctionModel:
    saying: Iterator[Said] = iter(script)

    def reply(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        said = next(saying)
        return ModelReply(said) if isinstance(said, str) else ModelReply(tool_calls=tuple(said))

    return FunctionModel(reply)


async def record() -> dict[str, list[bytes]]:
    """The stored events of a run of each, by its name."""
    streams: dict[str, list[bytes]] = {}
    for name, make in THINKERS.items():
        async with System() as system:
            thinker = make(Makes(model_of(SCRIPTS[name]), lambda topic: f"of {topic}"))
            system.host(thinker, name="thinker")
            run = await thinker.run(TASK, user_id="alice")
            stored = await system.journal.read(run_stream(run.run_id))
            streams[name] = [recorded.stored for recorded in stored]
    return streams


def write(directory: Path, streams: dict[str, list[bytes]]) -> None:
    """Only those that there are not yet: an architecture that is new has its first history beside the others."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, stored in streams.items():
        path = directory / f"{name}.jsonl"
        if not path.exists():
            path.write_bytes(b"\n".join(stored) + b"\n")


if __name__ == "__main__":
    write(Path(__file__).parent / sys.argv[1] / "thinking", asyncio.run(record()))
