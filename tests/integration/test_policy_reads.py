"""Readers who agree in what a policy reads of their claims are asked about as one, wherever that is certain."""

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.log import execute
from tests.support.policy_asking import ADA, BOB, EVE, POLICIES, SCHEMA, Case, open_case
from tidewire.match.policy_reads import Reads
from tidewire.match.rule import Rule
from tidewire.match.session import audience_in_full, session_of
from tidewire.match.subscription import Audience, Subscription
from tidewire.postgres.policy_answers import PolicyQuestion
from tidewire.postgres.rules import MOST_TABLES, PostgresRules

SUB = Reads((("sub",),), ("sub",))
NOTHING = Reads((), ())
PLAN = Reads((("plan",),), ())
APP_PLAN = Reads((("app", "plan"),), ())
PLAN_SETTING = Reads((("plan",),), ("plan",))
MEMBER = "exists (select from members m where m.team = posts.team and m.who = auth.uid())"

TOKENS: list[Mapping[str, Any]] = [
    {"sub": ADA, "role": "authenticated", "plan": "pro", "level": 2, "exp": 1},
    {"sub": BOB, "role": "authenticated", "plan": "free", "teams": [1, 3], "exp": 2, "email": "a@b"},
    {"sub": EVE, "role": "authenticated", "name": "\"Eve\\ {x},'$1' %s é", "exp": 3},
    {"sub": ADA, "role": "authenticated", "exp": 4},
    {"sub": "nobody", "role": "authenticated", "exp": 5},
    {},
]


@pytest.fixture
def prepared(any_migrated_database: str) -> str:
    execute(any_migrated_database, *SCHEMA)
    return any_migrated_database


def wish(claims: Mapping[str, Any]) -> Subscription:
    return Subscription(
        id=1,
        connection=1,
        topic="realtime:room",
        wire_id=1,
        schema="public",
        table="posts",
        event="*",
        filter="",
        select=None,
        audience=Audience("authenticated"),
        claims=claims,
    )


async def read(case: Case, *, role: str = "authenticated") -> Rule:
    rule = await PostgresRules(case.pool).read(role, case.relation())
    assert rule is not None
    return rule


@pytest.mark.parametrize(
    ("using", "reads"),
    [
        (MEMBER, SUB),
        ("team in (select m.team from members m where m.who = (select auth.uid()))", SUB),
        ("exists (select from teams t where t.id = posts.team and t.plan = auth.jwt() ->> 'plan')", PLAN),
        ("(select plan from teams t where t.id = posts.team) = (auth.jwt() -> 'app' ->> 'plan')", APP_PLAN),
        ("exists (select from teams t where t.plan = current_setting('request.jwt.claim.plan', true))", PLAN_SETTING),
        ("exists (select from teams t join teams u on t.id = u.id and u.plan <> 'x' where t.id = posts.team)", NOTHING),
        ("exists (select from (select id from teams limit 2) t where t.id = posts.team)", NOTHING),
        ("at > now() or title = any (array['a', title])", NOTHING),
        ("case when lower(title) ~ '^[0-9]+$' then price * 2 > 5 else tags is null end", NOTHING),
        ("(auth.jwt() -> 'teams') @> '[1]'", Reads((("teams",),), ())),
    ],
)
async def test_what_a_policy_reads(prepared: str, using: str, reads: Reads) -> None:
    async with open_case(prepared) as case:
        case.policy(using)
        rule = await read(case)
    assert (rule.compiled, rule.reads) == (None, reads)


