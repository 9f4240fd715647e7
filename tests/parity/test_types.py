"""Values of every type arrive as users of these clients know them."""

import json
from typing import Any

import pytest

from tests.parity.clients import Connect
from tests.parity.tables import Database

VALUES: dict[str, tuple[str, Any]] = {
    "int2": ("-32768", -32768),
    "int4": ("2147483647", 2147483647),
    "int8": ("9007199254740991", 9007199254740991),
    "numeric": ("1.25", 1.25),
    "float4": ("0.5", 0.5),
    "float8": ("1e100", 1e100),
    "bool": ("t", True),
    "text": ("tide ≈ 2 m 🌊", "tide ≈ 2 m 🌊"),
    "varchar(9)": ("null", "null"),
    "char(3)": ("ab", "ab "),
    "uuid": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "bytea": ("\\xdeadbeef", "deadbeef"),
    "date": ("2024-02-29", "2024-02-29"),
    "time": ("13:01:02.5", "13:01:02.5"),
    "timestamp": ("2024-02-29 13:01:02.123456", "2024-02-29T13:01:02.123456"),
    "timestamptz": ("2024-02-29 13:01:02.123456+00", "2024-02-29T13:01:02.123456+00:00"),
    "interval": ("1 day 02:03:04", "1 day 02:03:04"),
    "json": ('{"a": [1.10, null]}', {"a": [1.1, None]}),
    "jsonb": ('{"a": {"b": true}}', {"a": {"b": True}}),
    "int4[]": ("{1,NULL,3}", [1, None, 3]),
    "text[]": ('{a,"b, c",NULL}', ["a", "b, c", None]),
    "int4range": ("[1,5)", "[1,5)"),
    "inet": ("192.168.0.1", "192.168.0.1"),
    "point": ("(1,2)", "(1,2)"),
    "tsvector": ("'a':1 'b':2", "'a':1 'b':2"),
    "money": ("12.34", "$12.34"),
    "bit(3)": ("101", "101"),
    "oid": ("12345", "12345"),
}
"""SQL type: what is written, what the server says."""
CAST = {"oid": 12345}
"""What supabase-js makes of it, where that differs."""


def test_every_type(connect: Connect, kind: str, topic: str, database: Database) -> None:
    columns = {f"c{number}": type_ for number, type_ in enumerate(VALUES)}
    with database.table(", ".join(f"{name} {type_}" for name, type_ in columns.items()), full=True) as table:
        channel = connect().channel(topic, changes=[table.binding()])
        channel.subscribe()
        table.insert(id=1, **{name: VALUES[type_][0] for name, type_ in columns.items()})
        table.update(1, **dict.fromkeys(columns))
        expected = {name: VALUES[type_][1] for name, type_ in columns.items()}
        if kind != "pypi":
            expected |= {name: CAST[type_] for name, type_ in columns.items() if type_ in CAST}
        inserted, updated = (channel.next("change")["payload"] for _ in range(2))
        assert inserted["new"] == {"id": 1, **expected}
        assert updated["new"] == {"id": 1, **dict.fromkeys(columns)}
        assert updated["old"] == {"id": 1, **expected}


@pytest.mark.parametrize("kind", ["pypi"])
def test_numbers_that_javascript_cannot_hold(connect: Connect, topic: str, database: Database) -> None:
    with database.table("large int8, exact numeric") as table:
        channel = connect().channel(topic, changes=[table.binding()])
        channel.subscribe()
        table.insert(id=1, large=2**63 - 1, exact="12345678901234567890.125")
        new = channel.next("change")["payload"]["new"]
        assert new["large"] == 2**63 - 1
        assert new["exact"] == json.loads("12345678901234567890.125")
