"""The table of messages as the log describes it, for tests that make up its rows."""

from tidewire.model.relation import Column, PgType, Relation

TEXT, BOOL, JSONB, BYTEA, UUID = (
    PgType(oid, name) for oid, name in ((25, "text"), (16, "bool"), (3802, "jsonb"), (17, "bytea"), (2950, "uuid"))
)
COLUMNS = (
    Column("topic", TEXT),
    Column("extension", TEXT),
    Column("payload", JSONB),
    Column("event", TEXT),
    Column("private", BOOL),
    Column("id", UUID, identity=True, primary=True),
    Column("binary_payload", BYTEA),
)


def table(name: str = "messages", schema: str = "realtime", columns: tuple[Column, ...] = COLUMNS) -> Relation:
    return Relation(7, schema, name, "default", columns)


MESSAGES = table()
