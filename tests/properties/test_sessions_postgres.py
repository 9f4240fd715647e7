"""Sessions in the database under every order of events: sign-ins, refreshes, stolen tokens, sign-outs, and time.

A model knows the whole chain of tokens of each session. Whoever shows a token that was exchanged long ago, or whose
successor was exchanged too, ends that session and no other; whoever repeats a refresh gets the same answer again.
"""

import asyncio
import secrets
from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from msgspec import Struct

from tests.support.postgres import fresh_migrated_database
from tidewire.accounts.refusals import AccountRefused
from tidewire.accounts.sessions import first_token, hash_token
from tidewire.postgres.account_sessions import AccountSessions, NewSession, Scope
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.pool import Pool

GRACE_S, IDLE_S = 100.0, 4000.0
USERS = 2
MOST_SESSIONS = 4
EXAMPLES = 40 if settings().max_examples <= 100 else settings().max_examples
PATIENCE_S = 60 * max(1, settings().max_examples // 100)
PLACES = st.integers(0, MOST_SESSIONS - 1)
BACK = st.sampled_from([0, 1, 0, 1, 2, 3])
"""How many places before the newest token of its session one stands."""

pytestmark = pytest.mark.timeout(PATIENCE_S)


class Modelled(Struct):
    """What should be true of a session."""

    id: UUID
    user_id: UUID
    chain: list[str]
    used_at_s: list[float]
    refreshed_at_s: float
    is_there: bool = True

    def is_answered(self, at: int, now_s: float) -> bool:
        """Say whether showing the token at this place of the chain goes on with the session."""
        if not self.is_there or now_s - self.refreshed_at_s > IDLE_S:
            return False
        newest = len(self.chain) - 1
        return at == newest or (at == newest - 1 and now_s - self.used_at_s[at] <= GRACE_S)


class SessionsMachine(RuleBasedStateMachine):
    """Does to the tables what clients can do, and compares with the model."""

    sessions_in_database: ClassVar[AccountSessions]
    runner: ClassVar[asyncio.Runner]
    connection: ClassVar[psycopg.Connection[Any]]

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.sessions: list[Modelled] = []
        self.users = [uuid4() for _ in range(USERS)]
        for user in self.users:
            self.connection.execute("insert into auth.users (id) values (%s)", [user])

    @precondition(lambda self: len(self.sessions) < MOST_SESSIONS)
    @rule(whose=st.integers(0, USERS - 1))
    def sign_in(self, whose: int) -> None:
        new = NewSession(
            id=uuid4(),
            user_id=self.users[whose],
            method="password",
            key=secrets.token_bytes(32),
            token=first_token(secrets.token_bytes(24)),
        )
        self.runner.run(self.sessions_in_database.open(new))
        self.sessions.append(Modelled(new.id, new.user_id, [new.token], [], self.now_s))

    @precondition(lambda self: self.sessions)
    @rule(pause_s=st.sampled_from([300.0, 7.0, 60.0, 5000.0]))
    def wait(self, pause_s: float) -> None:
        """Let time pass by dating everything back."""
        self.now_s += pause_s
        self.connection.execute(
            "update auth.sessions set refreshed_at = refreshed_at - make_interval(secs => %s)", [pause_s]
        )
        self.connection.execute(
            "update auth.refresh_tokens set updated_at = updated_at - make_interval(secs => %s)", [pause_s]
        )

    @precondition(lambda self: self.sessions)
    @rule(place=PLACES, back=BACK, times=st.sampled_from([1, 1, 2, 4]))
    def show(self, place: int, back: int, times: int) -> None:
        """Tabs that refresh together stay together; a thief who is quick gets no branch of the chain."""
        if (found := self._pick(place, back)) is not None:
            session, at = found
            self._expect(session, at, self._show(*[session.chain[at]] * times))

    @precondition(lambda self: self.sessions)
    @rule(place=PLACES)
    def show_the_newest_and_the_one_before_at_once(self, place: int) -> None:
        """Whichever comes first: there is one chain, and if the older one is refused, it has ended."""
        found = self._pick(place, 1)
        if found is None or not found[0].is_answered(len(found[0].chain) - 1, self.now_s):
            return
        session, at = found
        before, newest = self._show(session.chain[at], session.chain[at + 1])
        assert before in {None, session.chain[at + 1]}
        if newest is not None:
            self._grow(session, newest)
        session.is_there = before is not None
        assert session.is_there or newest is None or self._show(newest) == [None]

    @precondition(lambda self: len(self.sessions) > 1)
    @rule(place=PLACES, scope=st.sampled_from(["local", "others", "global"]))
    def sign_out(self, place: int, scope: Scope) -> None:
        if (found := self._pick(place, 0)) is not None:
            here = found[0]
            self.runner.run(self.sessions_in_database.end(here.user_id, here.id, scope))
            for each in self.sessions:
                if each.user_id == here.user_id and {"local": each is here, "others": each is not here}.get(
                    scope, True
                ):
                    each.is_there = False

    @rule(guess=st.text(max_size=40))
    def guess(self, guess: str) -> None:
        assert self._show(guess) == [None]

    @invariant()
    def the_tables_say_what_the_model_says(self) -> None:
        kept = self.connection.execute(
            "select s.id, array_agg(t.token) filter (where not t.revoked) from auth.sessions s"
            " join auth.refresh_tokens t on t.session_id = s.id where s.user_id = any(%s) group by s.id",
            [self.users],
        ).fetchall()
        assert dict(kept) == {each.id: [hash_token(each.chain[-1])] for each in self.sessions if each.is_there}

    def teardown(self) -> None:
        self.connection.execute("delete from auth.users where id = any(%s)", [self.users])

    def _pick(self, place: int, back: int) -> tuple[Modelled, int] | None:
        session = self.sessions[place % len(self.sessions)]
        at = len(session.chain) - 1 - back
        return (session, at) if at >= 0 else None

    def _show(self, *tokens: str) -> list[str | None]:
        async def show(token: str) -> str | None:
            try:
                return (await self.sessions_in_database.refresh(token)).token
            except AccountRefused:
                return None

        async def together() -> list[str | None]:
            return await asyncio.gather(*map(show, tokens))

        return self.runner.run(together())

    def _expect(self, session: Modelled, at: int, answers: list[str | None]) -> None:
        if not session.is_answered(at, self.now_s):
            assert set(answers) == {None}
            session.is_there = False
            return
        assert None not in answers
        assert len(set(answers)) == 1, "everybody gets the same successor"
        if at == len(session.chain) - 1:
            self._grow(session, answers[0] or "")
        else:
            assert answers[0] == session.chain[-1]

    def _grow(self, session: Modelled, following: str) -> None:
        assert all(following not in each.chain for each in self.sessions)
        session.chain.append(following)
        session.used_at_s.append(self.now_s)
        session.refreshed_at_s = self.now_s


@pytest.fixture
def machine(server: EmbeddedPostgres) -> Iterator[type[SessionsMachine]]:
    with (
        fresh_migrated_database(server) as dsn,
        asyncio.Runner() as runner,
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        pool = Pool(dsn)

        class Connected(SessionsMachine):
            sessions_in_database = AccountSessions(pool, grace_s=GRACE_S, idle_s=IDLE_S)

        Connected.runner, Connected.connection = runner, connection
        yield Connected
        runner.run(pool.close())


def test_only_a_stolen_token_ends_a_session(machine: type[SessionsMachine]) -> None:
    # Against a database, shrinking what failed takes minutes and tells little: the steps are printed as they were.
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    run_state_machine_as_test(machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=30, phases=phases))
