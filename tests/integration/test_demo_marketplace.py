"""The demo's marketplace: the same year for the same day, kept between starts, and traffic that keeps to its rules."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors as pg
from psycopg import sql

from tests.support.demo import DAY, make_marketplace
from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tidewire.demo.marketplace import SCHEMA, TABLES
from tidewire.demo.story import Story
from tidewire.demo.traffic import play
from tidewire.match.policy_compile import compile_policies
from tidewire.postgres.connection import connect_async
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.policies import read_policies
from tidewire.postgres.pool import Pool
from tidewire.postgres.publish import PUBLICATION
from tidewire.postgres.tables import PostgresTables

pytestmark = pytest.mark.timeout(60)  # a year is made in half a second, on a machine that has nothing else to do

OUTCOME: LiteralString = """
select md5(string_agg(concat_ws(' ', id, tenant, customer, professional, status, stars, reason), ' ' order by id))
from tidewire_demo.bookings left join (select booking_id id, stars from tidewire_demo.reviews) r using (id)
left join (select booking_id id, reason from tidewire_demo.disputes) d using (id)
"""


def answers(dsn: str, query: LiteralString | sql.Composed) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query).fetchall()


def counts(dsn: str) -> dict[str, int]:
    count = sql.SQL("select count(*) from {}")
    return {table.name: answers(dsn, count.format(table.identifier))[0][0] for table in TABLES}


def digest(dsn: str) -> list[str]:
    query = sql.SQL("select md5(string_agg(t::text, ' ' order by t::text)) from {} t")
    return [answers(dsn, query.format(table.identifier))[0][0] for table in TABLES]


async def tell(dsn: str, seed: int, scenes: int) -> None:
    story = Story(seed)
    async with await connect_async(dsn) as connection:
        for _ in range(scenes):
            await play(connection, story.next_scene())


@pytest.fixture(scope="module")
def marketplace(server: EmbeddedPostgres) -> Iterator[str]:
    """Return a database with the marketplace, to be left as it is."""
    with fresh_migrated_database(server) as dsn:
        make_marketplace(dsn)
        yield dsn


def test_the_same_day_has_the_same_year(marketplace: str, migrated_database: str) -> None:
    people = make_marketplace(migrated_database)
    assert [person.handle for person in people] == ["ana", "ben", "cleo", "dora"]
    assert digest(migrated_database) == digest(marketplace)
    execute(migrated_database, "drop schema tidewire_demo cascade")
    assert make_marketplace(migrated_database, DAY - timedelta(days=40)) == people
    assert digest(migrated_database) != digest(marketplace)


def test_the_year_is_believable(marketplace: str) -> None:
    ((count, first, last, *wrong),) = answers(
        marketplace,
        """select count(*), min(created_at)::date, max(created_at)::date,
        count(*) filter (where status in ('pending', 'confirmed') and starts_at < '2030-05-17'),
        count(*) filter (where status = 'completed' and starts_at >= '2030-05-17'),
        count(*) filter (where updated_at < created_at or updated_at > '2030-05-17')
        from tidewire_demo.bookings""",
    )
    assert count == 6000
    assert DAY - timedelta(days=380) < first < DAY - timedelta(days=340)
    assert last == DAY - timedelta(days=1)
    assert wrong == [0, 0, 0]
    busy = answers(marketplace, "select distinct date_trunc('month', starts_at) from tidewire_demo.bookings")
    assert len(busy) >= 12
    assert all(count > 20 for count in counts(marketplace).values())
    check_rules(marketplace)


def test_a_second_start_keeps_what_is_there_unless_other_scripts_made_it(migrated_database: str) -> None:
    make_marketplace(migrated_database)
    execute(migrated_database, "delete from tidewire_demo.bookings where id <= 10")
    before = digest(migrated_database)
    make_marketplace(migrated_database, DAY + timedelta(days=30))
    assert digest(migrated_database) == before
    execute(migrated_database, "comment on schema tidewire_demo is 'an older version'")
    make_marketplace(migrated_database)
    assert counts(migrated_database)["bookings"] == 6000


async def test_every_policy_is_compiled(marketplace: str) -> None:
    pool = Pool(marketplace)
    try:
        for table in TABLES:
            (relation,) = await PostgresTables(pool, [PUBLICATION]).published(SCHEMA, table.name)
            found = await read_policies(pool, "authenticated", relation)
            assert found is not None
            compiled = compile_policies(*found, relation)
            assert set(compiled.reads) <= {("app_metadata", "kind"), ("app_metadata", "tenant"), ("sub",)}
            assert compiled.reads, "no table is open to everybody"
    finally:
        await pool.close()


async def test_traffic_keeps_to_the_rules_and_tells_the_same_story(migrated_database: str) -> None:
    make_marketplace(migrated_database)
    before = counts(migrated_database)
    await tell(migrated_database, seed=7, scenes=250)
    outcome, after = answers(migrated_database, OUTCOME), counts(migrated_database)
    check_rules(migrated_database)
    assert after["bookings"] > before["bookings"]
    assert after["notifications"] > before["notifications"]
    assert after["reviews"] > before["reviews"]
    execute(migrated_database, "drop schema tidewire_demo cascade")
    make_marketplace(migrated_database)
    await tell(migrated_database, seed=7, scenes=250)
    assert (answers(migrated_database, OUTCOME), counts(migrated_database)) == (outcome, after)


async def test_what_people_wrote_is_left_to_people(migrated_database: str) -> None:
    make_marketplace(migrated_database)
    asked = """update tidewire_demo.bookings set clicked_at = now() where status in ('pending', 'confirmed')
    returning id"""
    mine = [booking for (booking,) in answers(migrated_database, asked)]
    await tell(migrated_database, seed=7, scenes=150)
    touched = sql.SQL("select id from tidewire_demo.bookings where id = any({}) and clicked_at is null")
    assert answers(migrated_database, touched.format(sql.Literal(mine))) == []


async def test_a_demo_left_running_stays_small(migrated_database: str) -> None:
    make_marketplace(migrated_database)
    story = Story(7)
    scene = next(scene for scene in iter(story.next_scene, None) if scene.script == "forget")
    async with await connect_async(migrated_database) as connection:
        await play(connection, scene)
        assert counts(migrated_database)["bookings"] == 6000
        for _ in range(3):
            scene.values["kept"] = 5900
            await play(connection, scene)
    assert counts(migrated_database)["bookings"] == 5900
    check_rules(migrated_database)


@pytest.mark.parametrize(
    ("before", "after"), [("completed", "pending"), ("cancelled", "confirmed"), ("pending", "completed")]
)
def test_a_booking_never_goes_back(marketplace: str, before: str, after: str) -> None:
    change = sql.SQL(
        "update tidewire_demo.bookings set status = {} where id = "
        "(select min(id) from tidewire_demo.bookings where status = {}) returning id"
    )
    with pytest.raises(pg.CheckViolation):
        answers(marketplace, change.format(sql.Literal(after), sql.Literal(before)))


def check_rules(dsn: str) -> None:
    """What holds for the year and for everything that traffic makes of it."""
    broken: LiteralString = """
    select 'crosses tenants', b.id from tidewire_demo.bookings b
    join tidewire_demo.users c on c.id = b.customer_id join tidewire_demo.users p on p.id = b.professional_id
    where (c.tenant, c.kind, p.tenant, p.kind) is distinct from (b.tenant, 'customer', b.tenant, 'professional')
    union all
    select 'is reviewed before it is done', b.id from tidewire_demo.reviews r
    join tidewire_demo.bookings b on b.id = r.booking_id
    where b.status <> 'completed' or (r.tenant, r.professional_id) <> (b.tenant, b.professional_id)
    union all
    select 'is disputed before it is done', b.id from tidewire_demo.disputes d
    join tidewire_demo.bookings b on b.id = d.booking_id
    where b.status <> 'completed' or (d.tenant, d.customer_id, d.professional_id)
      <> (b.tenant, b.customer_id, b.professional_id) or (d.status = 'settled') <> (d.settled_at is not null)
    union all
    select 'tells a stranger', b.id from tidewire_demo.notifications n
    join tidewire_demo.bookings b on b.id = n.booking_id where n.user_id not in (b.customer_id, b.professional_id)
    """
    assert answers(dsn, broken) == []
