"""What Postgres itself says it was sent: a server that logs every statement, and a reader that takes them apart."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from msgspec import Struct

from tests.support.log import fetch
from tests.support.waiting import wait_until
from tidewire.query.schema import Schema

_MESSAGE: Final = re.compile(
    r"(?:duration: [0-9.]+ ms  )?(?:statement|(?:parse|bind|execute) (?P<plan>[^ :]+)): (?P<text>.*)", re.DOTALL
)
_TOKEN: Final = re.compile(
    r"""(?P<comment>--[^\n]*)|(?P<literal>E'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')|"(?P<name>(?:[^"]|"")*)\""""
    r"""|(?P<parameter>\$[0-9]+)|(?P<number>[0-9]+)|(?P<word>\w+)|(?P<space>\s+)|(?P<sign>[^\w\s"'$-]+|.)""",
    re.DOTALL,
)

_DRIVER: Final = frozenset({"DEALLOCATE ALL", "ROLLBACK"})
"""What psycopg says by itself."""
_NEVER: Final = frozenset(";\\$`")


class Sent(Struct, frozen=True):
    """One text that a user's connection had Postgres read, and the parameters that went beside it."""

    text: str
    parameters: str = ""
    plan: str = ""


class StatementLog:
    """The statements of one user of a `logging_server`. `watched` gathers what is sent while a block runs."""

    def __init__(self, dsn: str, user: str) -> None:
        self._marks = psycopg.connect(dsn, autocommit=True)
        self._user = user
        data = Path(fetch(dsn, "show data_directory"))
        self._file = data / str(fetch(dsn, "show log_directory")) / "statements.json"

    def close(self) -> None:
        self._marks.close()

    @contextmanager
    def watched(self) -> Iterator[list[Sent]]:
        """Yield a list that is filled when the block ends."""
        start, found = self._file.stat().st_size, list[Sent]()
        yield found
        found += self._read(start)

    def _read(self, start: int) -> Iterator[Sent]:
        """Read up to a statement of our own, which the log has only after all the others."""
        mark = f"end of block at {start}".encode()
        self._marks.execute(b"select '" + mark + b"'")
        wait_until(lambda: mark in self._since(start))
        for line in self._since(start).splitlines():
            record = json.loads(line)
            if record.get("user") == self._user:
                yield from _texts(record)

    def _since(self, start: int) -> bytes:
        with self._file.open("rb") as log:
            log.seek(start)
            return log.read().rpartition(b"\n")[0]  # the last line may be half written


def _texts(record: dict[str, Any]) -> Iterator[Sent]:
    """Find the texts of a record: of a statement, and of an error what caused it."""
    said = _MESSAGE.fullmatch(record["message"])
    if said is not None:
        yield Sent(said["text"], record.get("detail", ""), said["plan"] or "")
    elif "statement" in record:
        yield Sent(record["statement"], record.get("context", ""))


class Reading(Struct, frozen=True):
    """A statement taken apart. `aliases` are names that it gives itself, `names` those that it expects to be there."""

    comments: frozenset[str]
    literals: frozenset[str]
    names: frozenset[str]
    aliases: frozenset[str]
    words: frozenset[str]
    numbers: frozenset[str]
    signs: frozenset[str]


def take_apart(text: str) -> Reading:
    """Split a statement as Postgres does. What stands behind `as` is an alias."""
    found: dict[str, set[str]] = {kind: set() for kind in Reading.__struct_fields__}
    last = ""
    for token in _TOKEN.finditer(text):
        kind = str(token.lastgroup)
        if kind == "name":
            found["aliases" if last == "as" else "names"].add(token["name"].replace('""', '"'))
        elif f"{kind}s" in found:
            found[f"{kind}s"].add(token[0])
        if kind != "space":
            last = token[0].lower()
    return Reading(**{kind: frozenset(values) for kind, values in found.items()})


class OwnWords:
    """Everything that may stand in a statement: what our sources hold, and names that the schema knows."""

    def __init__(self, sources: Iterable[Path], schema: Schema) -> None:
        self._sources = "".join(path.read_text(encoding="utf-8") for path in sources).replace("\\\\", "\\")
        self._names = names_of(schema)
        self._words = {
            *re.findall(r"\w+", self._sources),
            *(word for each in types_of(schema) for word in each.split()),
        }

    def strangers(self, text: str, *, own_columns: bool = False) -> set[str]:
        """Return what a statement has from elsewhere. With `own_columns`, any column may be asked for by its name."""
        if text in _DRIVER:
            return set()
        reading = take_apart(text)
        found = {each for each in (*reading.comments, *reading.literals) if each not in self._sources}
        found |= {each for each in reading.names if each not in self._names and not own_columns}
        found |= {word for word in reading.words if word not in self._words and not re.fullmatch(r"[ceor][0-9]+", word)}
        found |= {sign for sign in reading.signs if set(sign) & _NEVER}
        return found | {each for each in reading.numbers if len(each) > 1}


def names_of(schema: Schema) -> frozenset[str]:
    """Return every name that the cache knows: schemas, tables, columns, functions, arguments."""
    functions = [function for overloads in schema.functions.values() for function in overloads]
    return frozenset((
        *(name for key in (*schema.tables, *schema.functions) for name in key),
        *(column.name for table in schema.tables.values() for column in table.columns),
        *(argument.name for function in functions for argument in function.arguments),
    ))  # fmt: skip


def types_of(schema: Schema) -> frozenset[str]:
    """Return every type that the cache knows, as words."""
    functions = [function for overloads in schema.functions.values() for function in overloads]
    types = [column.type for table in schema.tables.values() for column in table.columns]
    types += [argument.type for function in functions for argument in function.arguments]
    return frozenset(" ".join(re.findall(r"\w+", each)) for each in types)
