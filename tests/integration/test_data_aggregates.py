"""Counts, sums and extremes through the data API: by groups, and of what the reader sees."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime, token
from tidewire.postgres.embedded import EmbeddedPostgres

ADA, BOB = (f"00000000-0000-4000-8000-00000000{name}" for name in ("ada0", "b0b0"))


@pytest.fixture(scope="module")
def served(server: EmbeddedPostgres) -> Iterator[RealtimeServer]:
    with fresh_migrated_database(server) as dsn:
        execute(
            dsn,
            "create table shops (id int primary key, name text)",
            "create table sales (id int primary key, shop int references shops, owner uuid, amount int, info jsonb)",
            "alter table sales enable row level security",
            "create policy own on sales using (owner = auth.uid())",
            "grant select on shops, sales to authenticated",
            "insert into shops values (1, 'one'), (2, 'two'), (3, 'none')",
            f"""insert into sales select n, n % 2 + 1, case when n <= 6 then '{ADA}'::uuid else '{BOB}' end, n * 10,
                jsonb_build_object('kind', case when n % 3 = 0 then 'a' else 'b' end) from generate_series(1, 8) n""",
        )
        with realtime(dsn, api_aggregates=True) as found:
            yield found


def ask(served: RealtimeServer, query: str, **headers: str) -> Any:
    answer = served.get(f"/rest/v1/{query}", authorization=f"Bearer {token('authenticated', sub=ADA)}", **headers)
    assert answer.status in {200, 206}, answer
    return answer.json


def test_of_all_rows_that_the_reader_sees(served: RealtimeServer) -> None:
    assert ask(served, "sales?select=count(),amount.sum(),amount.avg(),amount.min(),amount.max()") == [
        {"count": 6, "sum": 210, "avg": 35.0, "min": 10, "max": 60}
    ]
    assert ask(served, "sales?select=total:amount.sum()&amount=gt.40") == [{"total": 110}]
    assert ask(served, "sales?select=count()&id=gt.100") == [{"count": 0}]


def test_by_groups_with_names_casts_order_and_count(served: RealtimeServer) -> None:
    by_shop = "sales?select=shop,total:amount.sum()&order=shop.desc"
    assert ask(served, by_shop) == [{"shop": 2, "total": 90}, {"shop": 1, "total": 120}]
    assert ask(served, f"{by_shop}&limit=1") == [{"shop": 2, "total": 90}]
    by_kind = "sales?select=kind:info->>kind,amount.sum()&order=info->>kind"
    assert ask(served, by_kind) == [{"kind": "a", "sum": 90}, {"kind": "b", "sum": 120}]
    assert ask(served, "sales?select=amount::text.max(),amount.sum()::text") == [{"max": "60", "sum": "210"}]
    twice = "sales?select=shop,text:shop::text,again:shop,count()&order=shop"
    assert ask(served, twice) == [{"shop": n, "text": f"{n}", "again": n, "count": 3} for n in (1, 2)]
    headers = {"authorization": f"Bearer {token('authenticated', sub=ADA)}", "prefer": "count=exact"}
    answer = served.get("/rest/v1/sales?select=shop,count()", **headers)
    assert {name.lower(): value for name, value in answer.headers.items()}["content-range"] == "0-1/2"


def test_within_what_is_embedded(served: RealtimeServer) -> None:
    assert ask(served, "shops?select=name,sales(amount.sum(),count())&order=id") == [
        {"name": "one", "sales": [{"sum": 120, "count": 3}]},
        {"name": "two", "sales": [{"sum": 90, "count": 3}]},
        {"name": "none", "sales": [{"sum": None, "count": 0}]},
    ]


@pytest.mark.parametrize(
    "query", ["shops?select=count(),sales(id)", "sales?select=id,shops(count())", "sales?select=id,...shops(id.max())"]
)
def test_where_they_make_no_sense_they_are_refused(served: RealtimeServer, query: str) -> None:
    answer = served.get(f"/rest/v1/{query}", authorization=f"Bearer {token('authenticated', sub=ADA)}")
    assert (answer.status, answer.json["code"]) == (400, "PGRST127")
