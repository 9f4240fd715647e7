"""Reads the numbered SQL files of the database objects, in the order to apply them. Never talks to a database."""

import re
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal, LiteralString, cast

from msgspec import Struct

Half = Literal["pre", "post"]
Key = tuple[int, Half]

_FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<half>pre|post)_(?P<name>[a-z0-9_]+)\.sql")


class Migration(Struct, frozen=True):
    """One file of SQL, applied once."""

    version: int
    half: Half
    name: str
    sql: LiteralString

    @property
    def key(self) -> Key:
        return self.version, self.half

    @property
    def label(self) -> str:
        return f"{self.version:04}_{self.half}_{self.name}"

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Traversable | None = None) -> tuple[Migration, ...]:
    """Read the files that ship with Tidewire, or those of `folder`: every pre half first, then the post halves."""
    found = []
    for file in (folder or files("tidewire.postgres").joinpath("migrations")).iterdir():
        if match := _FILE_NAME.fullmatch(file.name):
            sql = file.read_text(encoding="utf-8")
            found.append(Migration(int(match["version"]), cast("Half", match["half"]), match["name"], sql))
    return tuple(sorted(found, key=lambda migration: (migration.half == "post", migration.version)))
