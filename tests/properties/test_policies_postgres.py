"""Postgres is the oracle of policies: what the compiler does not refuse it judges as row-level security does.

Each example is a set of policies, with rows and claims for it: every pair of a row and claims is one case.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from tests.support.policy_cases import COLUMNS, IDIOMS, Claims, Subject, policy_subject
from tidewire.match.policy import PolicyUnprovable
from tidewire.match.policy_compile import CompiledPolicies, Judgement
from tidewire.match.subscription import Audience
from tidewire.model.change import ABSENT, Row

EXAMPLES = 120 if settings().max_examples <= 100 else settings().max_examples
PATIENCE_S = 60 * max(1, settings().max_examples // 100)

IDS = [f"0000000{n}-0000-4000-8000-00000000000a" for n in range(3)]
WORDS = ["", "a", "B", "ä", "ok", "sad", "1", "01", "authenticated", "%", "a,B", 'q"', "\\", "null", "true", "abcd  "]
NUMBERS = ["-1", "0", "1", "2", "32767"]
MOMENTS = ["2024-01-01 00:00:00", "2024-03-10 12:30:00.5", "1999-12-31 23:59:59", "infinity"]


class Rule(Struct, frozen=True):
    """One policy of an example."""

    using: str
    restrictive: bool
    command: str
    to: tuple[str, ...]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def mostly(usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw from the first in five cases of six; `|` would drop repetitions."""
    return st.integers(0, 5).flatmap(lambda number: rare if number == 0 else usual)


words = st.sampled_from(WORDS)
ids = st.sampled_from(IDS)
numbers = st.sampled_from(NUMBERS)
claim_names = st.sampled_from(["sub", "role", "email", "plan", "level", "teams", "admin", "since", "deep"])
paths = claim_names.map(lambda name: f"auth.jwt() ->> '{name}'") | st.sampled_from(
    [
        "auth.jwt() -> 'deep' ->> 'plan'",
        "auth.jwt() #>> '{deep,plan}'",
        "(auth.jwt() #> '{deep}') ->> 'level'",
        "current_setting('request.jwt.claims', true)::json ->> 'plan'",
        "nullif(current_setting('request.jwt.claims'), '')::json -> 'deep' ->> 'plan'",
        "current_setting('request.jwt.claim.plan', true)",
        "auth.role()",
        "auth.email()",
        "(select auth.jwt() ->> 'plan')",
    ]
)


FITTING = {
    "text": "plan",
    "uuid": "sub",
    "bool": "admin",
    "date": "day",
    "timestamp": "moment",
    "timestamptz": "since",
}
"""Claims that usually can be read as the type; for all numbers it is `level`."""


