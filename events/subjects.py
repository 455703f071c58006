"""NATS subjects, built and parsed here and nowhere else.

    <ns>.signal.<user>.<agent>.<session>         a signal for a session
    <ns>.placed.<n>.<user>.<agent>.<session>     the same in its stream, under the number of its partition
    <ns>.event.<user>.<category>.<id>.<name>     every recorded event
    <ns>.live.<user>.<run>                       chunks while they happen, not stored
    <ns>.work.<user>.<worker>                    prompts for a worker
    <ns>.work.<user>.<worker>.cancel             prompts that nobody wants any more
    <ns>.tool.<tool>.spec                        what a tool that workers offer takes
    <ns>.tool.<tool>.call.<user>                 calls of it, for any of them
    <ns>.tool.<tool>.on.<worker>                 what this one has taken
    <ns>.tool.<tool>.at.<call>.<attempt>         one call, whoever has it
    <ns>.ask.<kind>                              services: run, history, approve, cancel …
    <ns>.ask.<user>.<kind>                       the same, for what is this user's
    <ns>.status.<node>                           one node is asked how it stands
    <ns>.parked.<user>.<agent>.<session>         signals set aside with their reason
    <ns>.node.<node>                             what each node says of itself
    <ns>.at.<node>                               what is asked of one node, by another
    <ns>.timer.set.<id>                          timers that wait
    <ns>.timer.due.<id>                          timers that have fired, until a node makes a signal of it

An id becomes exactly one token: what NATS does not allow in a token is written as `=` and two hex digits a
byte, as in quoted-printable, `=` itself included; the empty id (an anonymous user, say) is written as `-`,
and an id that is `-` as `=2D`. So `unescape(escape(x)) == x` for every text, and an id can never add a token
or a wildcard. A token with an `=` that `escape` would not have written is refused: an id has one name.
"""

import re
from typing import NamedTuple

from .placement import partition_of

DEFAULT_NAMESPACE = "treadle"

_SIGNAL_TOKENS = 3  # user, agent, session

_PLAIN = re.compile(r"[A-Za-z0-9_\-]+\Z")
_ESCAPED = re.compile(r"=([0-9A-F]{2})")
_TOKEN = r"[^\s.*>]+"
_LITERAL = re.compile(rf"{_TOKEN}(?:\.{_TOKEN})*\Z")
_PATTERN = re.compile(rf"(?:(?:{_TOKEN}|\*)\.)*(?:{_TOKEN}|\*|>)\Z")


def escape(text: str) -> str:
    """`text` as one subject token: letters, digits, `_` and `-` stay, other bytes become `=XX`."""
    if text == "":
        return "-"
    if text == "-":
        return "=2D"
    if _PLAIN.match(text):
        return text
    return "".join(
        chr(byte) if chr(byte) in _SAFE else f"={byte:02X}" for byte in text.encode("utf-8", "surrogatepass")
    )


def unescape(token: str) -> str:
    """The text that `escape` made `token` of. A token without `=` is its own text, whoever wrote it.

    Raises:
        ValueError: Its escapes are not as `escape` writes them: an id would have a second name.
    """
    if token == "-":
        return ""
    if "=" not in token:
        return token
    try:
        raw = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), token)
        text = raw.encode("latin-1").decode("utf-8", "surrogatepass")
    except UnicodeError:
        text = None
    if text is None or escape(text) != token:
        raise ValueError(
            f"token {token!r} is not escaped as an id is: '=' and two capital hex digits for each byte that is no "
            "letter, digit, '_' or '-'"
        )
    return text


_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


class SignalAddress(NamedTuple):
    """Whom a signal is for."""

    user_id: str
    agent: str
    session_id: str


class EventAddress(NamedTuple):
    """Which event a subject tells of."""

    user_id: str
    category: str
    entity_id: str
    name: str


