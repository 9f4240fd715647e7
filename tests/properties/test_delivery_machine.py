"""Clients, network, server and log in whatever order: every change is told once, in order, to those who may see it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.delivery_database import Question
from tests.support.delivery_follower import Follower
from tests.support.delivery_log import AT_FIRST, Break, Log, Stance, Write
from tests.support.delivery_server import Server
from tests.support.jumping_loop import JumpingLoop
from tidewire.hub.catch_up import NEAR
from tidewire.hub.gate import NodeLimits

T = TypeVar("T")
USERS: Final = ("ada", "ada", "bob")
FULL_BYTES: Final = NodeLimits().outbox_bytes
"""Too much to be told more of what was missed, and too little to be sent away."""

tables = st.sampled_from(sorted(AT_FIRST))
writes: st.SearchStrategy[Write] = st.tuples(
    tables,
    st.sampled_from(["INSERT", "INSERT", "UPDATE", "DELETE"]),
    st.sampled_from(["ada", "bob"]),
    st.integers(0, 9),
)
someone = st.integers(0, len(USERS) - 1)
questions: st.SearchStrategy[Question] = st.sampled_from(["end of the log", "rules", "rows"])
stances: st.SearchStrategy[Stance] = st.sampled_from(["open", "own", "asked", "hidden"])


class DeliveryMachine(RuleBasedStateMachine):
    """Nothing takes time: the server goes on for as many turns as it is given, and no further."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=JumpingLoop)
        self.log = Log()
        self.followers = [Follower(user, self.log) for user in USERS]
        self.retained = 0
        self.serving: asyncio.Task[None] | None = None

    @initialize(history_bytes=st.sampled_from([2**20, 2**20, 4000]))
    def start(self, history_bytes: int) -> None:
        self.history_bytes = history_bytes
        self.begin_life()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def begin_life(self) -> None:
        self.server = Server(self.log, first=self.retained, history_bytes=self.history_bytes)
        self.serving = self.runner.get_loop().create_task(self.server.serve())
        self.run(self.server.is_up.wait())

    # --- the log ---------------------------------------------------------------------------------------------

    @rule(written=st.lists(writes, min_size=0, max_size=5))
    def commit(self, written: list[Write]) -> None:
        self.log.commit(written)

    @rule(written=st.lists(writes, min_size=1, max_size=5), times=st.sampled_from([20, 60]))
    def commit_very_much(self, written: list[Write], times: int) -> None:
        self.log.commit(written * times)

    @rule(table=tables, stance=stances)
    def change_rules(self, table: str, stance: Stance) -> None:
        self.log.change_rules(table, stance)

    @rule(low=st.booleans(), really=st.integers(0, 3))
    def break_history(self, *, low: bool, really: int) -> None:
        """Rarely, or there would be little to come back to."""
        if not really:
            self.log.break_off(low=low)

    # --- the server ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.server.has_more)
    @rule(parts=st.integers(1, 4), most_events=st.sampled_from([1, 2, 3, 100]))
    def relay(self, parts: int, most_events: int) -> None:
        for _ in range(parts):
            if self.server.has_more:
                self.run(self.server.relay(most_events))

    @rule()
    def the_log_is_sent_again(self) -> None:
        self.server.reconnect()

    @rule(messages=st.integers(1, 3))
    def dispatch(self, messages: int) -> None:
        self.server.dispatch(messages)

    @rule()
    def relay_and_dispatch_everything(self) -> None:
        while self.server.has_more:
            self.run(self.server.relay(100))
        self.server.dispatch(10**9)
        self.turns(60)

    @rule(question=questions)
    def keep_a_question_waiting(self, question: Question) -> None:
        self.server.database.gates[question].clear()

    @rule()
    def answer_questions(self) -> None:
        for gate in self.server.database.gates.values():
            gate.set()

    @rule(count=st.sampled_from([1, 2, 3, 5, 8, 20, 100]))
    def turns(self, count: int) -> None:
        async def take_turns() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.run(take_turns())

    @rule()
    def let_time_pass(self) -> None:
        self.run(asyncio.sleep(1.0))

    @rule(back=st.sampled_from([0, 1, 2, 5, 1000]))
    def kill_and_restart(self, back: int) -> None:
        """The next life has what was relayed of the past, as far as that is retained."""
        relayed = self.server.next
        broken = max((n + 1 for n, item in enumerate(self.log.items[:relayed]) if isinstance(item, Break)), default=0)
        self.retained = max(self.retained, broken, relayed - back)
        self.end_life()
        for follower in self.followers:
            follower.forget_links()
        self.begin_life()

    def end_life(self) -> None:
        if self.serving is not None:
            self.serving.cancel()
            self.run(self._end())

    async def _end(self) -> None:
        assert self.serving is not None
        await asyncio.gather(self.serving, return_exceptions=True)
        await self.server.bus.close()

    # --- clients and the network -----------------------------------------------------------------------------

    @rule(who=someone, wanted=st.sets(tables, min_size=1), how=st.sampled_from(["here", "anew", "half-open"]))
    def join(self, who: int, wanted: set[str], how: str) -> None:
        follower = self.followers[who]
        if follower.link is None or how != "here":
            follower.connect(self.server, half_open=how == "half-open")
        follower.join(wanted)

    @rule(who=someone)
    def come_back(self, who: int) -> None:
        """Lose the connection, and join as before on another one."""
        follower = self.followers[who]
        if follower.streams:
            follower.connect(self.server, half_open=False)
            follower.join(set(follower.streams))

    @rule(who=someone)
    def leave(self, who: int) -> None:
        if self.followers[who].link is not None:
            self.followers[who].leave()

    @rule(who=someone)
    def show_token(self, who: int) -> None:
        if self.followers[who].link is not None:
            self.followers[who].show_token()

    @rule(who=someone)
    def beat(self, who: int) -> None:
        if self.followers[who].link is not None:
            self.followers[who].beat()

    @rule(who=someone, frames=st.sampled_from([1, 2, 5, 1000]))
    def deliver(self, who: int, frames: int) -> None:
        self.run(self.followers[who].take(frames))

    @rule(who=someone)
    def cut(self, who: int) -> None:
        self.followers[who].cut()

    @rule(who=someone)
    def swallow(self, who: int) -> None:
        if (link := self.followers[who].link) is not None:
            link.is_swallowed = True

    @rule(who=someone)
    def the_server_notices_dead_connections(self, who: int) -> None:
        for link in self.followers[who].old_links:
            link.cut()
        self.followers[who].old_links.clear()

    @rule(who=someone, slow=st.booleans())
    def read_slowly(self, who: int, *, slow: bool) -> None:
        if (link := self.followers[who].link) is not None:
            link.client.outbox.waiting_bytes = FULL_BYTES if slow else 0

    # --- what must hold --------------------------------------------------------------------------------------

    @rule(who=someone, wanted=st.sets(tables, min_size=1))
    def join_and_wait(self, who: int, wanted: set[str]) -> None:
        self.answer_questions()
        self.join(who, wanted, "here")
        self.turns(60)
        self.deliver(who, 1000)

    @rule(written=st.lists(writes, min_size=1, max_size=5))
    def commit_and_relay(self, written: list[Write]) -> None:
        self.log.commit(written)
        while self.server.has_more:
            self.run(self.server.relay(100))

    @rule()
    def everything_settles(self) -> None:
        """Let everybody come back and catch up: then nobody misses anything."""
        self.answer_questions()
        self.relay_and_dispatch_everything()
        for _ in range(5):
            self.run(self._settle())
        for follower in self.followers:
            assert follower.is_inside or not follower.streams, "still outside"
            follower.has_heard_everything()

    @rule(who=someone)
    def beat_and_come_back(self, who: int) -> None:
        """Whatever the answer says is where it goes on."""
        self.beat(who)
        self.deliver(who, 1000)
        self.come_back(who)

    async def _settle(self) -> None:
        for follower in self.followers:
            link = follower.link
            if follower.streams and (link is None or link.is_swallowed or link.client.outbox.closed):
                follower.connect(self.server, half_open=False)
            if follower.link is not None:
                follower.link.client.outbox.waiting_bytes = 0
                if follower.streams and not follower.is_inside and follower.ask is None:
                    follower.join(set(follower.streams))
        await asyncio.sleep(2.0)
        for follower in self.followers:
            await follower.take(10**9)

    @invariant()
    def nothing_has_failed(self) -> None:
        if self.serving is not None:
            assert not self.server.failures, self.server.failures

    def teardown(self) -> None:
        try:
            if self.serving is not None:
                self.everything_settles()
                self.nothing_has_failed()
        finally:
            self.end_life()
            self.runner.close()


