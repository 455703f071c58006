"""The models of the example: rules in place of a language model, so that it runs without a key.

A rule sees what a language model would see, the messages, and answers the same way, with text and tool calls. It is a
function of the messages alone: after a crash it says again what it said before. The tokens it reports are words.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from treadle import FunctionModel, Message, ModelReply, ToolCall, ToolSpec, Usage

Figures = dict[str, Any]


class Topic(NamedTuple):
    """What the desk does about one kind of signal.

    Attributes:
        look: The tools for a closer look.
        probe: What the prober measures for it.
        fact: The figure that is worth remembering.
        limit: Above it, or below if `below`, the page is urgent.
    """

    look: tuple[str, ...]
    probe: str
    fact: str
    limit: float
    below: bool = False


TOPICS = {
    "load": Topic(("load_average", "memory_left"), "cpu_time", "load_1m", 8.0),
    "memory": Topic(("memory_left", "load_average"), "cpu_time", "available_percent", 5.0, below=True),
    "disk": Topic(("disk_usage", "journal_size"), "fsync_time", "used_percent", 95.0),
    "journal": Topic(("journal_size", "disk_usage"), "fsync_time", "size_kb", 1024 * 1024),
    "server": Topic(("server_figures", "server_log"), "nats_round_trip", "slow_consumers", 0),
    "streams": Topic(("stream_figures", "server_figures"), "nats_round_trip", "api_errors", 100),
    "log": Topic(("server_log", "server_figures"), "nats_round_trip", "errors", 0),
}


class _Turn(NamedTuple):
    """Where this run's conversation stands; earlier runs of the session are left out.

    Attributes:
        prompt: What the run was asked.
        number: How often the model has spoken in this run.
        results: What the tools said, by tool.
    """

    prompt: str
    number: int
    results: dict[str, str]

    def call(self, tool: str, **args: Any) -> ToolCall:
        return ToolCall(f"{tool}_{self.number}", tool, args)


def _turn(messages: Sequence[Message]) -> _Turn:
    start = max(index for index, message in enumerate(messages) if message.role == "user")
    since = messages[start + 1 :]
    results = {message.name: message.content for message in since if message.role == "tool"}
    return _Turn(messages[start].content, sum(message.role == "assistant" for message in since), results)


def desk_rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
    """Look, have it measured, then tell everybody, then say so."""
    turn = _turn(messages)
    seen: Figures = json.loads(turn.prompt[turn.prompt.index("{") :])
    topic = TOPICS[seen["topic"]]
    match turn.number:
        case 0:
            return _calls(messages, *(turn.call(tool) for tool in topic.look))
        case 1:
            task = json.dumps({"probe": topic.probe, "because": turn.prompt.splitlines()[0]})
            return _calls(messages, turn.call("delegate_to_prober", prompt=task))
        case 2:
            text, urgency = _assessment(turn, topic), _urgency(turn, topic)
            return _calls(
                messages,
                turn.call("post_to_ops", content=text, kind=seen["topic"]),
                turn.call("remember_fact", subject=seen["host"], predicate=topic.fact, object=_figure(turn, topic)),
                turn.call("page_on_call", urgency=urgency, text=text),
            )
        case _:
            return _says(messages, f"{_urgency(turn, topic)}: {_assessment(turn, topic)}")


def prober_rules(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
    """Measure what was asked for, and the processors beside it."""
    turn = _turn(messages)
    if turn.number == 0:
        wanted = dict.fromkeys((json.loads(turn.prompt)["probe"], "cpu_time"))
        return _calls(messages, *(turn.call(tool) for tool in wanted))
    return _says(messages, "; ".join(_flat(result) for result in turn.results.values()))


def _assessment(turn: _Turn, topic: Topic) -> str:
    looked = "; ".join(_flat(turn.results[tool]) for tool in topic.look)
    return f"{turn.prompt.splitlines()[0]} Now: {looked}. Measured: {turn.results['delegate_to_prober']}."


def _urgency(turn: _Turn, topic: Topic) -> str:
    try:
        figure = float(_figure(turn, topic))
    except ValueError:
        return "high"  # there is no figure, because looking for it failed
    return "high" if (figure < topic.limit if topic.below else figure > topic.limit) else "low"


def _figure(turn: _Turn, topic: Topic) -> str:
    figures = _figures(turn.results[topic.look[0]])
    return str(figures.get(topic.fact, "unknown"))


def _flat(result: str) -> str:
    figures = _figures(result)
    return ", ".join(f"{name} {value}" for name, value in figures.items() if value != "") if figures else result


def _figures(result: str) -> Figures:
    """What a tool said, if it said figures; a tool that failed says so in words."""
    try:
        found = json.loads(result)
    except ValueError:
        return {}
    return cast(Figures, found) if isinstance(found, dict) else {}


def _calls(messages: Sequence[Message], *calls: ToolCall) -> ModelReply:
    words = sum(len(str(call.args).split()) + 1 for call in calls)
    return ModelReply(tool_calls=calls, usage=_usage(messages, words), finish_reason="tool_calls")


def _says(messages: Sequence[Message], text: str) -> ModelReply:
    return ModelReply(text, usage=_usage(messages, len(text.split())))


def _usage(messages: Sequence[Message], words: int) -> Usage:
    return Usage(sum(len(message.content.split()) for message in messages), words)


desk = FunctionModel(desk_rules, name="desk-rules")
prober = FunctionModel(prober_rules, name="prober-rules")
