"""Leases: what each node says of itself, in the stream NODES.

A record is gone, by the broker's clock, when it is not renewed in time. It is renewed only while it is there, and
partitions are taken only on the newest state of the whole stream: both are conditions of the publish itself, so of two
nodes that want the same one gets it, and a node that slept learns that its lease has run out from the attempt to
renew it.
"""

import msgspec
from msgspec import Struct

from ...events.errors import Refused, Unavailable
from ...events.logs import get_logger
from ...events.placement import NodeRecord
from ...events.subjects import Subjects
from ..broker.jetstream import NANOSECONDS, JetStream, JetStreamError, Outgoing
from ..broker.streams import stream_name

_WRONG_SEQUENCE = (10071, 10164)
_OF_STREAM = "Nats-Expected-Last-Sequence"
_OF_SUBJECT = "Nats-Expected-Last-Subject-Sequence"
_log = get_logger("treadle.placement")


class LostLease(Refused):
    """Somebody was first, or our record has expired: look again."""


class Nodes(Struct, frozen=True):
    """The records of a moment.

    Attributes:
        records: Of the nodes that live, by name.
        sequences: Which message of the stream each record is.
        up_to: The newest message that was looked at.
    """

    records: dict[str, NodeRecord]
    sequences: dict[str, int]
    up_to: int


class Leases:
    """The leases of one namespace.

    Attributes:
        lease_s: How long a record counts.
    """

    def __init__(self, js: JetStream, subjects: Subjects) -> None:
        self.lease_s = 0.0
        self._js = js
        self._subjects = subjects
        self._stream = stream_name("nodes", subjects)

    async def open(self) -> None:
        """Ask how long leases are.

        Raises:
            Unavailable: The stream is not there, or the server does not answer.
        """
        config = await self._js.stream_config(self._stream)
        if config is None:
            raise Unavailable(f"stream {self._stream!r}", "there is none")
        self.lease_s = config["max_age"] / NANOSECONDS

    async def read(self) -> Nodes:
        """Who lives now.

        Raises:
            Unavailable: The server does not answer.
        """
        found, up_to = await self._js.newest_of_each(self._stream, self._subjects.nodes())
        records: dict[str, NodeRecord] = {}
        sequences: dict[str, int] = {}
        for message in found:
            if (record := record_in(message.data)) is not None:
                records[record.node], sequences[record.node] = record, message.sequence
        return Nodes(records, sequences, up_to)

    async def renew(self, record: NodeRecord, sequence: int) -> int:
        """Say `record` again, if message `sequence` is still what stands there; the number of the new one.

        Raises:
            LostLease: It is not: it has expired, or was written anew.
            Unavailable: Not confirmed; whether it was written is unknown.
        """
        return await self._put(record, _OF_SUBJECT, sequence)

    async def claim(self, record: NodeRecord, up_to: int) -> int:
        """Say `record`, if nobody has said anything since message `up_to` of the stream.

        Raises:
            LostLease: Somebody has.
            Unavailable: Not confirmed; whether it was written is unknown.
        """
        return await self._put(record, _OF_STREAM, up_to)

    async def _put(self, record: NodeRecord, condition: str, sequence: int) -> int:
        subject = self._subjects.node(record.node)
        message = Outgoing(subject, msgspec.json.encode(record), headers={condition: str(sequence)})
        try:
            return (await self._js.store(message)).sequence
        except JetStreamError as exc:
            if exc.err_code in _WRONG_SEQUENCE:
                raise LostLease(f"the lease of {record.node} stands no more as it was: {exc.description}") from exc
            raise


def record_in(data: bytes) -> NodeRecord | None:
    """The record in a message; None, and a warning, when it is none."""
    try:
        return msgspec.json.decode(data, type=NodeRecord)
    except msgspec.MsgspecError as exc:
        _log.warning("somebody says what no node says, and is not counted: %s", exc)
        return None
