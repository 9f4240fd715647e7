"""Judges what the log holds of each published table: persistence, identity, generated columns, lists and filters."""

from collections.abc import Iterator

from tidewire.postgres.doctor_facts import Column, Facts, Publication, Table
from tidewire.postgres.finding import Check, Observation, error, note, warning
from tidewire.postgres.repair import full_name, name, set_identity

FIRST_WITH_GENERATED = 18


def _persistence(facts: Facts) -> Iterator[Observation]:
    for table in facts.user_tables:
        if table.persistence == "t":
            yield error(
                "is temporary, and temporary tables are never in the log",
                f"CREATE TABLE {name('public', table.name)} (LIKE {full_name(table)} INCLUDING ALL);",
                table.display_name,
            )
            continue
        for part in table.storage:
            if not part.logged:
                which = "is unlogged" if part.name == table.name else f"has the unlogged partition {part.name}"
                yield error(
                    f"{which}: its changes are never in the log",
                    f"ALTER TABLE {name(part.schema, part.name)} SET LOGGED;",
                    table.display_name,
                )


def _primary_key(facts: Facts) -> Iterator[Observation]:
    for table in facts.user_tables:
        if table.primary_key:
            continue
        has_id = any(column.name == "id" for column in table.columns)
        column = (
            'ADD PRIMARY KEY ("id")' if has_id else 'ADD COLUMN "id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY'
        )
        fix = f"ALTER TABLE {full_name(table)} {column};"
        if table.kind == "p":
            fix = "-- add a primary key that contains the partition key"
        yield warning("has no primary key, so readers cannot tell its rows apart", fix, table.display_name)


def _replica_identity(facts: Facts) -> Iterator[Observation]:
    for table in facts.user_tables:
        lacking = [part for part in table.storage if not part.identifiable]
        if not lacking or not _publishes_old_rows(facts, table):
            continue
        by_key = all(part.identity == "n" for part in lacking) and bool(table.primary_key)
        where = "" if lacking[0].name == table.name else f" (partition {lacking[0].name})"
        yield error(
            f"has no replica identity{where}, so Postgres refuses every UPDATE and DELETE",
            set_identity(table, "DEFAULT" if by_key else "FULL"),
            table.display_name,
        )


def _publishes_old_rows(facts: Facts, table: Table) -> bool:
    return any(publication.update or publication.delete for publication in _publications_of(facts, table))


def _publications_of(facts: Facts, table: Table) -> list[Publication]:
    names = {member.publication for member in table.memberships}
    return [publication for publication in facts.objects.publications if publication.name in names]


def _old_record(facts: Facts) -> Iterator[Observation]:
    for table in facts.user_tables:
        keyed = [part for part in table.storage if part.identifiable and part.identity != "f"]
        if not keyed:
            continue
        fix = set_identity(table, "FULL")
        carries = "the columns of one index" if keyed[0].identity == "i" else "the primary key"
        if table.row_security and table.read_policies:
            yield warning(
                f"old rows carry only {carries}, so its policies cannot decide who may see a DELETE",
                fix,
                table.display_name,
            )
        else:
            yield note(f"old rows carry only {carries}", fix, table.display_name)


def _generated(facts: Facts) -> Iterator[Observation]:
    for table in facts.user_tables:
        if virtual := _names(table, "v"):
            yield warning(
                f"virtual generated columns are never in the log: {', '.join(virtual)}",
                "\n".join(_make_stored(table, column) for column in table.columns if column.generated == "v"),
                table.display_name,
            )
        stored = _names(table, "s")
        if stored and facts.server.major < FIRST_WITH_GENERATED:
            yield warning(
                f"before PostgreSQL {FIRST_WITH_GENERATED} generated columns are not in the log: {', '.join(stored)}",
                f"-- upgrade to PostgreSQL {FIRST_WITH_GENERATED}, or keep the values with a trigger after:\n"
                + "\n".join(f"ALTER TABLE {full_name(table)} ALTER COLUMN {name(c)} DROP EXPRESSION;" for c in stored),
                table.display_name,
            )
        elif stored:
            for publication in _publications_of(facts, table):
                if publication.generated != "s":
                    yield warning(
                        f"publication {name(publication.name)} leaves out generated columns: {', '.join(stored)}",
                        f"ALTER PUBLICATION {name(publication.name)} SET (publish_generated_columns = stored);",
                        table.display_name,
                    )


def _names(table: Table, generated: str) -> list[str]:
    return [column.name for column in table.columns if column.generated == generated]


def _make_stored(table: Table, column: Column) -> str:
    """Postgres cannot turn a virtual column into a stored one in place; its values are computed anew anyway."""
    return (
        f"ALTER TABLE {full_name(table)} DROP COLUMN {name(column.name)}, ADD COLUMN {name(column.name)} {column.type}"
        f" GENERATED ALWAYS AS ({column.expression}) STORED;"
    )


def _column_list(facts: Facts) -> Iterator[Observation]:
    for table in facts.user_tables:
        hidden = table.hidden_columns()
        if not hidden:
            continue
        whole_row = any(part.identity == "f" for part in table.storage)
        uncovered = sorted(set(hidden) & set(table.primary_key)) or (hidden if whole_row else ())
        if uncovered and _publishes_old_rows(facts, table):
            yield error(
                f"its column list lacks {', '.join(uncovered)} of the replica identity, "
                "so Postgres refuses every UPDATE and DELETE",
                _publish_whole(table),
                table.display_name,
            )
        else:
            yield note(f"columns kept from readers: {', '.join(hidden)}", _publish_whole(table), table.display_name)


def _row_filter(facts: Facts) -> Iterator[Observation]:
    for table in facts.user_tables:
        filters = [member.publication for member in table.memberships if member.filter]
        if not filters:
            continue
        by_key = any(part.identity == "d" for part in table.storage)
        uncovered = [column for column in table.filter_columns if by_key and column not in table.primary_key]
        if uncovered and _publishes_old_rows(facts, table):
            yield error(
                f"its row filter reads {', '.join(uncovered)}, which old rows do not carry, "
                "so Postgres refuses every UPDATE and DELETE",
                set_identity(table, "FULL"),
                table.display_name,
            )
        else:
            yield warning(
                f"publication {name(filters[0])} filters its rows, so readers may miss changes",
                _publish_whole(table),
                table.display_name,
            )


def _publish_whole(table: Table) -> str:
    """Leave and join in one transaction, so that no change in between is lost."""
    target, steps = full_name(table), []
    for member in table.memberships:
        publication = name(member.publication)
        steps += [f"ALTER PUBLICATION {publication} {verb} TABLE {target};" for verb in ("DROP", "ADD")]
    return "\n".join(["BEGIN;", *steps, "COMMIT;"])


CHECKS = (
    Check("Persistence", "every table is in the log", _persistence),
    Check("PrimaryKey", "every table has a primary key", _primary_key),
    Check("ReplicaIdentity", "every row can be updated and deleted", _replica_identity),
    Check("OldRecord", "old rows are complete", _old_record),
    Check("GeneratedColumns", "every generated column is published", _generated),
    Check("ColumnList", "every column is published", _column_list),
    Check("RowFilter", "every row is published", _row_filter),
)
