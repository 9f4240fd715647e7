"""What every `Bus` promises about order, repeats and who receives what."""

import asyncio

import pytest

from tests.conformance.bus_harness import (
    KEPT,
    OTHER,
    PASSING,
    StartsBus,
    numbered,
    payloads,
    take,
)
from tidewire.ports import Bus


class BusDeliverySuite(StartsBus):
    @pytest.mark.parametrize("topic", [KEPT, PASSING])
    async def test_a_topic_keeps_its_order(self, bus: Bus, topic: str) -> None:
        subscription = await bus.subscribe((topic,))
        sent = numbered(300)
        for payload in sent:
            await bus.publish(topic, payload)
        received = await take(subscription, len(sent))
        assert payloads(received) == sent
        assert {envelope.topic for envelope in received} == {topic}

    async def test_publishers_at_once_give_one_order_that_all_see(self, bus: Bus) -> None:
        first, second = await bus.subscribe((KEPT,)), await bus.subscribe((KEPT,))
        await asyncio.gather(*(bus.publish(KEPT, payload) for payload in numbered(50)))
        seen = await take(first, 50)
        assert seen == await take(second, 50)
        assert seen == list(await bus.history(KEPT))
        assert sorted(payloads(seen)) == sorted(numbered(50))

    async def test_a_kept_topic_counts_without_holes_and_others_do_not_count(self, bus: Bus) -> None:
        kept, passing = await bus.subscribe((KEPT,)), await bus.subscribe((PASSING,))
        for payload in numbered(20):
            await bus.publish(KEPT, payload)
            await bus.publish(OTHER, payload)
            await bus.publish(PASSING, payload)
        assert [envelope.sequence for envelope in await take(kept, 20)] == list(range(1, 21))
        assert [envelope.sequence for envelope in await take(passing, 20)] == [0] * 20

    async def test_a_key_that_is_not_greater_is_a_repeat(self, bus: Bus) -> None:
        subscription = await bus.subscribe((KEPT,))
        for key, payload in [("b", b"1"), ("b", b"again"), ("a", b"before"), ("c", b"2"), ("", b"3"), ("c", b"again")]:
            await bus.publish(KEPT, payload, key=key)
        await bus.publish(KEPT, b"4", key="d")
        received = await take(subscription, 4)
        assert [(each.sequence, each.key, each.payload) for each in received] == [
            (1, "b", b"1"),
            (2, "c", b"2"),
            (3, "", b"3"),
            (4, "d", b"4"),
        ]
        assert list(await bus.history(KEPT)) == received

    async def test_a_repeat_sent_at_the_same_time_is_taken_once(self, bus: Bus) -> None:
        await asyncio.gather(*(bus.publish(KEPT, b"one", key="1") for _ in range(10)))
        assert payloads(await bus.history(KEPT)) == [b"one"]

    async def test_the_last_key_is_the_greatest_of_its_topic(self, bus: Bus) -> None:
        assert await bus.last_key(KEPT) == ""
        await bus.publish(KEPT, b"", key="5")
        await bus.publish(OTHER, b"", key="9")
        await bus.publish(KEPT, b"", key="4")
        await bus.publish(KEPT, b"")
        assert await bus.last_key(KEPT) == "5"
        assert await bus.last_key(PASSING) == ""

    async def test_keys_mean_nothing_on_a_topic_without_a_past(self, bus: Bus) -> None:
        subscription = await bus.subscribe((PASSING,))
        await bus.publish(PASSING, b"1", key="b")
        await bus.publish(PASSING, b"2", key="a")
        assert [(each.key, each.payload) for each in await take(subscription, 2)] == [("b", b"1"), ("a", b"2")]

    async def test_one_subscription_follows_several_topics(self, bus: Bus) -> None:
        subscription = await bus.subscribe((KEPT, PASSING, KEPT))
        await bus.publish(KEPT, b"1")
        await bus.publish(OTHER, b"not for this one")
        await bus.publish(PASSING, b"2")
        await bus.publish(KEPT, b"3")
        received = await take(subscription, 3)
        assert sorted((each.topic, each.payload) for each in received) == [
            (KEPT, b"1"),
            (KEPT, b"3"),
            (PASSING, b"2"),
        ]
        assert [each.payload for each in received if each.topic == KEPT] == [b"1", b"3"]

    @pytest.mark.parametrize("topic", [KEPT, PASSING])
    async def test_every_subscriber_gets_everything(self, bus: Bus, topic: str) -> None:
        first, second = await bus.subscribe((topic,)), await bus.subscribe((topic,))
        for payload in numbered(10):
            await bus.publish(topic, payload)
        assert payloads(await take(first, 10)) == numbered(10)
        assert payloads(await take(second, 10)) == numbered(10)

    @pytest.mark.parametrize("topic", [KEPT, PASSING])
    async def test_a_subscription_begins_when_subscribe_returns(self, bus: Bus, topic: str) -> None:
        await bus.publish(topic, b"before")
        subscription = await bus.subscribe((topic,))
        await bus.publish(topic, b"after")
        assert payloads(await take(subscription, 1)) == [b"after"]

    @pytest.mark.parametrize("topic", [KEPT, PASSING])
    @pytest.mark.parametrize("size", [0, 2**20])
    async def test_payloads_may_be_empty_or_large(self, bus: Bus, topic: str, size: int) -> None:
        subscription = await bus.subscribe((topic,))
        payload = bytes(range(256)) * (size // 256)
        await bus.publish(topic, payload)
        assert payloads(await take(subscription, 1)) == [payload]

    async def test_a_reader_cancelled_while_waiting_loses_nothing(self, bus: Bus) -> None:
        subscription = await bus.subscribe((KEPT,))
        for payload in numbered(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await anext(subscription)
            await bus.publish(KEPT, payload)
            assert payloads(await take(subscription, 1)) == [payload]
