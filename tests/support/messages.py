"""The table of messages as the log describes it, and the frame of a client's broadcast, for tests that make them up."""

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


def user_broadcast(
    topic: str, event: str, body: bytes, *, binary: bool = False, meta: bytes = b"", ref: str = "", join_ref: str = "1"
) -> bytes:
    """Write a binary frame of kind 3, as clients of version 2 do."""
    strings = [join_ref.encode(), ref.encode(), topic.encode(), event.encode(), meta]
    return bytes((3, *map(len, strings), 0 if binary else 1)) + b"".join(strings) + body
