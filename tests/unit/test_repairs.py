"""Which fixes are run, and that a name of the database can never make a statement of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.postgres.finding import Finding, Severity
from tidewire.postgres.repair import literal, name
from tidewire.postgres.repairs import finding_id, statements_of


@pytest.mark.parametrize(
    "fix",
    [
        "",
        "tidewire migrate",
        "export TIDEWIRE_SLOT=other",
        "upgrade PostgreSQL",
        "-- start Tidewire, or give the slot up\nSELECT pg_drop_replication_slot('x');",
        "CREATE POLICY p ON t FOR SELECT USING (false);    -- nobody yet",
        "ALTER SYSTEM SET wal_level = 'logical';\n-- then restart Postgres",
        "ALTER TABLE t REPLICA IDENTITY FULL",
        "DROP TABLE t;",
    ],
)
def test_what_a_person_has_to_read_is_not_run(fix: str) -> None:
    assert statements_of(fix) == ()


def test_statements_are_run_line_by_line() -> None:
    lines = ("ALTER SYSTEM SET max_wal_senders = '10';", "SELECT pg_reload_conf();")
    assert statements_of("\n".join(lines)) == lines


@given(st.text(st.sampled_from("\"'\\; \nALTER ROLE x;-$"), max_size=30), st.booleans())
def test_a_name_makes_no_statement(text: str, as_literal: bool) -> None:  # noqa: FBT001 - hypothesis draws it
    quoted = literal(text) if as_literal else name(text or "x")
    whole = f"ALTER TABLE {quoted} REPLICA IDENTITY FULL;"
    assert statements_of(whole) in {(), (whole,)}


def test_another_fix_has_another_id() -> None:
    finding = Finding(code="C", severity=Severity.ERROR, message="m", fix="ALTER TABLE a RENAME TO b;", table="a")
    same = Finding(code="C", severity=Severity.ERROR, message="another", fix=finding.fix, table="a")
    other = Finding(code="C", severity=Severity.ERROR, message="m", fix="ALTER TABLE a RENAME TO c;", table="a")
    assert finding_id(finding) == finding_id(same) != finding_id(other)