class Subjects:
    """The subjects of one namespace.

    Args:
        namespace: The first token of every subject; letters, digits, `_` and `-`.
    """

    def __init__(self, namespace: str = DEFAULT_NAMESPACE) -> None:
        if not _PLAIN.match(namespace):
            raise ValueError(f"namespace {namespace!r} must be one token of letters, digits, '_' and '-'")
        self.namespace = namespace

    def signal(self, user_id: str, agent: str, session_id: str) -> str:
        return f"{self.namespace}.signal.{escape(user_id)}.{escape(agent)}.{escape(session_id)}"

    def signals(self, agent: str = "", user_id: str = "") -> str:
        """The filter for all signals, or those of one agent or user."""
        return f"{self.namespace}.signal.{escape(user_id) if user_id else '*'}.{escape(agent) if agent else '*'}.*"

    def placed(self, partition: int) -> str:
        """The filter for the signals of one partition, as they are in their stream."""
        return f"{self.namespace}.placed.{partition}.>"

    def unplaced(self) -> tuple[str, ...]:
        """The filters for what was sent as a signal and is addressed to no session, so that it is in no partition.

        None of them matches a signal as it was sent, or nats-server 2.15.1 keeps every signal: with a consumer on
        `signal.>` beside those of the partitions it does not remove what was acknowledged.
        """
        head = f"{self.namespace}.signal"
        too_short = [".".join([head, *"*" * count]) for count in range(1, _SIGNAL_TOKENS)]
        too_long = ".".join([head, *"*" * (_SIGNAL_TOKENS + 1)])
        return *too_short, too_long, f"{too_long}.>"

    def stored(self, pattern: str) -> list[str]:
        """Under which patterns what is sent under `pattern` is in its stream: signals are placed there."""
        head, kind, *rest = pattern.split(".")
        if head != self.namespace or kind != "signal":
            return [pattern]
        placed = f"{self.namespace}.placed.*.{'.'.join(rest)}"
        if rest[-1] == ">" and len(rest) <= _SIGNAL_TOKENS:
            return [pattern, placed]  # what is addressed to no session stays where it was sent
        return [placed] if len(rest) == _SIGNAL_TOKENS else [pattern]

    def as_sent(self, subject: str) -> str:
        """Where a signal was sent that is on `subject` in its stream."""
        tokens = subject.split(".")
        if tokens[:2] != [self.namespace, "placed"]:
            return subject
        return ".".join([self.namespace, "signal", *tokens[3:]])

    def partition(self, address: "SignalAddress", count: int) -> int:
        """The partition of a session's signals; the server says the same of them."""
        return partition_of(map(escape, address), count)

    def node(self, node: str) -> str:
        """Where a node says what it is."""
        return f"{self.namespace}.node.{escape(node)}"

    def at(self, node: str) -> str:
        """Where other nodes ask this one."""
        return f"{self.namespace}.at.{escape(node)}"

    def nodes(self) -> str:
        """The filter for all nodes."""
        return f"{self.namespace}.node.*"

    def parked(self, subject: str) -> str:
        """Where a signal that came on `subject` is set aside; any subject at all is accepted."""
        head = f"{self.namespace}.signal."
        rest = subject.removeprefix(head) if subject.startswith(head) else escape(subject)
        return f"{self.namespace}.parked.{rest}"

    def event(self, user_id: str, stream: str, type: str) -> str:
        """The subject of one event: `stream` is `<category>-<id>`, `type` is `<category>.<name>`."""
        category, _, entity_id = stream.partition("-")
        name = type.partition(".")[2] or type
        return f"{self.namespace}.event.{escape(user_id)}.{escape(category)}.{escape(entity_id)}.{escape(name)}"

    def events(self, user_id: str | None = None, category: str | None = None, entity_id: str | None = None) -> str:
        """A filter for events; what is None matches everything."""
        parts = [
            "*" if user_id is None else escape(user_id),
            "*" if category is None else escape(category),
            "*" if entity_id is None else escape(entity_id),
        ]
        return f"{self.namespace}.event.{'.'.join(parts)}.>"

    def live(self, user_id: str, run_id: str) -> str:
        return f"{self.namespace}.live.{escape(user_id)}.{escape(run_id)}"

    def lives(self, user_id: str | None = None, run_id: str | None = None) -> str:
        """A filter for live chunks; what is None matches everything."""
        user, run = ("*" if each is None else escape(each) for each in (user_id, run_id))
        return f"{self.namespace}.live.{user}.{run}"

    def work(self, user_id: str, worker: str) -> str:
        return f"{self.namespace}.work.{escape(user_id)}.{escape(worker)}"

    def work_cancel(self, user_id: str, worker: str) -> str:
        return f"{self.work(user_id, worker)}.cancel"

    def work_cancels(self, worker: str) -> str:
        """The filter for all users' work of one worker that is cancelled."""
        return f"{self.works(worker)}.cancel"

    def works(self, worker: str) -> str:
        """The filter for all users' work of one worker."""
        return f"{self.namespace}.work.*.{escape(worker)}"

    def tool(self, tool: str) -> str:
        """The filter for all that concerns one tool of workers."""
        return f"{self.namespace}.tool.{escape(tool)}.>"

    def tool_spec(self, tool: str) -> str:
        return f"{self.namespace}.tool.{escape(tool)}.spec"

    def tool_call(self, tool: str, user_id: str) -> str:
        return f"{self.namespace}.tool.{escape(tool)}.call.{escape(user_id)}"

    def tool_calls(self, tool: str) -> str:
        """The filter for all users' calls of one tool."""
        return f"{self.namespace}.tool.{escape(tool)}.call.*"

    def tool_on(self, tool: str, worker_id: str) -> str:
        return f"{self.namespace}.tool.{escape(tool)}.on.{escape(worker_id)}"

    def tool_at(self, tool: str, call_id: str, attempt: int) -> str:
        return f"{self.namespace}.tool.{escape(tool)}.at.{escape(call_id)}.{attempt}"

    def status(self, node: str) -> str:
        """Where one node is asked how it stands."""
        return f"{self.namespace}.status.{escape(node)}"

    def ask(self, kind: str, user_id: str | None = None) -> str:
        """Where a service is asked; with a user, for that user and about nobody else's runs."""
        user = "" if user_id is None else f"{escape(user_id)}."
        return f"{self.namespace}.ask.{user}{escape(kind)}"

    def asks(self, kind: str) -> str:
        """The filter for a service asked for any one user."""
        return f"{self.namespace}.ask.*.{escape(kind)}"

    def parse_ask(self, subject: str) -> str:
        """The user for whom a service is asked on `subject`.

        Raises:
            ValueError: `subject` is no such subject of this namespace, or a token of it is no id.
        """
        tokens = subject.split(".")
        if len(tokens) != 4 or tokens[:2] != [self.namespace, "ask"]:
            raise ValueError(f"{subject!r} is not {self.namespace}.ask.<user>.<kind>")
        return unescape(tokens[2])

    def timer(self, timer_id: str) -> str:
        return f"{self.namespace}.timer.set.{escape(timer_id)}"

    def timers(self) -> str:
        """The filter for all timers that wait."""
        return f"{self.namespace}.timer.set.*"

    def timer_due(self, timer_id: str) -> str:
        return f"{self.namespace}.timer.due.{escape(timer_id)}"

    def timers_due(self) -> str:
        """The filter for all timers that have fired."""
        return f"{self.namespace}.timer.due.*"

    def parse_timer(self, subject: str) -> str:
        """The id of the timer on `subject`, be it waiting or due.

        Raises:
            ValueError: `subject` is neither in this namespace, or its id is no id.
        """
        tokens = subject.split(".")
        if len(tokens) != 4 or tokens[:2] != [self.namespace, "timer"] or tokens[2] not in ("set", "due"):
            raise ValueError(f"{subject!r} is not {self.namespace}.timer.<set|due>.<id>")
        return unescape(tokens[3])

    def parse_signal(self, subject: str) -> SignalAddress:
        """Whom the signal on `subject` is for.

        Raises:
            ValueError: `subject` is no signal subject of this namespace, or a token of it is no id.
        """
        tokens = subject.split(".")
        if len(tokens) != 5 or tokens[:2] != [self.namespace, "signal"]:
            raise ValueError(f"{subject!r} is not {self.namespace}.signal.<user>.<agent>.<session>")
        return SignalAddress(*map(unescape, tokens[2:]))

    def parse_event(self, subject: str) -> EventAddress:
        """Which event is told on `subject`.

        Raises:
            ValueError: `subject` is no event subject of this namespace, or a token of it is no id.
        """
        tokens = subject.split(".")
        if len(tokens) != 6 or tokens[:2] != [self.namespace, "event"]:
            raise ValueError(f"{subject!r} is not {self.namespace}.event.<user>.<category>.<id>.<name>")
        return EventAddress(*map(unescape, tokens[2:]))


def matches(pattern: str, subject: str) -> bool:
    """Does `subject` fall under `pattern`, by NATS' rules: `*` is one token, `>` at the end one or more."""
    wanted = pattern.split(".")
    given = subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return index == len(wanted) - 1 and len(given) > index
        if index >= len(given) or (token != "*" and token != given[index]):
            return False
    return len(given) == len(wanted)


def is_literal(subject: str) -> bool:
    """Can something be sent to `subject`: tokens that are not empty, without spaces and wildcards?"""
    return _LITERAL.match(subject) is not None


def is_pattern(subject: str) -> bool:
    """Can one listen to `subject`: as `is_literal`, or with `*` for a token and `>` for the rest?"""
    return _PATTERN.match(subject) is not None


def overlap(one: str, other: str) -> bool:
    """Is there a subject that falls under both patterns?"""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if a == ">" or b == ">":
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(left) == len(right)