def values(type_: str, columns: list[str], literals: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Build expressions of a type: columns, constants and claims, some in the wrappings that people use."""
    plain = st.sampled_from(columns) | literals.map(lambda text: f"{quoted(text)}::{type_}")
    fitting = st.just(f"auth.jwt() ->> '{FITTING.get(type_, 'level')}'")
    claims = mostly(fitting, paths).map(lambda path: f"({path})::{type_}" if type_ != "text" else f"({path})")
    if type_ == "uuid":
        claims |= st.sampled_from(["auth.uid()", "(select auth.uid())"])
    simple = plain | claims
    return simple | st.one_of(
        st.builds("coalesce({}, {})".format, simple, simple),
        st.builds("nullif({}, {})".format, simple, simple),
        st.builds("(select {})".format, claims),
    )


texts = values("text", ["title", "code", "kind", "padded::text"], words) | st.sampled_from(
    ["owner::text", "auth.uid()::text", "rank::text", "public::text", 'title collate "C"', "feeling::text", "day::text"]
)
uuids = values("uuid", ["owner", "editor"], ids)
VALUES = {
    "text": texts,
    "uuid": uuids,
    "int4": values("int4", ["rank", "stars", "small"], numbers),
    "int8": values("int8", ["big", "rank", "small"], numbers),
    "numeric": values("numeric", ["price", "rank", "big"], st.sampled_from(["1.50", "-0.001", "12345.6", "0", "NaN"])),
    "float8": values("float8", ["ratio"], st.sampled_from(["1.5", "0.1", "-0", "NaN", "1e300"])),
    "bool": values("bool", ["public"], st.sampled_from(["t", "f"])),
    "date": values("date", ["day"], st.sampled_from(["2024-01-01", "1999-12-31", "infinity"])),
    "timestamp": values("timestamp", ["moment"], st.sampled_from(MOMENTS)),
    "timestamptz": values("timestamptz", ["instant"], st.sampled_from([f"{each}Z" for each in MOMENTS[:3]])),
    "mood": st.sampled_from(["feeling", "'sad'::mood", "'ok'::mood"]),
}
OPERATORS = ["=", "=", "=", "<>", "<", "<=", ">", ">=", "is distinct from", "is not distinct from"]

TESTED = ["true", "not true", "false", "not false", "unknown", "not unknown"]

OUTSIDE = [
    "lower(title) = 'a'",
    "title like 'a%'",
    "length(title) > 2",
    "rank + 1 = 2",
    "feeling > 'sad'",
    "feeling = (auth.jwt() ->> 'plan')::mood",
    "rank / small > 0",
    "title::int = 1",
    "exists (select from friends where a = owner)",
    "owner in (select b from friends where a = auth.uid())",
    "instant < now()",
    "case when public then rank = 1 else title = 'a' end",
    "document ->> 'a' = 'b'",
    "(document -> 'a') is null",
    "auth.jwt() -> 'deep' = '{}'::jsonb",
    "auth.jwt() -> 'teams' @> '[\"a\"]'",
    "jsonb_array_length(auth.jwt() -> 'teams') > 1",
    "tags && array['a', 'B']",
    "members = '{}'",
    "notes is not null",
    "current_user = title",
    "(auth.jwt() ->> 'teams')::jsonb ? title",
    "(select max(a) from friends) is null",
    "rank between symmetric 2 and 0",
    "array_position(tags, 'a') = 1",
    "tags[1] = 'a'",
    "greatest(rank, 1) = 1",
    "(rank, small) = (1, 1)",
]


@st.composite
def atoms(draw: st.DrawFn) -> str:  # noqa: PLR0911 - one for each kind
    """Draw a condition without AND, OR and NOT."""
    kind = draw(st.integers(0, 10))
    type_ = draw(st.sampled_from(list(VALUES)))
    value = VALUES[type_]
    left = draw(value)
    listed = ", ".join(draw(st.lists(value, min_size=1, max_size=3)))
    match kind:
        case 0:
            return f"{left} between {draw(value)} and {draw(value)}"
        case 1:
            return f"{left} {draw(st.sampled_from(['in', 'not in']))} ({listed})"
        case 2:
            return f"{left} = any (array[{listed}])"
        case 3:
            return f"{left} is {draw(st.sampled_from(['null', 'not null']))}"
        case 4:
            return f"{draw(VALUES['bool'])} is {draw(st.sampled_from(TESTED))}"
        case 5:
            return draw(st.sampled_from(["public", "true", "false", "null::bool", "(auth.jwt() -> 'admin')::bool"]))
        case 6:
            return draw(st.sampled_from(CLAIM_LISTS)).format(text=draw(texts), uuid=draw(uuids))
        case 7:
            return draw(st.sampled_from(list(IDIOMS.values())))
        case _:
            return f"{left} {draw(st.sampled_from(OPERATORS))} {draw(value)}"


CLAIM_LISTS = [
    "(auth.jwt() -> 'teams') ? {text}",
    "(auth.jwt() -> 'deep') ? {text}",
    "{text} in (select jsonb_array_elements_text(auth.jwt() -> 'teams'))",
    "{text} not in (select jsonb_array_elements_text(auth.jwt() -> 'teams'))",
    "{text} = any (array(select jsonb_array_elements_text(auth.jwt() -> 'teams')))",
    "{uuid} = any (array(select jsonb_array_elements_text(auth.jwt() -> 'teams'))::uuid[])",
    "{uuid} in (select jsonb_array_elements_text(auth.jwt() -> 'teams')::uuid)",
    "{text} = any (string_to_array(auth.jwt() ->> 'plan', ','))",
    "{text} <> all (string_to_array(auth.jwt() ->> 'plan', ','))",
    "{uuid} = any (members)",
    "{text} = any (tags)",
    "{text} <> all (tags)",
    "{text} = any ('{{a,B,NULL}}')",
    '{text} = any (\'{{a,B,"q,\\""}}\')',
    "{uuid} = any ('{{00000001-0000-4000-8000-00000000000a}}')",
    "(auth.jwt() -> 'deep') is null",
    "(auth.jwt() -> 'deep' -> 'plan') is not null",
    "auth.jwt() is not null",
]


def conditions(leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Nest conditions in AND, OR, NOT and IS."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: "(" + ") and (".join(parts) + ")"),
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: "(" + ") or (".join(parts) + ")"),
            inner.map("not coalesce({}, false)".format),
            inner.map("not ({})".format),
            st.builds("({}) is {}".format, inner, st.sampled_from([*TESTED, "null", "not null"])),
        ),
        max_leaves=4,
    )


rules = st.builds(
    Rule,
    mostly(conditions(atoms()), conditions(atoms() | st.sampled_from(OUTSIDE))),
    mostly(st.just(False), st.just(True)),
    st.sampled_from(["select", "select", "select", "all", "all", "update"]),
    st.sampled_from([("public",), ("public",), ("public",), ("reader",), ("group", "other"), ("other",)]),
)

_scalar_claims = st.one_of(
    words, words, ids, numbers, st.none(), st.booleans(), st.integers(-2, 3), st.just(1.5), st.sampled_from(MOMENTS)
)
_lists = st.lists(st.one_of(words, ids, st.none(), st.integers(0, 2)), max_size=3)
claims_given: st.SearchStrategy[Claims] = st.fixed_dictionaries(
    {"sub": mostly(ids, _scalar_claims)},
    optional={
        "role": mostly(st.just("authenticated"), _scalar_claims),
        "email": words,
        "plan": _scalar_claims | _lists,
        "level": mostly(st.integers(-1, 2) | numbers, _scalar_claims),
        "admin": mostly(st.booleans(), _scalar_claims),
        "since": mostly(st.just("2024-01-01T00:00:00Z"), _scalar_claims),
        "day": mostly(st.sampled_from(["2024-01-01", "1999-12-31"]), _scalar_claims),
        "moment": mostly(st.sampled_from(MOMENTS), _scalar_claims),
        "teams": mostly(_lists, _scalar_claims | st.just({"a": 1})),
        "deep": st.fixed_dictionaries({}, optional={"plan": words, "level": numbers, "a": st.just({})})
        | _lists
        | _scalar_claims,
    },
)


def _array(elements: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(["{}", "{NULL}", "{{}}".format()]) | st.lists(elements, min_size=1, max_size=3).map(
        lambda items: "{" + ",".join(items) + "}"
    )


LITERALS: dict[str, st.SearchStrategy[str]] = {
    "owner": ids,
    "editor": ids,
    "members": _array(ids | st.just("NULL")),
    "title": words,
    "code": words,
    "kind": words.map(lambda word: word[:12]),
    "padded": words.map(lambda word: word[:4]),
    "tags": _array(st.sampled_from(["a", "B", "NULL", '"q x"', '"NULL"'])),
    "feeling": st.sampled_from(["sad", "ok", "happy"]),
    "rank": numbers,
    "big": numbers,
    "small": numbers,
    "stars": st.sampled_from(["0", "1", "2"]),
    "price": st.sampled_from(["1.5", "1.500", "-0.001", "12345.6", "0", "NaN"]),
    "ratio": st.sampled_from(["1.5", "0.1", "-0", "NaN", "Infinity"]),
    "public": st.sampled_from(["t", "f"]),
    "day": st.sampled_from(["2024-01-01", "2024-04-01", "infinity", "0044-03-15 BC"]),
    "moment": st.sampled_from(MOMENTS),
    "instant": st.sampled_from([f"{each}+02" for each in MOMENTS[:3]] + ["infinity"]),
    "document": st.sampled_from(["{}", '{"a": "b"}', "null"]),
}
rows_given = st.fixed_dictionaries({name: mostly(LITERALS[name], st.none()) for name in COLUMNS})


@pytest.fixture
def subject(any_database: str) -> Iterator[Subject]:
    with policy_subject(any_database) as made:
        yield made


@pytest.mark.timeout(PATIENCE_S)
def test_compiled_policies_judge_as_postgres_does(subject: Subject) -> None:
    tally: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES)
    @given(
        st.lists(rules, min_size=1, max_size=3),
        st.lists(rows_given, min_size=4, max_size=8),
        st.lists(claims_given, min_size=3, max_size=5),
        st.sets(st.integers(1, len(COLUMNS)), max_size=3),
    )
    def check(drawn: list[Rule], literals: list[dict[str, str | None]], asking: list[Claims], gone: set[int]) -> None:
        subject.drop_policies()
        for rule in drawn:
            try:
                subject.add_policy(rule.using, restrictive=rule.restrictive, command=rule.command, to=rule.to)
            except psycopg.Error:  # a constant that is none, or types that do not compare
                tally["no policy"] += 1
        try:
            compiled = subject.compile()
        except PolicyUnprovable:
            tally["refused"] += 1
            return
        tally["compiled"] += 1
        rows = subject.fill(literals)
        for claims in asking:
            shown = subject.ask(claims, compiled.settings, len(rows))
            for row, theirs in zip(rows, shown, strict=True):
                ours = judged(compiled, claims, row)
                tally[ours.value] += 1
                check_case(ours, theirs, (drawn, claims, row))
                check_absent(compiled, claims, row, gone, ours)

    check()
    cases = sum(tally[judgement.value] for judgement in Judgement)
    # The compiler must not hide behind refusals, nor the examples behind rows that nobody sees.
    assert tally["compiled"] > tally["refused"], tally
    assert tally["undecided"] < cases / 2, tally
    assert min(tally["visible"], tally["hidden"]) > cases / 50, tally
    assert cases >= 10 * EXAMPLES, tally


def judged(compiled: CompiledPolicies, claims: Claims, row: Row) -> Judgement:
    """Judge a row, and make sure that looking it up by its keys leads to the same."""
    audience = compiled.audience(claims)
    judgement = compiled.judge(audience)(row)
    place = compiled.place(audience)
    found = place.entries is None or any(canonical(compiled, number, row) == text for number, text in place.entries)
    if not found:
        assert judgement is not Judgement.VISIBLE
    elif place.judge is None:
        assert judgement is Judgement.VISIBLE
    else:
        assert place.judge(row) is judgement
    return judgement


def canonical(compiled: CompiledPolicies, number: int, row: Row) -> str | None:
    key = compiled.keys[number]
    text = row[key.column]
    return (text if key.canonical is None else key.canonical(text)) if isinstance(text, str) else None


def check_case(ours: Judgement, theirs: bool | None, case: Any) -> None:  # noqa: FBT001 - the answer of Postgres
    if ours is Judgement.VISIBLE:
        assert theirs is True, case
    elif ours is not Judgement.UNDECIDED:
        assert not theirs, case


def check_absent(compiled: CompiledPolicies, claims: Claims, row: Row, gone: set[int], ours: Judgement) -> None:
    """What the log does not carry is never guessed: the answer is the same, or it is left open."""
    partial = tuple(ABSENT if place in gone else value for place, value in enumerate(row))
    found = compiled.judge(compiled.audience(claims))(partial)
    assert (
        found in {ours, Judgement.UNDECIDED}
        or (ours is Judgement.UNDECIDED and found is not Judgement.VISIBLE)
        or ({ours, found} == {Judgement.HIDDEN, Judgement.RAISES})
    )


@pytest.mark.timeout(60)
def test_everyday_policies_are_compiled(subject: Subject) -> None:
    me, friend = IDS[:2]
    rows = subject.fill(
        [
            {"owner": me, "editor": friend, "members": "{}", "title": "a", "code": "acme", "rank": "1", "public": "f"},
            {"owner": friend, "editor": me, "members": f"{{{me}}}", "title": "me@example.org", "big": "7"},
            {"owner": friend, "title": "b", "feeling": "happy", "public": "t", "rank": "9", "kind": "note"},
            {"price": "5", "instant": "2024-05-05 05:05Z", "day": "2024-03-03", "kind": "final", "feeling": "ok"},
        ]
    )
    metadata = {"tenant_id": friend, "teams": ["1", "a"], "admin": False}
    asking: list[Claims] = [
        {},
        {"sub": me, "role": "authenticated", "email": "me@example.org", "aal": "aal2", "is_anonymous": False},
        {"sub": friend, "tenant": "acme", "app_metadata": metadata, "account": 7, "level": 5, "teams": [me, friend]},
        {"sub": "", "teams": "a,b", "app_metadata": {"admin": True}, "is_anonymous": True},
    ]
    for meaning, using in IDIOMS.items():
        subject.drop_policies()
        subject.add_policy(using)
        compiled = subject.compile()
        answers = set()
        for claims in asking:
            for row, theirs in zip(rows, subject.ask(claims, compiled.settings, len(rows)), strict=True):
                ours = judged(compiled, claims, row)
                check_case(ours, theirs, (meaning, claims, row))
                answers.add(ours)
        # Every one of them admits somebody here, but for the one that admits nobody.
        assert (Judgement.VISIBLE in answers) is (meaning != "nobody"), meaning


def test_what_cannot_be_proven_is_refused(subject: Subject) -> None:
    refused = {
        "lower(title) = 'a'": "function lower",
        "title like 'a%'": "operator ~~",
        "rank + 1 = 2": "operator +",
        "title::int = 1": "a cast",
        "exists (select from friends where a = owner)": "a sub-select",
        "owner in (select b from friends)": "a sub-select",
        "owner = (select max(sub::text)::uuid from (values (auth.uid())) as v (sub))": "a sub-select",
        "instant < now()": "function now",
        "nullif(auth.email(), 'a') = nullif(auth.email(), 'a')": "operator =",
        "day = moment": "operator =",
        "case when public then true else false end": "CASE",
        "greatest(rank, 1) = 1": "GREATEST or LEAST",
        "document ->> 'a' = 'b'": "operator ->>",
        "auth.jwt() -> 'a' = '1'": "a constant",
        "auth.jwt() ->> 0 = 'b'": "operator ->>",
        "auth.jwt() #>> '{a,0}' = 'b'": "a path into the claims",
        "auth.jwt() ->> title = 'b'": "a path into the claims",
        "current_user = title": "a current user, date or time",
        "current_setting('request.jwt.claims', true) is null": "IS NULL",
        "nullif(current_setting('request.jwt.claims', true), 'a') is null": "NULLIF",
        "current_setting('request.jwt.claims', true)::uuid = owner": "the claims",
        "current_setting('app.tenant', true) = title": "function current_setting",
        "current_setting('request.jwt.claims', true) = title": "the claims",
        "feeling > 'sad'": "operator >",
        "feeling = (auth.jwt() ->> 'mood')::mood": "a cast",
        "notes is not null": "IS NULL",
        "tags[1] = 'a'": "an element of an array",
        "title = any (array[tags[1]])": "an element of an array",
        "tags = '{}'": "the type with OID 1009",
        "xmin::text = '1'": "column -2",
        "kind::char(3) = 'abc'": "a cast",
        "(rank, small) = (1, 2) and price::numeric(4, 1) = 1": "function numeric",
        "rank between symmetric 2 and 0 and rank::int2 = 1": "function int2",
    }
    for using, what in refused.items():
        subject.drop_policies()
        subject.add_policy(using)
        with pytest.raises(PolicyUnprovable) as caught:
            subject.compile()
        assert (caught.value.what, caught.value.why != "") == (what, True), using
        assert caught.value.policy.startswith("p")


def test_functions_that_tell_who_asks_are_known_by_what_they_do(subject: Subject) -> None:
    """Other services bring functions of the same names; their bodies are texts."""
    subject.connection.execute(
        """
        create or replace function auth.uid() returns uuid language sql stable as $$
          SELECT
            coalesce(
              nullif(current_setting('request.jwt.claim.sub', true), ''),
              (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
            )::uuid
        $$;
        create or replace function auth.jwt() returns jsonb language sql stable as $$
          select coalesce(
            nullif(current_setting('request.jwt.claim', true), ''),
            nullif(current_setting('request.jwt.claims', true), '')
          )::jsonb
        $$;
        create or replace function auth.role() returns text language sql stable as $$
          select nullif(current_setting('request.jwt.claim.role', true), '')::text;
        $$;
        create function public.tenant() returns text language sql stable set search_path = ''
          return (auth.jwt() -> 'app_metadata' ->> 'tenant');
        """
    )
    rows = subject.fill([{"owner": IDS[0], "title": "authenticated"}, {"owner": IDS[1], "title": "acme"}])
    asking: list[Claims] = [
        {"sub": IDS[0], "role": "authenticated"},
        {"sub": IDS[2], "role": "", "app_metadata": {"tenant": "acme"}},
        {"sub": "nobody"},
    ]
    for using in ("owner = auth.uid()", "title = auth.role()", "title = (auth.jwt() ->> 'role')", "title = tenant()"):
        subject.drop_policies()
        subject.add_policy(using)
        compiled = subject.compile()
        seen = set()
        for claims in asking:
            for row, theirs in zip(rows, subject.ask(claims, compiled.settings, len(rows)), strict=True):
                ours = judged(compiled, claims, row)
                seen.add(ours)
                assert (ours is Judgement.VISIBLE) is (theirs is True), (using, claims)
                assert (ours is Judgement.RAISES) is (theirs is None), (using, claims)
        assert Judgement.VISIBLE in seen


def test_functions_that_might_do_anything_are_refused(subject: Subject) -> None:
    subject.connection.execute(
        """
        create function one() returns text language plpgsql as $$ begin return 'a'; end $$;
        create function two() returns text language sql as $$ select 'a' $$;
        create function three(given text) returns text language sql return given;
        create function four() returns text language sql set datestyle = 'ISO' return 'a';
        create function five() returns text language sql return 'a';
        create function six() returns setof text language sql return 'a';
        revoke execute on function five() from public;
        """
    )
    for call in ("one()", "two()", "three(title)", "four()", "five()"):
        subject.drop_policies()
        subject.add_policy(f"title = {call}")
        with pytest.raises(PolicyUnprovable) as caught:
            subject.compile()
        assert caught.value.what == f"function {call.partition('(')[0]}"
    subject.drop_policies()
    subject.add_policy("title in (select six())")
    with pytest.raises(PolicyUnprovable):
        subject.compile()


def test_the_order_and_equality_of_texts_are_those_of_their_collation(subject: Subject) -> None:
    subject.add_policy("title collate \"C\" < 'b' and code = 'a'")
    judge = subject.compile().judge(Audience("reader"))
    assert [judge(row) for row in subject.fill([{"title": "a", "code": "a"}, {"title": "ä", "code": "a"}])] == [
        Judgement.VISIBLE,
        Judgement.HIDDEN,
    ]
    try:
        subject.connection.execute(
            "create collation no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
    except psycopg.errors.FeatureNotSupported:  # this build has no ICU
        return
    for using in ("title collate no_case = 'a'", "title collate \"en-x-icu\" < 'b'"):
        subject.drop_policies()
        subject.add_policy(using)
        with pytest.raises(PolicyUnprovable, match="known to Postgres only"):
            subject.compile()


def test_roles_read_under_the_policies_that_concern_them(subject: Subject) -> None:
    rows = subject.fill([{"rank": "1"}, {"rank": "2"}, {"rank": "3"}])
    connection = subject.connection
    readers = sql.SQL(", ").join([subject.role(name) for name in subject.roles])
    connection.execute(sql.SQL("grant select on notes to {}").format(readers))
    connection.execute(sql.SQL("alter table notes owner to {}").format(subject.role("owner")))
    subject.add_policy("rank = 1", to=("group",))
    subject.add_policy("rank in (1, 2)", to=("owner",))
    subject.add_policy("rank = 3", to=("other",), command="all")
    subject.add_policy("true", command="delete")
    subject.add_policy("rank < 3", restrictive=True)

    def seen(role: str) -> list[int]:
        compiled = subject.compile(role)
        judge = compiled.judge(compiled.audience({}))
        shown = [judge(row) is Judgement.VISIBLE for row in rows]
        assert shown == subject.ask({}, (), len(rows), role)
        return [number for number, visible in enumerate(shown, 1) if visible]

    assert {role: seen(role) for role in subject.roles} == {
        "reader": [1],
        "group": [1],
        "other": [],
        "owner": [1, 2, 3],
        "bypasser": [1, 2, 3],
    }
    connection.execute("alter table notes force row level security")
    assert seen("owner") == [1, 2]
    connection.execute("alter table notes disable row level security")
    assert seen("other") == [1, 2, 3]


def test_of_what_is_gone_nothing_is_read(subject: Subject) -> None:
    assert subject.read("nobody_at_all", subject.relation) is None
    assert subject.read(subject.roles["reader"], replace(subject.relation, oid=0)) is None


def test_what_fails_when_a_plan_is_made_is_never_shown(subject: Subject) -> None:
    """Making a plan, Postgres may evaluate what no row has a say in, needed or not, to guess how many there are."""
    rows = subject.fill([{"owner": IDS[0], "title": "a"}])
    for using in (
        "coalesce((select auth.uid()), (auth.jwt() ->> 'plan')::uuid) = any (array[owner])",
        "coalesce(auth.uid(), (auth.jwt() ->> 'plan')::uuid) = owner",
        "coalesce(auth.jwt() ->> 'sub' <> '', (auth.jwt() ->> 'plan')::bool)",
        f"not coalesce((auth.jwt() ->> 'plan')::uuid = nullif('{IDS[1]}'::uuid, '{IDS[1]}'), false)",
        "not coalesce(null::uuid = any (array[(auth.jwt() ->> 'plan')::uuid]), false)",
        "((auth.jwt() ->> 'plan')::uuid = null) is null",
    ):
        subject.drop_policies()
        subject.add_policy(using)
        compiled = subject.compile()
        for claims in ({"sub": IDS[0], "plan": ""}, {"sub": IDS[0], "plan": IDS[0]}):
            (theirs,) = subject.ask(claims, compiled.settings, len(rows))
            check_case(judged(compiled, claims, rows[0]), theirs, (using, claims))