@pytest.mark.parametrize(
    "using",
    [
        "private.in_team(team)",
        "cheap(posts)",
        "strict_uid() = owner",
        "remembered() = owner::text",
        "auth.jwt() ? lower(title)",
        "auth.jwt() ->> lower(title) = 'x'",
        "(auth.jwt())::text like '%x%'",
        "current_setting('request.jwt.claims', true) like '%x%'",
        "current_setting('request.headers', true) = lower(title)",
        "exists (select from teams_seen t where t.id = posts.team)",
        "exists (select from private.my_teams() t where t = posts.team)",
        "exists (select from members m tablesample system (random() * 100) where m.team = posts.team)",
        "exists (with t as (select 1) select from t)",
        "team > (select count(*) from teams)",
        "feeling::text || 'x' = 'okx'",
        "stars + 1 > 1",
        "contact like 'eve%' or upper(contact) = 'A@B'",
        "posts is not null or (posts.*)::text like '%eve@x%'",
        "to_jsonb(team) = '1'",
        "query_to_xml('select 1', true, true, '') is not null",
        "team === 1",
    ],
)
async def test_whatever_might_read_more(prepared: str, using: str) -> None:
    execute(
        prepared,
        "create view teams_seen as select * from teams where plan = auth.jwt() ->> 'plan'",
        """create function private.my_teams() returns setof int language sql stable
           return (select team from public.members where who = auth.uid())""",
        "create function public.same(a int, b int) returns boolean language sql immutable return a = b",
        "create operator === (leftarg = int, rightarg = int, function = public.same)",
    )
    async with open_case(prepared) as case:
        case.policy(using)
        rule = await read(case)
    assert (rule.compiled, rule.reads) == (None, None)


async def test_other_tables_are_read_under_their_own_policies(prepared: str) -> None:
    async with open_case(prepared) as case:
        case.policy(MEMBER)
        case.run("create policy more on members using (team::text = (select auth.jwt() ->> 'team'))")
        rule = await read(case)
        assert rule.reads == Reads((("sub",), ("team",)), ("sub",))
        case.run(
            "alter table teams enable row level security",
            "create policy p on teams using (plan = any (array[auth.jwt() ->> 'plan', 'free']))",
            "create policy far on members as restrictive using (exists (select from teams t where t.id = team))",
        )
        rule = await read(case)
        assert rule.reads == Reads((("plan",), ("sub",), ("team",)), ("sub",))
        case.run("create policy any_name on teams using (private.in_team(id))")
        assert (await read(case)).reads is None
        case.run("alter table teams disable row level security")
        rule = await read(case)
        assert rule.reads == Reads((("sub",), ("team",)), ("sub",))


async def test_not_more_tables_than_are_worth_it(prepared: str) -> None:
    async with open_case(prepared) as case:
        for number in range(MOST_TABLES + 1):
            case.run(
                f"create table chain_{number} (id int)",
                f"alter table chain_{number} enable row level security",
            )
        for number in range(MOST_TABLES):
            next_ = f"exists (select from chain_{number + 1} c where c.id = chain_{number}.id)"
            case.run(f"create policy p on chain_{number} using ({next_})")
        case.policy("exists (select from chain_1 c where c.id = posts.id)")
        assert (await read(case)).reads == NOTHING
        case.policy("exists (select from chain_0 c where c.id = posts.id)")
        assert (await read(case)).reads is None


async def test_where_changes_of_policies_are_not_announced(prepared: str) -> None:
    async with open_case(prepared) as case:
        case.policy(MEMBER)
        case.run("alter event trigger tidewire_rules disable")
        assert (await read(case)).reads is None


@pytest.mark.timeout(60)
async def test_who_agrees_in_what_is_read_gets_the_same_answers(prepared: str) -> None:
    """For each reader that of Postgres to all of its claims, and to those that are read."""
    known = 0
    async with open_case(prepared) as case:
        for using in POLICIES:
            case.policy(using)
            rule = await read(case)
            if rule.reads is None:
                continue
            known += 1
            whole = replace(rule, reads=None)
            assert rule.restriction is not None
            answers = [
                await case.answers.answer(
                    PolicyQuestion(
                        "authenticated",
                        case.relation(),
                        rule.restriction,
                        case.rows(),
                        [session_of(each, audience_in_full(each, wish(claims))) for claims in TOKENS],
                    )
                )
                for each in (rule, whole)
            ]
            assert answers[0] == answers[1], using
            audiences = [audience_in_full(rule, wish(claims)) for claims in TOKENS]
            assert audiences[0] == audiences[3] or rule.reads.claims not in (SUB.claims, ()), using
    assert known > 5
