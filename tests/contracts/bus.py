"""What every bus promises, whatever carries the messages."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest
from waiting import DEADLINE_S, until

from treadle.events.bus import MESSAGE_ID_HEADER, Bus, BusMessage, Delivery, answer
from treadle.events.errors import ConfigError, NotFound, Refused, TooLarge, TreadleError, Unavailable
from treadle.events.subjects import Subjects

T = TypeVar("T")

SOON_S = 0.3
"""How long nothing must come for a test to believe that nothing comes."""


async def take(items: AsyncIterator[T], count: int = 1) -> list[T]:
    """The next `count` items, or a failure when they do not come."""
    async with asyncio.timeout(DEADLINE_S):
        return [await anext(items) for _ in range(count)]


async def comes_nothing(items: AsyncIterator[object], within_s: float = SOON_S) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await anext(items)
    except TimeoutError:
        return True
    return False


async def echo(message: BusMessage) -> bytes:
    return message.data


class BusContract:
    """Inherit, and provide `bus`, `small_bus` (where 8 messages may wait for one listener) and `subjects`."""

    # Published

    async def test_a_listener_gets_what_is_published_in_order(self, bus: Bus, subjects: Subjects) -> None:
        subject = subjects.live("alice", "run-1")
        async with bus.subscribe(subject) as messages:
            for chunk in range(100):
                await bus.publish(subject, b"%d" % chunk)
            assert [m.data for m in await take(messages, 100)] == [b"%d" % chunk for chunk in range(100)]

    async def test_a_message_keeps_its_subject_data_and_headers(self, bus: Bus, subjects: Subjects) -> None:
        subject = subjects.live("alice", "run-1")
        async with bus.subscribe(subject) as messages:
            await bus.publish(subject, b"\0\r\n\xff", {"Treadle-Run": "ü 1: 2"})
            [message] = await take(messages)
        assert (message.subject, message.data) == (subject, b"\0\r\n\xff")
        assert message.headers["Treadle-Run"] == "ü 1: 2"

    async def test_a_pattern_hears_what_falls_under_it_and_nothing_else(self, bus: Bus, subjects: Subjects) -> None:
        heard = [subjects.event("alice", "run-1", f"run.{name}") for name in ("started", "completed")]
        async with bus.subscribe(subjects.events("alice", "run", "1")) as messages:
            await bus.publish(subjects.event("alice", "run-2", "run.started"), b"")
            await bus.publish(subjects.event("bob", "run-1", "run.started"), b"")
            for subject in heard:
                await bus.publish(subject, b"")
            assert [m.subject for m in await take(messages, 2)] == heard

    async def test_a_queue_group_hears_each_message_once(self, bus: Bus, subjects: Subjects) -> None:
        subject = subjects.live("alice", "run-1")
        heard: list[bytes] = []

        async def listen(messages: AsyncIterator[BusMessage]) -> None:
            async for message in messages:
                heard.append(message.data)

        async with (
            bus.subscribe(subject, queue="watchers") as one,
            bus.subscribe(subject, queue="watchers") as two,
            bus.subscribe(subject) as everything,
            asyncio.TaskGroup() as group,
        ):
            tasks = [group.create_task(listen(member)) for member in (one, two)]
            for number in range(50):
                await bus.publish(subject, b"%d" % number)
            await take(everything, 50)
            await until(lambda: len(heard) >= 50)
            for task in tasks:
                task.cancel()
        assert sorted(heard, key=int) == [b"%d" % number for number in range(50)]

    async def test_publishing_to_nobody_is_no_error(self, bus: Bus, subjects: Subjects) -> None:
        await bus.publish(subjects.live("alice", "run-1"), b"")

    async def test_a_listener_that_falls_behind_is_told_after_what_came_before(
        self, small_bus: Bus, subjects: Subjects
    ) -> None:
        subject = subjects.live("alice", "run-1")
        heard: list[bytes] = []
        async with small_bus.subscribe(subject) as slow, small_bus.subscribe(f"{subject}.done") as fast:
            for number in range(20):
                await small_bus.publish(subject, b"%d" % number)
            await small_bus.publish(f"{subject}.done", b"")
            await take(fast)
            with pytest.raises(Unavailable, match="listen again"):
                while True:
                    heard += [m.data for m in await take(slow)]
        assert heard == [b"%d" % number for number in range(8)]

    async def test_closing_ends_what_is_listened_to(self, bus: Bus, subjects: Subjects) -> None:
        async with bus.subscribe(subjects.live("alice", "run-1")) as messages:
            await bus.close()
            with pytest.raises(StopAsyncIteration):
                await take(messages)
        assert not bus.connected
        with pytest.raises(Unavailable):
            await bus.publish(subjects.live("alice", "run-1"), b"")

    @pytest.mark.parametrize("subject", ["", "a..b", "a.*", "a.>", "a b", "a\r\nPUB b 0"])
    async def test_what_is_not_a_subject_is_refused(self, bus: Bus, subject: str) -> None:
        with pytest.raises(ConfigError):
            await bus.publish(subject, b"")

    async def test_a_header_that_would_arrive_as_another_is_refused(self, bus: Bus, subjects: Subjects) -> None:
        for headers in ({"Treadle-Run": "1\r\nNats-TTL: 1"}, {"Treadle Run": "1"}, {"Treadle-Run": " 1"}):
            with pytest.raises(ConfigError):
                await bus.publish(subjects.live("alice", "run-1"), b"", headers)

    async def test_too_large_a_message_is_refused_with_both_sizes_and_the_bus_goes_on(
        self, bus: Bus, subjects: Subjects
    ) -> None:
        subject = subjects.live("alice", "run-1")
        with pytest.raises(TooLarge, match=r"1048594 bytes.*1048576"):
            await bus.publish(subject, b"x" * 1_048_576, {"A": "1"})
        async with bus.subscribe(subject) as messages:
            await bus.publish(subject, b"x" * 1_048_576)
            await take(messages)

    # Asked

    async def test_a_request_gets_the_answer_of_the_one_who_serves(self, bus: Bus, subjects: Subjects) -> None:
        async with bus.serve(subjects.ask("run"), echo):
            reply = await bus.request(subjects.ask("run"), b"run-1", DEADLINE_S)
        assert answer(reply) == b"run-1"

    async def test_a_handler_reads_the_headers_of_the_request(self, bus: Bus, subjects: Subjects) -> None:
        async def who(message: BusMessage) -> bytes:
            return message.headers["Treadle-User"].encode()

        async with bus.serve(subjects.ask("run"), who):
            reply = await bus.request(subjects.ask("run"), b"", DEADLINE_S, {"Treadle-User": "alice"})
        assert answer(reply) == b"alice"

    async def test_requests_are_handled_concurrently(self, bus: Bus, subjects: Subjects) -> None:
        second_came = asyncio.Event()

        async def handle(message: BusMessage) -> bytes:
            if message.data == b"2":
                second_came.set()
            await second_came.wait()
            return message.data

        async with bus.serve(subjects.ask("run"), handle):
            replies = await asyncio.gather(*(bus.request(subjects.ask("run"), n, DEADLINE_S) for n in (b"1", b"2")))
        assert [answer(reply) for reply in replies] == [b"1", b"2"]

    async def test_a_request_that_nobody_serves_is_unavailable_at_once(self, bus: Bus, subjects: Subjects) -> None:
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(Unavailable, match="nobody serves it"):
                await bus.request(subjects.ask("run"), b"", timeout_s=10 * DEADLINE_S)

    async def test_a_request_without_an_answer_is_unavailable_in_time(self, bus: Bus, subjects: Subjects) -> None:
        async def never(message: BusMessage) -> bytes:
            await asyncio.Event().wait()
            return b""

        async with bus.serve(subjects.ask("run"), never):
            with pytest.raises(Unavailable, match=r"no answer within 0\.05 s"):
                await bus.request(subjects.ask("run"), b"", timeout_s=0.05)

    @pytest.mark.parametrize(
        ("raised", "caught"),
        [
            (NotFound("run", "run-1"), Refused),
            (Unavailable("journal", "disk full"), Unavailable),
            (ConfigError("no such model"), ConfigError),
            (ZeroDivisionError("division by zero"), TreadleError),
        ],
    )
    async def test_a_handler_that_raises_answers_with_what_to_do_next(
        self, bus: Bus, subjects: Subjects, raised: Exception, caught: type[TreadleError]
    ) -> None:
        async def fail(message: BusMessage) -> bytes:
            raise raised

        async with bus.serve(subjects.ask("run"), fail):
            reply = await bus.request(subjects.ask("run"), b"", DEADLINE_S)
        with pytest.raises(caught) as told:
            answer(reply)
        assert type(told.value) is caught
        assert getattr(raised, "why", str(raised)) in str(told.value)

    async def test_an_answer_that_is_too_large_is_told_as_such(self, bus: Bus, subjects: Subjects) -> None:
        async def history(message: BusMessage) -> bytes:
            return b"x" * 2_000_000

        async with bus.serve(subjects.ask("history"), history):
            with pytest.raises(Refused, match="2000000 bytes"):
                answer(await bus.request(subjects.ask("history"), b"", DEADLINE_S))

    async def test_servers_of_one_queue_share_the_requests(self, bus: Bus, subjects: Subjects) -> None:
        handled: list[bytes] = []

        async def handle(message: BusMessage) -> bytes:
            handled.append(message.data)
            return b""

        subject = subjects.ask("run")
        async with bus.serve(subject, handle, "nodes"), bus.serve(subject, handle, "nodes"):
            for number in range(20):
                await bus.request(subject, b"%d" % number, DEADLINE_S)
        assert handled == [b"%d" % number for number in range(20)]

    async def test_a_service_that_stops_answers_what_it_was_handling(self, bus: Bus, subjects: Subjects) -> None:
        started = asyncio.Event()

        async def never(message: BusMessage) -> bytes:
            started.set()
            await asyncio.Event().wait()
            return b""

        async with asyncio.timeout(DEADLINE_S), bus.serve(subjects.ask("run"), never):
            asking = asyncio.create_task(bus.request(subjects.ask("run"), b"", 10 * DEADLINE_S))
            await started.wait()
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(Unavailable, match="stopped"):
                answer(await asking)
            with pytest.raises(Unavailable, match="nobody serves it"):
                await bus.request(subjects.ask("run"), b"", 10 * DEADLINE_S)

    # Queued

    async def test_a_queued_message_waits_for_its_consumer(self, bus: Bus, subjects: Subjects) -> None:
        subject = subjects.signal("alice", "support", "conv-42")
        assert await bus.enqueue(subject, b"hello", "signal-1", {"Treadle-Trace": "t"})
        async with bus.consume("support", subjects.signals("support")) as deliveries:
            [delivery] = await take(deliveries)
            await delivery.ack()
        assert (delivery.subject, delivery.data, delivery.attempt) == (subject, b"hello", 1)
        assert delivery.headers["Treadle-Trace"] == "t"
        assert delivery.headers[MESSAGE_ID_HEADER] == "signal-1"

    async def test_queued_messages_come_in_order_with_growing_sequences(self, bus: Bus, subjects: Subjects) -> None:
        async with bus.consume("support", subjects.signals("support")) as deliveries:
            for number in range(50):
                await bus.enqueue(subjects.signal("alice", "support", str(number)), b"%d" % number)
            taken = await take(deliveries, 50)
        assert [d.data for d in taken] == [b"%d" % number for number in range(50)]
        assert [d.sequence for d in taken] == list(range(taken[0].sequence, taken[0].sequence + 50))

    async def test_a_consumer_gets_only_what_falls_under_its_subject(self, bus: Bus, subjects: Subjects) -> None:
        await bus.enqueue(subjects.signal("alice", "billing", "1"), b"billing")
        await bus.enqueue(subjects.signal("alice", "support", "1"), b"support")
        async with (
            bus.consume("support", subjects.signals("support")) as support,
            bus.consume("billing", subjects.signals("billing")) as billing,
        ):
            assert [d.data for d in await take(support)] == [b"support"]
            assert [d.data for d in await take(billing)] == [b"billing"]

    async def test_the_second_message_with_an_id_is_dropped(self, bus: Bus, subjects: Subjects) -> None:
        subject = subjects.signal("alice", "support", "conv-42")
        assert await bus.enqueue(subject, b"first", "signal-1")
        assert not await bus.enqueue(subject, b"second", "signal-1")
        assert await bus.enqueue(subject, b"third")
        assert await bus.enqueue(subject, b"third")
        async with bus.consume("support", subjects.signals("support")) as deliveries:
            assert [d.data for d in await take(deliveries, 3)] == [b"first", b"third", b"third"]

    async def test_a_plain_publish_to_a_queued_subject_is_queued(self, bus: Bus, subjects: Subjects) -> None:
        await bus.publish(subjects.signal("alice", "support", "conv-42"), b"from another language")
        async with bus.consume("support", subjects.signals("support")) as deliveries:
            assert [d.data for d in await take(deliveries)] == [b"from another language"]

    async def test_an_unsettled_message_is_delivered_again(self, bus: Bus, subjects: Subjects) -> None:
        await bus.enqueue(subjects.signal("alice", "support", "conv-42"), b"hello")
        async with bus.consume("support", subjects.signals("support"), ack_wait_s=0.2) as deliveries:
            [first, second] = await take(deliveries, 2)
            await second.ack()
            assert await comes_nothing(deliveries)
        assert [(d.sequence, d.attempt) for d in (first, second)] == [(first.sequence, 1), (first.sequence, 2)]

    async def test_a_settled_message_never_comes_again(self, bus: Bus, subjects: Subjects) -> None:
        for name in ("acked", "ended"):
            await bus.enqueue(subjects.signal("alice", "support", name), name.encode())
        async with bus.consume("support", subjects.signals("support"), ack_wait_s=0.2) as deliveries:
            [acked, ended] = await take(deliveries, 2)
            await acked.ack()
            await ended.term("cannot be decoded")
            await acked.nak()
            await ended.ack()
            assert await comes_nothing(deliveries)
        async with bus.consume("support", subjects.signals("support"), ack_wait_s=0.2) as deliveries:
            assert await comes_nothing(deliveries)

    async def test_a_refused_message_comes_again_at_once_or_after_its_delay(self, bus: Bus, subjects: Subjects) -> None:
        clock = asyncio.get_running_loop().time
        await bus.enqueue(subjects.signal("alice", "support", "conv-42"), b"hello")
        async with bus.consume("support", subjects.signals("support"), ack_wait_s=60) as deliveries:
            [first] = await take(deliveries)
            await first.nak()
            [second] = await take(deliveries)
            refused_at = clock()
            await second.nak(delay_s=0.4)
            [third] = await take(deliveries)
            await third.ack()
        assert (second.attempt, third.attempt) == (2, 3)
        assert clock() - refused_at >= 0.39

    async def test_a_message_in_progress_stays_where_it_is(self, bus: Bus, subjects: Subjects) -> None:
        await bus.enqueue(subjects.signal("alice", "support", "conv-42"), b"hello")
        async with bus.consume("support", subjects.signals("support"), ack_wait_s=0.8) as deliveries:
            [delivery] = await take(deliveries)
            for _ in range(7):
                assert await comes_nothing(deliveries, within_s=0.15)
                await delivery.in_progress()
            await delivery.ack()
            assert await comes_nothing(deliveries, within_s=0.9)

    async def test_consumers_of_one_name_share_the_messages(self, bus: Bus, subjects: Subjects) -> None:
        async with (
            bus.consume("support", subjects.signals("support"), limit=5) as one,
            bus.consume("support", subjects.signals("support"), limit=5) as two,
        ):
            for number in range(10):
                await bus.enqueue(subjects.signal("alice", "support", str(number)), b"%d" % number)
            taken: list[Delivery] = [*await take(one, 5), *await take(two, 5)]
        assert sorted(d.data for d in taken) == [b"%d" % number for number in range(10)]

    async def test_no_more_than_the_limit_is_held_unsettled(self, bus: Bus, subjects: Subjects) -> None:
        for number in range(5):
            await bus.enqueue(subjects.signal("alice", "support", str(number)), b"%d" % number)
        async with bus.consume("support", subjects.signals("support"), limit=2) as deliveries:
            [first, second] = await take(deliveries, 2)
            assert await comes_nothing(deliveries)
            await first.ack()
            await second.nak(delay_s=60)
            assert [d.data for d in await take(deliveries, 2)] == [b"2", b"3"]

    async def test_what_was_not_handed_out_goes_to_the_next_consumer(self, bus: Bus, subjects: Subjects) -> None:
        for number in range(5):
            await bus.enqueue(subjects.signal("alice", "support", str(number)), b"%d" % number)
        async with bus.consume("support", subjects.signals("support"), ack_wait_s=60) as deliveries:
            [held] = await take(deliveries)
        async with bus.consume("support", subjects.signals("support"), ack_wait_s=60) as deliveries:
            taken = await take(deliveries, 4)
        assert held.data == b"0"
        assert sorted(d.data for d in taken) == [b"1", b"2", b"3", b"4"]

    async def test_a_subject_without_a_queue_is_unavailable(self, bus: Bus, subjects: Subjects) -> None:
        with pytest.raises(Unavailable):
            await bus.enqueue(subjects.live("alice", "run-1"), b"")
        with pytest.raises(Unavailable):
            async with bus.consume("support", subjects.live("alice", "run-1")):
                pytest.fail("nothing to consume")

    async def test_a_second_consumer_of_the_same_messages_is_refused(self, bus: Bus, subjects: Subjects) -> None:
        async with bus.consume("support", subjects.signals("support")):
            with pytest.raises(ConfigError, match="would share messages"):
                async with bus.consume("everything", subjects.signals()):
                    pytest.fail("both would take the same messages")
            with pytest.raises(ConfigError, match=r"takes '.*support.*', not '.*billing"):
                async with bus.consume("support", subjects.signals("billing")):
                    pytest.fail("one cursor has one subject")

    async def test_a_consumer_may_come_back_with_another_ack_wait(self, bus: Bus, subjects: Subjects) -> None:
        await bus.enqueue(subjects.signal("alice", "support", "conv-42"), b"hello")
        async with bus.consume("support", subjects.signals("support"), ack_wait_s=60):
            pass
        async with bus.consume("support", subjects.signals("support"), ack_wait_s=0.2) as deliveries:
            assert [d.attempt for d in await take(deliveries, 2)][1] >= 2

    async def test_a_parked_signal_waits_in_a_queue_of_its_own(self, bus: Bus, subjects: Subjects) -> None:
        signal = subjects.signal("alice", "support", "conv-42")
        await bus.enqueue(subjects.parked(signal), b"hello", headers={"Treadle-Reason": "cannot be decoded"})
        async with bus.consume("replay", f"{subjects.namespace}.parked.>") as deliveries:
            [parked] = await take(deliveries)
            await parked.ack()
        assert parked.headers["Treadle-Reason"] == "cannot be decoded"
