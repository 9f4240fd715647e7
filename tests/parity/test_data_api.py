"""Stock supabase-js reads and writes through the data API, and gets what it gets from PostgREST."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parity.installed import find_node, install_packages
from tests.parity.serving import TidewireServer, token
from tests.support.log import execute

Ask = Callable[..., list[dict[str, Any]]]

HERE = Path(__file__).parent
CLIENTS = {"newest": ("node-newest", "supabase-js-newest"), "node20": ("node-20", "supabase-js-node20")}
LIMIT_S = 30.0
SCHEMA = (
    "drop table if exists items, bookings cascade",
    "create table bookings (id int primary key, status text default 'new', tags text[], price int)",
    "create table items (id int primary key, booking int references bookings on delete cascade, name text)",
    "grant all on bookings, items to anon",
    "insert into bookings values (1, 'pending', '{a,b}', 10), (2, 'pending', '{}', 20), (3, 'done', null, 30)",
    "insert into items values (1, 1, 'room'), (2, 1, 'meal'), (3, 3, 'room')",
    "create or replace function add_up(a int, b int default 1) returns int language sql immutable return a + b",
)


@pytest.fixture(params=CLIENTS)
def ask(request: pytest.FixtureRequest, tidewire: TidewireServer) -> Iterator[Ask]:
    """Run each chain of calls, such as `[["from", "t"], ["select", "*"]]`, and return what they came to."""
    assert request.config.cache is not None
    node, client = CLIENTS[request.param]
    packages = install_packages(request.config.cache.mkdir("parity"))
    execute(tidewire.database_url, *SCHEMA)

    def run(*chains: list[list[Any]]) -> list[dict[str, Any]]:
        result = subprocess.run(
            [
                find_node(packages, node),
                HERE / "js" / "data.mjs",
                packages,
                client,
                f"http://127.0.0.1:{tidewire.port}",
                token(role="anon"),
            ],
            input=json.dumps(chains),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        answers: list[dict[str, Any]] = json.loads(result.stdout)
        return answers

    yield run
    execute(tidewire.database_url, "drop table items, bookings")


def bookings(*calls: list[Any]) -> list[list[Any]]:
    return [["from", "bookings"], *calls]


def test_the_first_snapshot(ask: Ask) -> None:
    counted, pending, listed, paged, one, none, nobody = ask(
        bookings(["select", "id, status", {"count": "exact", "head": True}]),
        bookings(["select", "id", {"count": "exact", "head": True}], ["eq", "status", "pending"]),
        bookings(["select", "id, price"], ["gte", "price", 20], ["order", "price", {"ascending": False}]),
        bookings(["select", "id", {"count": "exact"}], ["order", "id"], ["range", 1, 1]),
        bookings(["select", "*"], ["eq", "id", 1], ["single"]),
        bookings(["select"], ["eq", "id", 99], ["single"]),
        bookings(["select"], ["eq", "id", 99], ["maybeSingle"]),
    )
    assert (counted["status"], counted["count"], counted["data"]) == (200, 3, None)
    assert pending["count"] == 2
    assert listed["data"] == [{"id": 3, "price": 30}, {"id": 2, "price": 20}]
    assert (paged["status"], paged["count"], paged["data"]) == (206, 3, [{"id": 2}])
    assert one["data"] == {"id": 1, "status": "pending", "tags": ["a", "b"], "price": 10}
    assert (none["status"], none["error"]["code"]) == (406, "PGRST116")
    assert (nobody["data"], nobody["error"]) == (None, None)


FILTERS: list[tuple[list[Any], list[int]]] = [
    (["in", "status", ["done", "a,b", "(c)"]], [3]),
    (["neq", "id", 2], [1, 3]),
    (["is", "tags", None], [3]),
    (["contains", "tags", ["a"]], [1]),
    (["overlaps", "tags", ["b", "c"]], [1]),
    (["ilike", "status", "PEND%"], [1, 2]),
    (["likeAnyOf", "status", ["p%", "d%"]], [1, 2, 3]),
    (["not", "id", "in", "(1,2)"], [3]),
    (["or", "id.eq.3,and(price.gt.15,status.eq.pending)"], [2, 3]),
    (["match", {"id": 1, "status": "pending"}], [1]),
    (["textSearch", "status", "pending"], [1, 2]),
]


def test_filters(ask: Ask) -> None:
    answers = ask(*(bookings(["select", "id"], called, ["order", "id"]) for called, _ in FILTERS))
    found = [([row["id"] for row in answer["data"] or []], answer["error"]) for answer in answers]
    assert found == [(expected, None) for _, expected in FILTERS]


def test_writing(ask: Ask) -> None:
    inserted, several, defaults, changed, upserted, ignored, gone, left = ask(
        bookings(["insert", {"id": 10, "status": "x"}]),
        bookings(["insert", [{"id": 11}, {"id": 12}]], ["select", "id,status"]),
        bookings(["insert", [{"id": 13, "price": 1}, {"id": 14}], {"defaultToNull": False}], ["select", "id,status"]),
        bookings(["update", {"status": "y"}], ["gte", "id", 13], ["select", "id"]),
        bookings(["upsert", {"id": 10, "status": "z"}], ["select", "status"], ["single"]),
        bookings(["upsert", {"id": 10, "status": "no"}, {"ignoreDuplicates": True}], ["select"]),
        bookings(["delete", {"count": "exact"}], ["gte", "id", 11]),
        bookings(["select", "id,status"], ["gt", "id", 3]),
    )
    assert (inserted["status"], inserted["data"]) == (201, None)
    assert several["data"] == [{"id": 11, "status": "new"}, {"id": 12, "status": "new"}]
    assert [row["status"] for row in defaults["data"]] == ["new", "new"]
    assert [row["id"] for row in changed["data"]] == [13, 14]
    assert upserted["data"] == {"status": "z"}
    assert ignored["data"] == []
    assert (gone["status"], gone["count"]) == (204, 4)
    assert left["data"] == [{"id": 10, "status": "z"}]


def test_embedding_functions_and_mistakes(ask: Ask) -> None:
    embedded, inner, spread, called, got, taken, missing, strange = ask(
        bookings(["select", "id,items(name)"], ["order", "id"], ["order", "id", {"referencedTable": "items"}]),
        bookings(["select", "id,items!inner(name)"], ["eq", "items.name", "meal"]),
        [["from", "items"], ["select", "name,...bookings(status)"], ["eq", "id", 1], ["single"]],
        [["rpc", "add_up", {"a": 1, "b": 2}]],
        [["rpc", "add_up", {"a": 1}, {"get": True}]],
        bookings(["insert", {"id": 1}]),
        [["from", "nowhere"], ["select"]],
        bookings(["select", "nothing"]),
    )
    assert [len(row["items"]) for row in embedded["data"]] == [2, 0, 1]
    assert inner["data"] == [{"id": 1, "items": [{"name": "meal"}]}]
    assert spread["data"] == {"name": "room", "status": "pending"}
    assert (called["data"], got["data"]) == (3, 2)
    assert (taken["status"], taken["error"]["code"]) == (409, "23505")
    assert (missing["status"], missing["error"]["code"]) == (404, "PGRST205")
    assert (strange["status"], strange["error"]["code"]) == (400, "42703")
