"""JetStream by its wire protocol: the few requests that we make, and nothing else of it.

nats-py's own layer lacks what we need (strict creation, pipelined publishing with all its answers, pulls that
survive the server), and every request here is exact: since 2.12 the server refuses fields it does not know.
Names and error codes are those of the server's `$JS.API`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, NamedTuple, TypeVar

import msgspec
from nats import errors
from nats.aio.msg import Msg

from ...events.bus import MESSAGE_ID_HEADER
from ...events.errors import ConfigError, Refused, Unavailable
from .client import Client
from .errors import translated

NANOSECONDS = 1_000_000_000
PIPELINE = 1_024
"""How many published messages may wait for their acknowledgement at once."""

_BATCH_MESSAGES = 1_000  # the server's limit
# Subscribers see a batch when it is stored, and single messages when they arrive: for a few, that is sooner.
_FEW = 16
_NOT_FOR_THIS_ACCOUNT = 10039
_NOT_IN_A_CLUSTER = 10074  # replicas of a server that is alone: a 500, and no outage
_ID_IN_PROCESS = 10158  # a message with this id is under way to the replicas: whether it arrives is not known yet
_LOOK_AGAIN_S = 0.02
_BATCH_BYTES = 8 * 1024 * 1024

T = TypeVar("T")


class _Failure(msgspec.Struct):
    code: int
    err_code: int = 0
    description: str = ""


class _PubAck(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _Failure | None = None


class JetStreamError(Refused):
    """JetStream said no. `code` is like an HTTP status, `err_code` tells exactly."""

    def __init__(self, what: str, code: int, err_code: int, description: str) -> None:
        super().__init__(f"JetStream refused {what}: {description} (error {err_code})")
        self.code = code
        self.err_code = err_code
        self.description = description


class Stored(NamedTuple):
    """Where a message is in its stream; `duplicate` when it had been there before."""

    stream: str
    sequence: int
    duplicate: bool


class StoredMessage(NamedTuple):
    """A message as it is in its stream."""

    subject: str
    sequence: int
    headers: Mapping[str, str]
    data: bytes


class Outgoing(msgspec.Struct, frozen=True):
    """A message for a stream. A second one with this `message_id` is not stored within the stream's window."""

    subject: str
    data: bytes
    message_id: str = ""
    headers: Mapping[str, str] = {}

    def all_headers(self) -> dict[str, str]:
        return {**self.headers, MESSAGE_ID_HEADER: self.message_id} if self.message_id else dict(self.headers)


