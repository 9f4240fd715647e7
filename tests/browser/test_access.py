"""Tokens in time: none is missing from a join, an old one is replaced, and what was refused is tried with another."""

from tests.browser.conftest import Play
from tests.browser.players import Player
from tests.parity.serving import PUBLISHABLE_KEY, TidewireServer, token
from tests.parity.tables import Database, Table


def user(name: str = "ann", *, lifetime_s: float = 3600) -> str:
    return token(role="authenticated", sub=name, lifetime_s=lifetime_s)


def asked(player: Player) -> int:
    """How often the page was asked for a token, as far as a test has not heard of it."""
    return len([heard for heard in player.process.unheard(player.name) if heard["heard"] == "asked"])


def test_a_join_waits_for_its_token(play: Play, tidewire: TidewireServer, database: Database) -> None:
    with database.table("owner text", roles="authenticated") as table:
        database.execute(f"alter table {table.schema}.{table.name} enable row level security")
        database.execute(
            f"create policy own on {table.schema}.{table.name} for select to authenticated "
            "using (owner = (current_setting('request.jwt.claims', true)::jsonb ->> 'sub'))"
        )
        player = play(tidewire.port, apikey=PUBLISHABLE_KEY, token=user("ann"))
        followed = player.follow(table.name)
        followed.next("ready")
        table.insert(id=1, owner="ben")
        table.insert(id=2, owner="ann")
        assert followed.change()["new"]["id"] == 2
        assert asked(player) == 1


def test_an_expired_token_is_replaced_before_anybody_notices(
    play: Play, tidewire: TidewireServer, todos: Table
) -> None:
    expired = user(lifetime_s=-5)
    player = play(tidewire.port, apikey=PUBLISHABLE_KEY, token=expired)
    followed = player.follow(todos.name)
    player.hear("asked", "asked for a token")
    player.hear("asked", "asked for another one, because the first was refused")
    player.ask("set_token", token=user())
    followed.next("ready")
    assert followed.unheard("error") == []


def test_a_token_is_renewed_in_time(play: Play, tidewire: TidewireServer, todos: Table) -> None:
    player = play(tidewire.port, apikey=PUBLISHABLE_KEY, token=user(lifetime_s=4), timing={"tokenLeewayMs": 2500})
    followed = player.follow(todos.name)
    followed.next("ready")
    player.hear("asked", "asked for a token")
    player.ask("set_token", token=user())
    player.hear("asked", "asked for the next one")
    todos.insert(id=1)
    assert followed.change()["new"]["id"] == 1
    assert followed.unheard("ready") == []  # the channel was never left


def test_a_channel_that_ends_with_its_token_comes_back_with_the_next(
    play: Play, tidewire: TidewireServer, todos: Table
) -> None:
    player = play(tidewire.port, apikey=PUBLISHABLE_KEY, token=user(lifetime_s=3), timing={"tokenLeewayMs": 0})
    followed = player.follow(todos.name)
    followed.next("ready")
    player.wait_for_status(lambda status: status["channels"]["joined"] == 0, "nothing joined")
    player.ask("set_token", token=user())
    followed.next("ready")  # the server has closed the channel, and it was joined again
    todos.insert(id=1)
    assert followed.change()["new"]["id"] == 1
    assert followed.unheard("gap") == []


def test_what_may_not_be_read_is_refused_until_another_token_is_there(
    play: Play, tidewire: TidewireServer, database: Database
) -> None:
    with database.table("title text", roles="authenticated") as table:
        player = play(tidewire.port, apikey=PUBLISHABLE_KEY, token=token(role="anon"))
        followed = player.follow(table.name, filter="title=eq.x")
        assert followed.next("error")["code"] == "SubscriptionRefused"
        player.ask("set_token", token=user())
        player.ask("update_token")
        followed.next("ready")
        assert player.status()["state"] == "connected"


def test_who_signs_out_reads_as_nobody(play: Play, tidewire: TidewireServer, database: Database) -> None:
    with database.table("owner text") as table:
        database.execute(f"alter table {table.schema}.{table.name} enable row level security")
        database.execute(
            f"create policy own on {table.schema}.{table.name} for select "
            "using (owner = coalesce(current_setting('request.jwt.claims', true)::jsonb ->> 'sub', 'all'))"
        )
        table.insert(id=1, owner="ann")
        player = play(tidewire.port, apikey=PUBLISHABLE_KEY, token=user("ann"))
        followed, listed = player.follow(table.name), player.rows(table=table.name)
        followed.next("ready")
        listed.wait(lambda snapshot: [row["id"] for row in snapshot["rows"]] == [1], "ann's row")
        player.ask("set_token", token=None)
        player.ask("update_token")
        followed.next("ready")
        listed.wait(lambda snapshot: snapshot["state"] == "live" and snapshot["rows"] == [], "no row")
        table.insert(id=2, owner="ann")
        table.insert(id=3, owner="all")
        assert followed.change()["new"]["id"] == 3
        listed.wait(lambda snapshot: [row["id"] for row in snapshot["rows"]] == [3], "everybody's row")
