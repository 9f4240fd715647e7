"""What operators are told about the database: verdicts with their reasons, tables, and findings that they may mend."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime, token
from tests.support.verdicts import ADA, BOB, DEEDS, OPERATOR, unhurried, verdict
from tidewire.postgres.embedded import EmbeddedPostgres

pytestmark = pytest.mark.timeout(60)  # the first of them waits for a database and a server

ROW = {"id": 1, "owner": ADA, "team": 3, "title": "a", "stars": 1, "shown": False}


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(
            made,
            *DEEDS,
            "create table secrets (id int primary key)",
            "alter publication supabase_realtime add table secrets",
            "create table private (id int primary key)",
            "create table parts (id int primary key, note text) partition by range (id)",
            "create table parts_1 partition of parts for values from (0) to (100)",
            "alter publication supabase_realtime add table parts",
            "create table full_rows (id int primary key, owner uuid)",
            "alter table full_rows replica identity full",
            "alter table full_rows enable row level security",
            "create policy own on full_rows to authenticated using (owner = auth.uid())",
            "grant select on parts, full_rows to authenticated",
            "alter publication supabase_realtime add table full_rows",
        )
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with unhurried(), realtime(dsn, database_timeout_s=15.0) as running:
        yield running


def ask(served: RealtimeServer, **wish: Any) -> Any:
    return verdict(served, {"table": "deeds", "record": ROW, "user": ADA, **wish})


# --- verdicts ------------------------------------------------------------------------------------------------


def test_each_policy_says_its_part(served: RealtimeServer) -> None:
    said = ask(served)
    assert (said["delivered"], said["told_as"], said["errors"]) == (True, "INSERT", [])
    assert said["assumed_null"] == ["flag", "at"]
    found = {each["name"]: (each["permissive"], each["judged_by"], each["answer"]) for each in said["policies"]}
    assert found == {
        "stars": (False, "compiled", "true"),
        "team": (True, "postgres", "false"),
        "shown": (True, "compiled", "false"),
        "own": (True, "compiled", "true"),
        "marks": (True, "compiled", "false"),
    }
    (team,) = [each for each in said["policies"] if each["name"] == "team"]
    assert team["why"]
    assert "EXISTS" in team["expression"]


def test_null_is_told_apart_from_false(served: RealtimeServer) -> None:
    said = ask(served, record={**ROW, "owner": None, "stars": None, "shown": None})
    answers = {each["name"]: each["answer"] for each in said["policies"]}
    assert said["delivered"] is False
    assert answers == {"stars": "unknown", "team": "false", "shown": "unknown", "own": "unknown", "marks": "false"}


def test_an_error_is_told_apart_too(served: RealtimeServer) -> None:
    said = ask(served, role="anon", user=None, record={**ROW, "stars": 5, "shown": False})
    (found,) = [each for each in said["policies"] if each["name"] == "division"]
    assert (said["delivered"], found["answer"], found["sqlstate"]) == (False, "error", "22012")


def test_the_filter_has_a_word_of_its_own(served: RealtimeServer) -> None:
    said = ask(served, filter="title=eq.b")
    assert (said["delivered"], said["filter"]) == (False, {"ok": False, "reason": "the filter is not true"})
    assert all(each["answer"] == "true" for each in said["policies"] if each["name"] in {"own", "stars"})
    assert ask(served, filter="title=eq.a")["delivered"] is True
    assert ask(served, wanted="DELETE")["filter"]["reason"] == "only DELETE was asked for"


def test_a_wish_that_would_be_refused_is_told_in_the_words_of_the_refusal(served: RealtimeServer) -> None:
    said = ask(served, filter="missing=eq.1")
    assert (said["delivered"], said["wish"]["ok"]) == (False, False)
    assert "invalid column for filter missing" in said["wish"]["reason"]
    assert ask(served, role="anon", select=["team"])["wish"]["ok"] is False


def test_what_may_not_be_read_is_named(served: RealtimeServer) -> None:
    said = ask(served, role="anon", user=None, record={**ROW, "shown": True})
    assert said["delivered"] is True
    assert said["privilege"] == {"ok": True, "reason": "anon may not SELECT owner, team, flag, at"}
    assert said["columns"] == ["id", "title", "stars", "shown"]
    said = ask(served, table="secrets", record={"id": 1})
    assert (said["delivered"], said["privilege"]["ok"]) == (True, False)
    assert said["errors"] == ["Error 401: Unauthorized"]


def test_a_role_that_is_not_there_sees_nothing(served: RealtimeServer) -> None:
    said = ask(served, role="nobody")
    assert (said["delivered"], said["privilege"]) == (False, {"ok": False, "reason": "there is no role nobody"})


def test_a_table_that_is_not_published_is_told_to_nobody(served: RealtimeServer) -> None:
    said = ask(served, table="private", record={"id": 1})
    assert (said["delivered"], said["publication"]["ok"]) == (False, False)
    assert said["wish"] is None


def test_policies_do_not_bind_everybody(served: RealtimeServer) -> None:
    said = ask(served, role="service_role", user=None)
    assert (said["delivered"], said["policies_bind"], said["policies"]) == (True, False, [])


@pytest.mark.parametrize(("old", "new", "told_as"), [(ADA, BOB, "DELETE"), (BOB, ADA, "INSERT"), (ADA, ADA, "UPDATE")])
def test_whoever_follows_moves_is_told_of_rows_that_come_and_go(
    served: RealtimeServer, old: str, new: str, told_as: str
) -> None:
    rows = {"record": {"id": 1, "owner": new}, "old_record": {"id": 1, "owner": old}}
    assert ask(served, table="full_rows", event="UPDATE", moves=True, **rows)["told_as"] == told_as
    assert ask(served, table="full_rows", event="UPDATE", **rows)["delivered"] is (new == ADA)


def test_a_deleted_row_is_judged_as_it_was(served: RealtimeServer) -> None:
    gone = {"table": "full_rows", "event": "DELETE"}
    assert ask(served, record={"id": 1, "owner": ADA}, **gone)["told_as"] == "DELETE"
    assert ask(served, record={"id": 1, "owner": BOB}, **gone)["delivered"] is False


def test_of_a_deleted_row_the_log_may_say_too_little_for_policies(served: RealtimeServer) -> None:
    said = ask(served, event="DELETE")
    assert said["columns"] == ["id"] or said["columns"] is None
    found = {each["name"]: (each["answer"], each["why"]) for each in said["policies"]}
    assert found["own"] == ("unknown", "the log does not carry what it reads")
    assert found["marks"] == ("false", "")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"id": "sesame"}, "InvalidTextRepresentation"),
        ({"id": 10**30}, "NumericValueOutOfRange"),
        ({"id": 1, "colour": "red"}, "colour"),
        ([1], "JSON object"),
        ("sesame", "JSON object"),
    ],
)
def test_a_row_that_is_none_is_refused_without_showing_it(served: RealtimeServer, record: object, said: str) -> None:
    answer = served.post("/console/api/verdict", {"table": "deeds", "record": record}, **OPERATOR)
    assert (answer.status, answer.json["code"]) == (422, "ConfigurationError")
    assert said in answer.json["message"]
    assert "sesame" not in json.dumps(answer.json)


def test_a_name_is_never_sql(served: RealtimeServer, dsn: str) -> None:
    evil = 'deeds"; drop table teams; --'
    assert ask(served, table=evil, record={"id": 1})["publication"]["ok"] is False
    assert served.post("/console/api/verdict", {"table": "deeds", "record": {evil: 1}}, **OPERATOR).status == 422
    ask(served, role=evil)
    ask(served, claims={evil: evil}, user=evil)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select count(*) from teams").fetchone() == (3,)


# --- tables --------------------------------------------------------------------------------------------------


def test_tables_are_shown_with_who_follows_them(served: RealtimeServer, dsn: str) -> None:
    with served.connect(apikey=token("authenticated", sub=ADA)) as client:
        client.join("realtime:deeds", postgres_changes=[{"event": "*", "schema": "public", "table": "deeds"}])
        with psycopg.connect(dsn) as connection:
            connection.execute("insert into deeds (id, stars) values (-1, 1)")
        client.receive("postgres_changes")
        tables = {each["name"]: each for each in served.get("/console/api/tables", **OPERATOR).json["tables"]}
    deeds = tables["deeds"]
    assert (deeds["schema"], deeds["row_security"], deeds["policies"]) == ("public", True, 6)
    assert (deeds["identity"], deeds["primary_key"]) == ("default", ["id"])
    assert (deeds["subscriptions"], deeds["audiences"]) == (1, 1)
    assert deeds["changes_per_s"] > 0
    (role,) = [each for each in deeds["roles"] if each["role"] == "authenticated"]
    assert (role["policies"], "team" in role["why"]) == ("postgres", True)
    assert tables["full_rows"]["identity"] == "full"
    assert "private" not in tables


def test_one_table_is_shown_as_each_role_reads_it(served: RealtimeServer) -> None:
    roles = served.get("/console/api/tables/public/full_rows", **OPERATOR).json["roles"]
    assert {each["role"]: each["policies"] for each in roles} == {"anon": "closed", "authenticated": "compiled"}
    assert served.get("/console/api/tables/public/parts", **OPERATOR).status == 200
    assert served.get("/console/api/tables/public/private", **OPERATOR).json["code"] == "UnknownTable"


def test_a_table_that_was_made_anew_is_seen_as_it_is_now(served: RealtimeServer, dsn: str) -> None:
    def sight() -> dict[str, str]:
        tables = served.get("/console/api/tables", **OPERATOR).json["tables"]
        assert "anew" in {each["name"] for each in tables}
        roles = served.get("/console/api/tables/public/anew", **OPERATOR).json["roles"]
        return {each["role"]: each["policies"] for each in roles}

    for grantee, expected in (("anon", ("open", "closed")), ("authenticated", ("closed", "open"))):
        execute(
            dsn,
            "create table anew (id int primary key)",
            f"grant select on anew to {grantee}",
            "alter publication supabase_realtime add table anew",
        )
        assert sight() == dict(zip(("anon", "authenticated"), expected, strict=True))
        execute(dsn, "drop table anew")


# --- doctor --------------------------------------------------------------------------------------------------


def findings(served: RealtimeServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.get("/console/api/doctor", **OPERATOR).json["findings"]
    return found


def test_a_finding_is_mended_by_its_id(served: RealtimeServer, dsn: str) -> None:
    (found,) = [
        each for each in findings(served) if each["table"] == "public.deeds" and each["fix"].endswith("IDENTITY FULL;")
    ]
    assert found["runnable"] is True
    answer = served.post(f"/console/api/doctor/{found['id']}/fix", **OPERATOR)
    assert (answer.status, answer.json) == (200, {"ran": [found["fix"]]})
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select relreplident from pg_class where oid = 'deeds'::regclass").fetchone()
        connection.execute("alter table deeds replica identity default")
    assert row == ("f",)
    assert served.post("/console/api/doctor/nothing/fix", **OPERATOR).json["code"] == "NoSuchFix"


def test_a_fix_for_people_is_not_run(served: RealtimeServer) -> None:
    by_hand = [each for each in findings(served) if each["fix"] and not each["runnable"]]
    assert by_hand
    for each in by_hand:
        assert served.post(f"/console/api/doctor/{each['id']}/fix", **OPERATOR).status == 404


@pytest.mark.parametrize("path", ["/verdict", "/doctor/x/fix", "/tokens"])
def test_nobody_else_asks(served: RealtimeServer, path: str) -> None:
    answer = served.post(f"/console/api{path}", {}, authorization=f"Bearer {token('authenticated')}")
    assert (answer.status, answer.json["code"]) == (403, "NotOperator")
