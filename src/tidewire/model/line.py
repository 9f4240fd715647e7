"""One change as one line: JSON for programs, words for people. Formats; reads no clock and prints nothing."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from json.encoder import encode_basestring as quote

from tidewire.model.change import ABSENT, Change, LogicalMessage, Row, Value
from tidewire.model.position import StreamPosition
from tidewire.model.record import record_encoder
from tidewire.model.relation import Relation

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp_text(commit_time_us: int) -> str:
    """Write a commit time as UTC with milliseconds, as live frames do."""
    second, fraction_us = divmod(commit_time_us, 1_000_000)
    return f"{_second_text(second)}.{fraction_us // 1000:03d}Z"


@lru_cache(maxsize=8)
def _second_text(second: int) -> str:
    """Write what most commits share with the one before: it takes ten times as long as the rest."""
    return f"{_EPOCH + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}"


def change_json(change: Change, epoch: str, commit_time_us: int) -> str:
    """Write a change as one JSON object on one line; values keep the exact text that Postgres gave them."""
    members = [
        f'"position":{quote(str(StreamPosition(epoch, change.lsn, change.index)))}',
        f'"commit_timestamp":"{timestamp_text(commit_time_us)}"',
        f'"type":"{change.operation}"',
        f'"schema":{quote(change.relation.schema)}',
        f'"table":{quote(change.relation.name)}',
    ]
    encode = record_encoder(change.relation)
    if change.new is not None:
        members.append(f'"record":{encode(change.new)}')
    if change.old is not None:
        members.append(f'"old_record":{encode(change.old)}')
    return "{" + ",".join(members) + "}"


def message_json(message: LogicalMessage, epoch: str, commit_time_us: int) -> str:
    """Write a logical message as one JSON object; content that is not UTF-8 shows replacement characters."""
    position = StreamPosition(epoch, message.lsn, message.index)
    return (
        f'{{"position":{quote(str(position))},"commit_timestamp":"{timestamp_text(commit_time_us)}","type":"MESSAGE",'
        f'"prefix":{quote(message.prefix)},"content":{quote(message.content.decode("utf-8", "replace"))}}}'
    )


def row_words(change: Change) -> str:
    """Describe the row: `id=7 status=paid`; for an update, what changed, where the old values are known."""
    if change.new is None:
        return _pairs(change.relation, change.old) if change.old is not None else ""
    if change.old is None or ABSENT in change.old:
        return _pairs(change.relation, change.new)
    parts = []
    for column, old, new in zip(change.relation.columns, change.old, change.new, strict=True):
        if old != new:
            parts.append(f"{column.name}={_word(old)}→{_word(new)}")
        elif column.primary:
            parts.append(f"{column.name}={_word(new)}")
    return " ".join(parts)


def _pairs(relation: Relation, row: Row) -> str:
    pairs = zip(relation.columns, row, strict=True)
    return " ".join(f"{column.name}={_word(value)}" for column, value in pairs if value is not ABSENT)


def _word(value: Value) -> str:
    """Keep a value on one line and in bounds; control characters must not reach a terminal."""
    if value is None:
        return "null"
    text = str(value)
    if len(text) > WORD_LIMIT:
        text = text[: WORD_LIMIT - 1] + "…"
    return text if text.isprintable() and text and " " not in text else quote(text)


WORD_LIMIT = 60