class JetStream:
    """JetStream of one connection.

    Args:
        timeout_s: How long each request may take. A shorter one is `Unavailable`, as is a missing JetStream.
        replicas: How many servers shall keep each stream at least, see `replicas.py`; 0 leaves it to us.
    """

    def __init__(self, client: Client, timeout_s: float = 5.0, replicas: int = 0) -> None:
        self._client = client
        self.timeout_s = timeout_s
        self.replicas = replicas
        self._pipelines: dict[str, _Pipeline] = {}
        self._inbox = ""
        self._numbers = count(1)

    @property
    def cluster(self) -> str:
        """The name of the cluster that our server is in; empty when it is alone."""
        return self._client.cluster

    async def call(self, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One request of the API.

        Raises:
            JetStreamError: The server said no.
            ConfigError: This account has no JetStream.
            Unavailable: No answer, or JetStream cannot serve now.
        """
        payload = msgspec.json.encode(body) if body is not None else b""
        reply = await self._request(f"JetStream {verb}", f"$JS.API.{verb}", payload)
        answer: dict[str, Any] = msgspec.json.decode(reply.data)
        if "error" in answer:
            raise _refusal(verb, msgspec.convert(answer["error"], _Failure))
        return answer

    async def stream_of(self, subject: str) -> str:
        """The name of the stream that stores `subject`, or messages that fall under it.

        Raises:
            Unavailable: There is none, yet.
        """
        names: list[str] = (await self.call("STREAM.NAMES", {"subject": subject})).get("streams") or []
        if not names:
            raise Unavailable(f"queue of {subject!r}", "no stream takes this subject")
        return names[0]

    async def stream_config(self, stream: str) -> dict[str, Any] | None:
        """How `stream` is configured; None when there is none."""
        try:
            config: dict[str, Any] = (await self.call(f"STREAM.INFO.{stream}"))["config"]
        except JetStreamError as error:
            if error.code == 404:
                return None
            raise
        return config

    async def last_headers(self, stream: str, subject: str) -> Mapping[str, str]:
        """The headers of the newest message under `subject`; none when there is no message."""
        return await self._headers(stream, f"newest message of {subject!r}", {"last_by_subj": subject})

    async def headers_at(self, stream: str, sequence: int) -> Mapping[str, str]:
        """The headers of message number `sequence`; none when it is not there."""
        return await self._headers(stream, f"message {sequence} of {stream!r}", {"seq": sequence})

    async def next_message(self, stream: str, subject: str, sequence: int) -> StoredMessage | None:
        """The first message under `subject` whose number is `sequence` or higher; None when there is none."""
        asked = {"seq": sequence, "next_by_subj": subject}
        found = await self._get(stream, f"messages of {subject!r}", asked)
        if found is None:
            return None
        return _stored_message(found)

    async def headers_page(self, stream: str, subject: str, sequence: int, limit: int) -> list[Mapping[str, str]]:
        """The headers of up to `limit` messages under `subject`, from number `sequence` on; their number is among them.

        A message that is corrupt on the server's disk is left out by the server, without a word.
        """
        asked = {"seq": sequence, "next_by_subj": subject, "batch": limit}
        found, _ = await self._get_many(stream, f"messages of {subject!r}", asked)
        return [msg.headers or {} for msg in found]

    async def newest_of_each(self, stream: str, subject: str) -> tuple[list[StoredMessage], int]:
        """The newest message of every subject under `subject`, and up to which number of the stream that holds."""
        what, asked = f"messages of {subject!r}", {"multi_last": [subject]}
        found, end = await self._get_many(stream, what, asked)
        up_to = end.get("Nats-UpTo-Sequence")
        if up_to is None:
            # It is not told when there is none. Looked at before the messages, or one that comes in between would count
            # as seen: two nodes that start together would both take everything.
            last = (await self.call(f"STREAM.INFO.{stream}"))["state"]["last_seq"]
            found, end = await self._get_many(stream, what, asked)
            up_to = end.get("Nats-UpTo-Sequence", last)
        return [_stored_message(msg) for msg in found], int(up_to)

    async def _get_many(self, stream: str, what: str, asked: Mapping[str, Any]) -> tuple[list[Msg], Mapping[str, str]]:
        """What the server sends for a request for several messages, and the headers that end it."""
        found: list[Msg] = []
        ended: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()

        async def receive(msg: Msg) -> None:
            headers = msg.headers or {}
            if "Status" not in headers:
                found.append(msg)
            elif not ended.done():
                ended.set_result(headers)

        inbox = self._client.new_inbox()
        with translated(what):
            listening = await self._client.listen(inbox, receive)
            try:
                await self._client.publish(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(asked), inbox)
                async with asyncio.timeout(self.timeout_s):
                    end = await ended
            except TimeoutError as exc:
                raise Unavailable(what, f"no answer within {self.timeout_s:g} s") from exc
            finally:
                await listening.unsubscribe()
        status = end["Status"]
        if status == "503":
            raise Unavailable(what, f"there is no stream {stream!r}")
        if status not in ("204", "404"):
            raise JetStreamError(what, int(status), 0, end.get("Description", ""))
        return found, end

    async def _headers(self, stream: str, what: str, asked: Mapping[str, Any]) -> Mapping[str, str]:
        found = await self._get(stream, what, asked)
        return (found.headers or {}) if found is not None else {}

    async def _get(self, stream: str, what: str, asked: Mapping[str, Any]) -> Msg | None:
        reply = await self._request(what, f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(asked))
        headers = reply.headers or {}
        status = headers.get("Status", "")
        if status == "404":
            return None
        if status:
            raise JetStreamError(what, int(status), 0, headers.get("Description", ""))
        return reply

    async def make_consumer(self, stream: str, config: Mapping[str, Any], action: str) -> None:
        """Create a consumer (`action` "create": an equal one may exist) or "update" it."""
        path = [stream, config["durable_name"]]
        if subject := config.get("filter_subject"):  # one, and not several: it belongs into the request's own subject
            path.append(subject)
        request = {"stream_name": stream, "config": config, "action": action}
        await self.call(f"CONSUMER.CREATE.{'.'.join(path)}", request)

    async def store(self, message: Outgoing) -> Stored:
        """Publish one message to its stream, and wait until it is stored.

        Raises:
            Unavailable: No stream takes the subject, or it did not confirm; ask again with the same id.
            JetStreamError: The stream refused it.
        """
        return await self._until_taken(partial(self._store_one, message))

    async def _store_one(self, message: Outgoing) -> Stored:
        what = f"stream of {message.subject!r}"
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        while True:
            reply = await self._request(what, message.subject, message.data, message.all_headers())
            if not _is_in_process(reply.data) or loop.time() >= deadline:
                return _stored(message.subject, reply.data)
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def store_all(self, messages: Sequence[Outgoing]) -> list[Stored]:
        """Publish `messages` in order, and wait until all are stored.

        Many go as atomic batches where the stream allows it, which costs the disk a few syncs a batch: measured on
        two cores, 60,000 messages/s against 5,000. A few, and a batch that the server refuses, for one id that it
        knows already, say, are published message by message.

        Raises:
            Unavailable: Some were not confirmed; which is unknown, so send all again with the same ids.
            JetStreamError: The stream refused one; others may be stored.
        """
        stored: list[Stored] = []
        for chunk in _chunks(messages):
            stored += await self._until_taken(partial(self._store_chunk, chunk))
        return stored

    async def _store_chunk(self, messages: Sequence[Outgoing]) -> list[Stored]:
        if 1 < len(messages) <= _FEW:
            return await self._store_each(messages)
        try:
            return await self._store_batch(messages)
        except JetStreamError:
            return await self._store_each(messages)

    async def _until_taken(self, store: Callable[[], Awaitable[T]]) -> T:
        """What `store` returns. In a cluster a stream has no leader for a while, or our server does not know it yet:
        what nobody takes is tried again until it is late. The ids tell what was stored meanwhile.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        while True:
            try:
                return await store()
            except _Untaken:
                if not self.cluster or loop.time() >= deadline:
                    raise
            await asyncio.sleep(_LOOK_AGAIN_S)

    def fail_pipelines(self, error: Exception) -> None:
        """End every pipeline that waits for confirmations: the connection is gone, they will not come."""
        for pipeline in self._pipelines.values():
            pipeline.fail(error)

    async def _store_batch(self, messages: Sequence[Outgoing]) -> list[Stored]:
        """All or none, by ADR-50: the last message commits the batch, and only it is answered."""
        if len(messages) == 1:
            return [await self.store(messages[0])]
        batch_id = self._client.new_inbox().rpartition(".")[2]
        what = f"a batch of {len(messages)} messages to {messages[0].subject!r} and others"
        with translated(what):
            for number, message in enumerate(messages[:-1], 1):
                await self._client.publish(
                    message.subject, message.data, headers=message.all_headers() | _in_batch(batch_id, number)
                )
        last = messages[-1]
        headers = last.all_headers() | _in_batch(batch_id, len(messages)) | {"Nats-Batch-Commit": "1"}
        reply = await self._request(what, last.subject, last.data, headers)
        if _is_in_process(reply.data):
            return await self._store_each(messages)
        end = _stored(last.subject, reply.data)
        first = end.sequence - len(messages) + 1
        return [Stored(end.stream, first + index, False) for index in range(len(messages))]

    async def _store_each(self, messages: Sequence[Outgoing]) -> list[Stored]:
        """One by one. What somebody else is just storing under the same id is asked for again, until it is there."""
        answers = await self._send(messages)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        while (again := [at for at, data in enumerate(answers) if _is_in_process(data)]) and loop.time() < deadline:
            await asyncio.sleep(_LOOK_AGAIN_S)
            for at, data in zip(again, await self._send([messages[at] for at in again]), strict=True):
                answers[at] = data
        return [_stored(message.subject, data) for message, data in zip(messages, answers, strict=True)]

    async def _send(self, messages: Sequence[Outgoing]) -> list[bytes]:
        """Publish them in order; the answer to each."""
        number, pipeline = str(next(self._numbers)), _Pipeline(len(messages))
        self._pipelines[number] = pipeline
        try:
            with translated(f"{len(messages)} messages to {messages[0].subject!r} and others"):
                if not self._inbox:
                    # One for all pipelines, and for good: the client brings it along when it connects anew.
                    inbox = self._client.new_inbox()
                    await self._client.listen(f"{inbox}.*.*", self._receive)
                    self._inbox = inbox
                await pipeline.send(self._client, messages, f"{self._inbox}.{number}", self.timeout_s)
        except Unavailable as error:
            done = f"{pipeline.answered} of {len(messages)} messages were confirmed"
            kind = _Untaken if isinstance(error, _Untaken) else Unavailable
            raise kind(error.what, f"{error.why} ({done}); send all again with the same ids") from error
        finally:
            del self._pipelines[number]
        return pipeline.answers

    async def _request(self, what: str, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> Msg:
        """Ask the server, and say in its words' place why there is no answer."""
        try:
            with translated(what):
                return await self._client.request(
                    subject, data, timeout=self.timeout_s, headers=dict(headers) if headers else None
                )
        except Unavailable as error:
            match error.__cause__:
                case errors.NoRespondersError():
                    raise _Untaken(what, f"there is no such stream{self._or_no_leader}") from error
                case TimeoutError():
                    raise Unavailable(what, f"no answer within {self.timeout_s:g} s{self._or_no_leader}") from error
                case _:
                    raise

    @property
    def _or_no_leader(self) -> str:
        return ", or too few servers of the cluster are up for it to have a leader" if self.cluster else ""

    async def _receive(self, msg: Msg) -> None:
        pipeline, number = msg.subject.rsplit(".", 2)[1:]
        if pipeline in self._pipelines:  # or it was given up, and its messages were sent again since
            self._pipelines[pipeline].receive(int(number), msg.data)


class _Untaken(Unavailable):
    """Nobody took the message: there is no stream for it, or none that has a leader. It is stored nowhere."""


class _Pipeline:
    """Messages under way, their answers by number."""

    def __init__(self, size: int) -> None:
        self.answers: list[bytes] = [b""] * size
        self.answered = 0
        self._size = size
        self._sent = 0
        self._progress = asyncio.Event()
        self._error: Exception | None = None

    async def send(self, client: Client, messages: Sequence[Outgoing], inbox: str, timeout_s: float) -> None:
        for number, message in enumerate(messages):
            if self._sent - self.answered >= PIPELINE:
                await self._wait(self._sent - PIPELINE // 2, timeout_s)
            await client.publish(
                message.subject, message.data, f"{inbox}.{number}", headers=message.all_headers() or None
            )
            self._sent += 1
        client.push()
        await self._wait(self._size, timeout_s)

    def fail(self, error: Exception) -> None:
        self._error = error
        self._progress.set()

    async def _wait(self, answers: int, timeout_s: float) -> None:
        """Until `answers` messages were answered; the time starts anew with each answer."""
        while self.answered < answers:
            if self._error is not None:
                raise self._error
            self._progress.clear()
            async with asyncio.timeout(timeout_s):
                await self._progress.wait()

    def receive(self, number: int, data: bytes) -> None:
        """The answer to message `number`."""
        if not data:  # the status of a request that nobody took
            self.fail(_Untaken("the stream", "no stream takes one of the subjects"))
        elif not self.answers[number]:
            self.answers[number] = data
            self.answered += 1
            self._progress.set()


def _chunks(messages: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    start = size = 0
    for index, message in enumerate(messages):
        if index - start == _BATCH_MESSAGES or (size and size + len(message.data) > _BATCH_BYTES):
            yield messages[start:index]
            start, size = index, 0
        size += len(message.data)
    if start < len(messages):
        yield messages[start:]


def _in_batch(batch_id: str, number: int) -> dict[str, str]:
    return {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(number)}


def _stored_message(msg: Msg) -> StoredMessage:
    headers = msg.headers or {}
    return StoredMessage(headers["Nats-Subject"], int(headers["Nats-Sequence"]), headers, msg.data)


def _stored(subject: str, data: bytes) -> Stored:
    ack = msgspec.json.decode(data, type=_PubAck)
    if ack.error is not None:
        raise _refusal(f"a message to {subject!r}", ack.error)
    return Stored(ack.stream, ack.seq, ack.duplicate)


def _is_in_process(answer: bytes) -> bool:
    ack = msgspec.json.decode(answer, type=_PubAck)
    return ack.error is not None and ack.error.err_code == _ID_IN_PROCESS


def _refusal(what: str, failure: _Failure) -> Unavailable | JetStreamError | ConfigError:
    if failure.err_code == _NOT_FOR_THIS_ACCOUNT:
        return ConfigError(
            f"JetStream for {what}: {failure.description}; a node needs the credentials of the nodes, not a tenant's "
            "(`treadle nats auth show`)"
        )
    outage = failure.code in (500, 503) and failure.err_code != _NOT_IN_A_CLUSTER
    if outage or failure.err_code == _ID_IN_PROCESS:
        return Unavailable(f"JetStream for {what}", failure.description)
    return JetStreamError(what, failure.code, failure.err_code, failure.description)
