"""Messages to a crowd: everyone gets each once and in order, a crowd is served in turns, and what gathers is joined."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tidewire.hub.fanout import BATCH_BYTES, BURST, TURN, Crowd, Fanout
from tidewire.hub.forms import Form, Group, Parcel, Recipient
from tidewire.hub.topics import Member, Topic
from tidewire.wire.message import Frame, Message, UserBroadcast
from tidewire.wire.phoenix_v1 import V1
from tidewire.wire.phoenix_v2 import V2


def unwrap(frame: Frame) -> bytes:
    return frame.data + b"\n"


OLD, NEW = Form(V1(), unwrap), Form(V2(), unwrap)
JOINING = Form(V2(), unwrap, lambda packets: (b"".join(packets),))


class HastyGroup(Group):
    """Looks at its recipients when they are listed and never again, as a group on sockets may."""

    def __init__(self, form: Form, recipients: Sequence[Recipient]) -> None:
        super().__init__(form, recipients)
        self.writes = [recipient.write for recipient in recipients]

    def write(self, packet: Any, start: int, stop: int) -> None:
        assert 0 <= start < stop <= len(self)
        for write in self.writes[start:stop]:
            write(packet)


HASTY = Form(V2(), unwrap, lambda packets: (b"".join(packets),), HastyGroup)


class Loop:
    """Callbacks that are called one by one, when the test says so."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], None]] = deque()

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def turn(self) -> None:
        self.waiting.popleft()()

    def run(self) -> None:
        while self.waiting:
            self.turn()


class Reader:
    def __init__(self, form: Form = JOINING) -> None:
        self.writes: list[bytes] = []
        self.member = Member(form, self.writes.append)

    @property
    def heard(self) -> list[str]:
        return [line.split('"n":')[1].split("}")[0] for line in b"".join(self.writes).decode().splitlines()]


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def topic(loop: Loop) -> Topic:
    return Topic("room", Fanout(loop.call_soon))


def join(topic: Topic, count: int, form: Form = JOINING) -> list[Reader]:
    readers = [Reader(form) for _ in range(count)]
    for reader in readers:
        topic.join(reader.member, broadcasts=True, presence=False)
    return readers


def message(number: int) -> Message:
    return Message("realtime:room", "broadcast", b'{"n":%d}' % number)


def test_a_few_get_a_message_at_once(topic: Topic, loop: Loop) -> None:
    readers = join(topic, TURN)
    assert topic.broadcast(message(1)) == TURN
    assert not loop.waiting
    assert all(reader.heard == ["1"] for reader in readers)


def test_a_crowd_is_served_in_turns_and_each_gets_everything_in_order(topic: Topic, loop: Loop) -> None:
    readers = join(topic, 2 * TURN + 50)
    for number in range(5):
        topic.broadcast(message(number))
    assert not any(reader.writes for reader in readers)
    loop.turn()
    assert sum(bool(reader.writes) for reader in readers) == TURN
    loop.run()
    assert all(reader.heard == ["0", "1", "2", "3", "4"] for reader in readers)


def test_what_gathers_for_a_crowd_is_one_write_for_each(topic: Topic, loop: Loop) -> None:
    readers = join(topic, TURN + 1)
    topic.broadcast(message(0))
    loop.turn()
    for number in range(1, 4):  # while the first is on its way
        topic.broadcast(message(number))
    loop.run()
    assert [len(reader.writes) for reader in readers] == [2] * (TURN + 1)
    assert all(reader.heard == ["0", "1", "2", "3"] for reader in readers)


