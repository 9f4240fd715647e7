"""Asks Postgres, within the transaction that writes a row, what each reader would see of it before and after.

From that it says which frames a reader may be sent of this write, and which one it must be sent.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct

from tests.support.policy_cases import spoken
from tests.support.row_security import Told

CREATE: Final = """
create function hunt_sees(asked regclass, key int, readers jsonb) returns jsonb language plpgsql as $$
declare
  reader jsonb;
  shown text;
  seen jsonb;
  answers jsonb := '[]';
begin
  for reader in select value from jsonb_array_elements(readers) with ordinality order by ordinality loop
    begin
      perform set_config(name, value, true) from jsonb_each_text(reader -> 'settings') as given (name, value);
      perform set_config('role', reader ->> 'role', true);
      select string_agg(format('%L, t.%I', attname, attname), ', ') into shown
        from pg_attribute
        where attrelid = asked and attnum > 0 and not attisdropped and has_column_privilege(asked, attnum, 'select');
      execute format(
        'select jsonb_build_object(''row'', jsonb_build_object(%s), ''matches'', (%s) is true,'
        ' ''bound'', row_security_active(%L::regclass)) from %s t where t.id = $1',
        shown, reader -> 'filters' ->> asked::text, asked::oid, asked
      ) into seen using key;
    exception when others then
      seen := null;  -- a policy that raises shows nothing
    end;
    answers := answers || jsonb_build_array(seen);
    perform set_config('role', 'none', true);
  end loop;
  return answers;
end
$$
"""

FILTERS: Final = {
    "": "true",
    "id=gt.20": "id > 20",
    "rank=gte.1": "rank >= 1",
    "public=is.true": "public is true",
    "title=neq.a": "title <> 'a'",
    "title=match.^[a-m]": "title ~ '^[a-m]'",
    "feeling=in.(ok,happy)": "feeling in ('ok', 'happy')",
    "owner=is.null": "owner is null",
}
"""Filters as clients write them, and what they mean."""

BY_KEY: Final = {"", "id=gt.20"}
"""Those that can be decided where the log has nothing but the key."""


class Sighting(Struct, frozen=True):
    """What Postgres shows a reader of a row: the columns it may read, and whether the filter matches."""

    row: Mapping[str, Any]
    matches: bool
    bound: bool
    """Whether policies concern the reader at all."""


class HuntWish(Struct, frozen=True):
    """What a reader follows of one table."""

    table: str
    event: str = "*"
    filter: str = ""
    select: tuple[str, ...] | None = None
    moves: bool = False


class Asker(Struct, frozen=True):
    """A reader as Postgres knows it."""

    role: str
    claims: Mapping[str, Any]
    wishes: Mapping[str, HuntWish]

    def question(self) -> dict[str, Any]:
        settings = {"request.jwt.claims": json.dumps(self.claims)}
        for name in ("sub", "role", "email"):
            value = self.claims.get(name)
            settings[f"request.jwt.claim.{name}"] = "" if value is None else spoken(value)
        filters = {table: FILTERS[wish.filter] for table, wish in self.wishes.items()}
        return {"role": self.role, "settings": settings, "filters": filters}


class Write(Struct, frozen=True):
    """One change of a row, and what each reader would have seen of it; `version` is unique and in the row."""

    table: str
    operation: Literal["INSERT", "UPDATE", "DELETE"]
    version: int
    old_key: int | None
    new_key: int | None
    before: Sequence[Sighting | None]
    after: Sequence[Sighting | None]


class Expected(Struct, frozen=True):
    """The one frame that a reader may get of a write; it may stay away if it is not `promised`."""

    told: Told
    promised: bool = True


def look(connection: psycopg.Connection[Any], table: str, key: int, question: str) -> list[Sighting | None]:
    """Ask within the connection's transaction what each of the askers sees of a row now."""
    row = connection.execute("select hunt_sees(%s, %s, %s)", [table, key, question]).fetchone()
    assert row is not None
    return [None if seen is None else Sighting(**seen) for seen in row[0]]


def expect(write: Write, number: int, wish: HuntWish) -> Expected | None:
    """Return what reader `number` may be told of a write that it asked for in this way."""
    before = write.before[number] if write.before else None
    after = write.after[number] if write.after else None
    if write.operation == "DELETE":
        expected = _expect_delete(write, before, wish)
    else:
        expected = _expect_row(write, before, after, wish)
    if expected is None or wish.event not in {"*", expected.told.event}:
        return None
    return expected


def _expect_row(write: Write, before: Sighting | None, after: Sighting | None, wish: HuntWish) -> Expected | None:
    was = before is not None and before.matches
    if after is None or not after.matches:
        if wish.moves and was:
            return Expected(Told("DELETE", None, {"id": write.old_key}, moved="out"))
        return None
    new = _project(after.row, wish)
    if write.operation == "INSERT":
        return Expected(Told("INSERT", new))
    if wish.moves and not was:
        return Expected(Told("INSERT", new, moved="in"))
    whole = before is not None and write.table == "whole"
    return Expected(Told("UPDATE", new, _project(before.row, wish) if before and whole else {"id": write.old_key}))


def _expect_delete(write: Write, before: Sighting | None, wish: HuntWish) -> Expected | None:
    seen = before is not None and before.matches
    key = Told("DELETE", None, {"id": write.old_key})
    if write.table == "whole":
        if not before or not seen:
            return None
        return Expected(key if before.bound else Told("DELETE", None, _project(before.row, wish)))
    if wish.filter not in BY_KEY:
        return None
    # Without the old row in the log nobody can tell who saw it: all who might have get the key.
    missed = wish.filter == "id=gt.20" and write.old_key is not None and write.old_key <= 20
    return None if missed else Expected(key, promised=seen)


def _project(row: Mapping[str, Any], wish: HuntWish) -> dict[str, Any]:
    return {name: value for name, value in row.items() if wish.select is None or name in {"id", *wish.select}}
