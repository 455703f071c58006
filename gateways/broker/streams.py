"""Lays the JetStream streams that Treadle needs, from the files in `nats/streams/`.

What the files say is what the stream gets; what they leave out (placement, size limits) is the operator's, and stays as
it is. How many servers keep a stream is said in `replicas.py`. The streams of the default namespace have plain names
(`SIGNALS`), those of another namespace carry it (`SIGNALS-staging`), so that several can share one server.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

import msgspec

from ...events.errors import ConfigError, Unavailable
from ...events.subjects import DEFAULT_NAMESPACE, Subjects
from .jetstream import JetStream, JetStreamError
from .replicas import with_replicas

STREAMS: Final = ("signals", "events", "parked", "timers", "nodes")

_PARTITION = re.compile(r"\{\{partition\((\d+),")

# What the server cannot change once the stream exists, or only in one direction.
_FIXED = ("storage", "retention", "deny_delete", "deny_purge")


def stream_name(kind: str, subjects: Subjects) -> str:
    """The name of one of `STREAMS` in the namespace of `subjects`."""
    plain = kind.upper()
    return plain if subjects.namespace == DEFAULT_NAMESPACE else f"{plain}-{subjects.namespace}"


def definition(kind: str, subjects: Subjects) -> dict[str, Any]:
    """The configuration of one of `STREAMS`, as JetStream reads it."""
    text = (files("treadle") / "nats" / "streams" / f"{kind}.json").read_text("utf-8")
    config: dict[str, Any] = msgspec.json.decode(text.replace("{namespace}", subjects.namespace))
    return {**config, "name": stream_name(kind, subjects)}


async def partitions(js: JetStream, subjects: Subjects) -> int:
    """Into how many partitions the server places signals.

    Raises:
        Unavailable: There is no such stream yet, or the server does not answer.
        ConfigError: It does not place them.
    """
    name = stream_name("signals", subjects)
    config = await js.stream_config(name)
    if config is None:
        raise Unavailable(f"stream {name!r}", "there is none")
    found = _PARTITION.search(config.get("subject_transform", {}).get("dest", ""))
    if found is None:
        raise ConfigError(f"stream {name!r} does not place signals in partitions; let a node lay it anew")
    return int(found[1])


async def lay_streams(js: JetStream, subjects: Subjects) -> None:
    """Create the streams that are missing, and change those that differ; doing it again does nothing.

    Raises:
        ConfigError: A stream exists and cannot become what it has to be, another stream has its subjects, or there are
            not as many servers as replicas were asked for.
        Unavailable: The server does not answer, or has no JetStream.
    """
    for kind in STREAMS:
        await lay_stream(js, definition(kind, subjects))


async def lay_stream(js: JetStream, wanted: Mapping[str, Any]) -> None:
    """Create one stream, or change what differs. It gets the replicas that `replicas.py` says, and keeps those it has.

    Raises:
        ConfigError, Unavailable: As `lay_streams`.
    """
    name = wanted["name"]
    found = await js.stream_config(name)
    try:
        if found is None:
            await with_replicas(js, name, 0, lambda n: js.call(f"STREAM.CREATE.{name}", {**wanted, "num_replicas": n}))
            return
        changed = {key for key, value in wanted.items() if found.get(key, False) != value}
        for key in _FIXED:
            if key in changed:
                raise ConfigError(
                    f"stream {name!r} has {key} {found.get(key)!r} and needs {wanted[key]!r}, which cannot be changed; "
                    f"empty it and delete it (nats stream rm {name}), or choose another namespace"
                )
        if changed:
            await js.call(f"STREAM.UPDATE.{name}", {**found, **wanted})
        await with_replicas(
            js,
            name,
            found["num_replicas"],
            lambda n: js.call(f"STREAM.UPDATE.{name}", {**found, **wanted, "num_replicas": n}),
        )
    except JetStreamError as error:
        raise ConfigError(f"stream {name!r} cannot be laid: {error.description} (error {error.err_code})") from error