def test_a_write_is_bounded(topic: Topic, loop: Loop) -> None:
    readers = join(topic, TURN + 1)
    for number in range(6):
        topic.broadcast(
            Message("realtime:room", "broadcast", b'{"a":"%s","n":%d}' % (b"x" * (BATCH_BYTES // 2), number))
        )
    loop.run()
    assert all(max(map(len, reader.writes)) < 3 * BATCH_BYTES for reader in readers)
    assert all(reader.heard == list("012345") for reader in readers)


@pytest.mark.parametrize("form", [JOINING, HASTY])
def test_the_sender_gets_nothing_back_whether_few_or_many_listen(topic: Topic, loop: Loop, form: Form) -> None:
    sender, *others = join(topic, 2, form)
    assert topic.broadcast(message(0), spared=(sender.member,)) == 1
    others += join(topic, TURN, form)
    topic.broadcast(message(1), spared=(sender.member,))
    topic.broadcast(message(2))
    topic.broadcast(message(3), spared=(others[0].member,))
    loop.run()
    assert sender.heard == ["2", "3"]
    assert others[0].heard == ["0", "1", "2"]
    assert all(reader.heard == ["1", "2", "3"] for reader in others[1:])


def test_a_newcomer_hears_nothing_that_was_said_before(topic: Topic, loop: Loop) -> None:
    join(topic, TURN + 1)
    topic.broadcast(message(0))
    (newcomer,) = join(topic, 1)
    topic.broadcast(message(1))
    loop.run()
    assert newcomer.heard == ["1"]


@pytest.mark.parametrize("form", [JOINING, HASTY])
def test_those_who_are_spared_may_stand_anywhere(topic: Topic, loop: Loop, form: Form) -> None:
    readers = join(topic, 2 * TURN, form)
    places = [0, 1, 50, TURN - 1, TURN, 2 * TURN - 1]
    topic.broadcast(message(0), spared=[readers[place].member for place in places])
    topic.broadcast(message(1), spared=(readers[50].member,))
    loop.run()
    assert [place for place, reader in enumerate(readers) if "0" not in reader.heard] == places
    assert [place for place, reader in enumerate(readers) if "1" not in reader.heard] == [50]


@pytest.mark.parametrize("form", [JOINING, HASTY])
def test_whoever_leaves_gets_nothing_more_not_even_what_is_on_its_way(topic: Topic, loop: Loop, form: Form) -> None:
    readers = join(topic, TURN + 1, form)
    topic.broadcast(message(0))
    topic.leave(readers[-1].member)
    topic.broadcast(message(1))
    loop.run()
    assert readers[-1].heard == []
    assert readers[0].heard == ["0", "1"]


@pytest.mark.parametrize("form", [JOINING, HASTY])
def test_whoever_leaves_while_older_messages_than_the_last_newcomer_are_on_their_way_gets_none_of_them(
    topic: Topic, loop: Loop, form: Form
) -> None:
    readers = join(topic, 2 * TURN, form)
    topic.broadcast(message(0))
    loop.turn()
    readers += join(topic, 1, form)
    topic.broadcast(message(1))  # for a listing of its own
    topic.leave(readers[-2].member)
    loop.run()
    assert readers[-2].heard == []
    assert readers[0].heard == ["0", "1"]
    assert readers[-3].heard == ["0", "1"]
    assert readers[-1].heard == ["1"]


def test_a_group_writes_to_all_between_two_who_are_spared_at_once(topic: Topic) -> None:
    ranges: list[tuple[int, int]] = []

    class Witness(Group):
        def write(self, packet: Any, start: int, stop: int) -> None:
            ranges.append((start, stop))
            super().write(packet, start, stop)

    readers = join(topic, 10, Form(V2(), unwrap, None, Witness))
    topic.broadcast(message(0), spared=(readers[3].member,))
    topic.broadcast(message(1))
    assert ranges == [(0, 3), (4, 10), (0, 10)]
    assert [reader.heard for reader in readers] == [["0", "1"]] * 3 + [["1"]] + [["0", "1"]] * 6


def test_each_form_is_packed_once_and_one_that_cannot_carry_a_message_is_left_out(topic: Topic, loop: Loop) -> None:
    old, new = join(topic, 60, OLD), join(topic, 60, NEW)
    topic.broadcast(UserBroadcast("realtime:room", "e", b"\x00\x01", binary=True))
    topic.broadcast(message(1))
    loop.run()
    assert all(len(reader.writes) == 2 for reader in new)
    assert all(reader.heard == ["1"] for reader in old)
    assert len({id(reader.writes[0]) for reader in new}) == 1  # the same bytes, not equal ones


def test_what_is_said_when_a_turn_ends_between_two_forms_reaches_both(topic: Topic, loop: Loop) -> None:
    readers = [*join(topic, TURN, NEW), *join(topic, 50, OLD)]
    topic.broadcast(message(0))
    loop.turn()  # everybody of the first form has it, and nobody of the second
    topic.broadcast(message(1))
    loop.run()
    assert all(reader.heard == ["0", "1"] for reader in readers)


def test_crowds_take_turns(loop: Loop) -> None:
    fanout = Fanout(loop.call_soon)
    topics = [Topic(name, fanout) for name in "ab"]
    large, small = join(topics[0], 10 * TURN), join(topics[1], TURN + 1)
    topics[0].broadcast(message(0))
    topics[1].broadcast(message(0))
    for _ in range(4):
        loop.turn()
    assert all(reader.writes for reader in small)
    assert not large[-1].writes
    loop.run()
    assert fanout.idle
    assert large[-1].heard == ["0"]


def test_deliveries_are_counted_without_counting_each(topic: Topic) -> None:
    (early,) = join(topic, 1)
    topic.broadcast(message(0))
    (late,) = join(topic, 1)
    topic.broadcast(message(1))
    early.member.changes += 3
    assert (topic.take_deliveries(early.member), topic.take_deliveries(late.member)) == (5, 1)
    assert topic.take_deliveries(early.member) == 0


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_each_hears_exactly_what_was_said_while_it_was_there(seed: int) -> None:
    """The law: the messages between joining and leaving, but its own, once and in order."""
    chance = random.Random(seed)  # noqa: S311 - a seeded script
    loop = Loop()
    topic = Topic("room", Fanout(loop.call_soon))
    here: list[tuple[Reader, list[str]]] = [
        (reader, []) for form in (HASTY, JOINING) for reader in join(topic, 65, form)
    ]
    everybody = list(here)
    for number in range(150):
        match chance.choice("ssssjlt"):
            case "s":
                sender = chance.choice([None, chance.choice(here)])
                topic.broadcast(message(number), spared=(sender[0].member,) if sender else ())
                for entry in here:
                    if entry is not sender:
                        entry[1].append(str(number))
            case "j":
                newcomer = (join(topic, 1, chance.choice([HASTY, JOINING, NEW, OLD]))[0], list[str]())
                here.append(newcomer)
                everybody.append(newcomer)
            case "l" if len(here) > 100:
                loop.run()  # so that it is known what has reached it
                topic.leave(here.pop(chance.randrange(len(here)))[0].member)
            case "t" if loop.waiting:
                loop.turn()
    loop.run()
    for reader, expected in everybody:
        assert reader.heard == expected


def test_a_crowd_lists_the_same_object_until_somebody_comes_or_goes() -> None:
    crowd, reader = Crowd(), Reader()
    crowd.add(reader.member)
    listing = crowd.listing()
    crowd.add(reader.member)
    assert crowd.listing() is listing
    assert len(crowd) == 1
    crowd.discard(reader.member)
    crowd.discard(reader.member)
    assert (len(crowd), crowd.listing()) == (0, ())


def test_a_parcel_is_packed_only_for_those_who_have_it() -> None:
    packed: list[Frame] = []
    form = Form(V1(), packed.append)
    parcel = Parcel(message(1))
    assert packed == []
    parcel.packet(form)
    parcel.packet(form)
    assert len(packed) == 1


def test_a_burst_to_a_few_gathers_before_it_holds_others_up(topic: Topic, loop: Loop) -> None:
    readers, messages = join(topic, 50), 2000
    for number in range(messages):
        topic.broadcast(message(number))
    assert sum(len(reader.writes) for reader in readers) == BURST
    loop.run()
    assert all(reader.heard == [str(number) for number in range(messages)] for reader in readers)
    assert max(len(reader.writes) for reader in readers) < BURST // 50 + 20


def test_a_flooded_topic_does_not_starve_another(loop: Loop) -> None:
    fanout = Fanout(loop.call_soon)
    flooded, quiet = Topic("flooded", fanout), Topic("quiet", fanout)
    join(flooded, 1000)
    crowd, few = join(quiet, TURN + 50), Topic("few", fanout)
    handful = join(few, 3)
    for turn in range(5):
        for number in range(100):
            flooded.broadcast(message(number))
        if not turn:
            quiet.broadcast(message(7))
            few.broadcast(message(8))
        loop.turn()
    assert all(reader.heard == ["7"] for reader in crowd)
    assert all(reader.heard == ["8"] for reader in handful)