@pytest.mark.parametrize("near", [NEAR, 3])
@pytest.mark.timeout(120)
def test_whatever_happens_nothing_is_lost_and_nothing_is_told_twice(near: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidewire.hub.catch_up.NEAR", near)
    run_state_machine_as_test(DeliveryMachine)


# --- what it has found ---------------------------------------------------------------------------------------


def parts_that_the_log_sends_again(machine: DeliveryMachine) -> None:
    machine.join_and_wait(who=0, wanted={"files"})
    machine.commit(written=[("files", "INSERT", "ada", 0)] * 3)
    machine.relay(parts=2, most_events=1)
    machine.the_log_is_sent_again()
    machine.leave(who=0)


def a_table_that_joins_later_than_another(machine: DeliveryMachine) -> None:
    machine.join_and_wait(who=0, wanted={"files"})
    machine.commit(written=[])
    machine.commit(written=[("notes", "INSERT", "ada", 0)] * 20)
    machine.join(who=0, wanted={"notes", "files"}, how="here")


def a_channel_that_leaves_while_postgres_is_asked(machine: DeliveryMachine) -> None:
    machine.join_and_wait(who=0, wanted={"files"})
    machine.commit_and_relay(written=[("files", "INSERT", "ada", 0)])
    machine.keep_a_question_waiting(question="rows")
    machine.come_back(who=0)
    machine.turns(count=100)
    machine.deliver(who=0, frames=9)
    machine.leave(who=0)
    machine.answer_questions()
    machine.turns(count=100)
    machine.deliver(who=0, frames=9)


def somebody_who_joins_while_postgres_is_asked(machine: DeliveryMachine) -> None:
    machine.join_and_wait(who=0, wanted={"notes", "files"})
    machine.commit_and_relay(written=[("files", "INSERT", "ada", 0), ("notes", "INSERT", "ada", 0)])
    machine.join_and_wait(who=1, wanted={"notes", "files"})
    machine.commit_and_relay(written=[("files", "INSERT", "ada", 0)])
    machine.join(who=0, wanted={"notes", "files"}, how="here")
    machine.join_and_wait(who=1, wanted={"notes", "files"})


def rules_that_the_server_has_not_come_to(machine: DeliveryMachine) -> None:
    machine.join_and_wait(who=0, wanted={"notes"})
    machine.commit(written=[("notes", "INSERT", "bob", 0)])
    machine.relay_and_dispatch_everything()
    machine.deliver(who=0, frames=9)
    machine.change_rules(table="notes", stance="own")
    machine.commit_and_relay(written=[("notes", "INSERT", "bob", 0)])
    machine.come_back(who=0)
    machine.turns(count=100)
    machine.deliver(who=0, frames=9)


def a_place_at_the_end_of_what_is_forgotten(machine: DeliveryMachine) -> None:
    machine.join_and_wait(who=0, wanted={"notes"})
    machine.commit(written=[("notes", "INSERT", "ada", 0)])
    machine.relay_and_dispatch_everything()
    machine.deliver(who=0, frames=9)
    for _ in range(30):
        if not machine.run(machine.server.has_forgotten()):
            machine.commit(written=[("tasks", "INSERT", "bob", 0)])
            machine.relay_and_dispatch_everything()
    machine.come_back(who=0)


def a_join_whose_answer_takes_longer_than_a_change(machine: DeliveryMachine) -> None:
    machine.keep_a_question_waiting(question="end of the log")
    machine.join(who=0, wanted={"files"}, how="here")
    machine.relay_and_dispatch_everything()
    machine.commit(written=[("files", "INSERT", "ada", 0)])
    machine.relay_and_dispatch_everything()


def a_table_that_joins_within_a_transaction(machine: DeliveryMachine) -> None:
    machine.join_and_wait(who=1, wanted={"tasks"})
    machine.join_and_wait(who=1, wanted={"tasks", "files"})
    machine.commit(written=[("files", "INSERT", "ada", 0)] * 20)
    machine.come_back(who=1)
    machine.relay(parts=1, most_events=1)


def an_answer_that_comes_when_another_history_has_begun(machine: DeliveryMachine) -> None:
    machine.join_and_wait(who=0, wanted={"files"})
    machine.commit(written=[("files", "INSERT", "ada", 0)])
    machine.break_history(low=False, really=0)
    machine.relay(parts=4, most_events=100)
    machine.keep_a_question_waiting(question="rows")
    machine.dispatch(messages=9)
    machine.turns(count=100)
    machine.answer_questions()
    machine.turns(count=100)
    machine.deliver(who=0, frames=9)


def a_heartbeat_while_others_are_told_and_postgres_is_asked(machine: DeliveryMachine) -> None:
    machine.join_and_wait(who=0, wanted={"notes", "files"})
    machine.join_and_wait(who=1, wanted={"tasks"})
    machine.keep_a_question_waiting(question="rows")
    machine.commit(written=[("notes", "INSERT", "bob", 0)])
    machine.commit(written=[("files", "INSERT", "ada", 0), ("notes", "INSERT", "ada", 0)])
    machine.commit(written=[("notes", "INSERT", "ada", 0)])
    machine.relay_and_dispatch_everything()
    for who in (0, 1):
        machine.beat_and_come_back(who=who)
    assert [each.beats for each in machine.followers[:2]] == [0, 1]
    machine.answer_questions()
    machine.turns(count=100)
    machine.deliver(who=0, frames=9)
    machine.beat_and_come_back(who=0)
    machine.deliver(who=0, frames=9)
    assert machine.followers[0].beats == 1


@pytest.mark.parametrize("history_bytes", [2**20, 4000])
@pytest.mark.parametrize(
    "steps",
    [
        parts_that_the_log_sends_again,
        a_table_that_joins_later_than_another,
        a_channel_that_leaves_while_postgres_is_asked,
        somebody_who_joins_while_postgres_is_asked,
        rules_that_the_server_has_not_come_to,
        a_place_at_the_end_of_what_is_forgotten,
        a_join_whose_answer_takes_longer_than_a_change,
        a_table_that_joins_within_a_transaction,
        an_answer_that_comes_when_another_history_has_begun,
        a_heartbeat_while_others_are_told_and_postgres_is_asked,
    ],
    ids=lambda steps: steps.__name__,
)
def test_what_was_found_once(steps: Callable[[DeliveryMachine], None], history_bytes: int) -> None:
    machine = DeliveryMachine()
    try:
        machine.start(history_bytes=history_bytes)
        steps(machine)
    finally:
        machine.teardown()
