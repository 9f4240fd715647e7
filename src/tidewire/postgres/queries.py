"""Loads the named SQL files of this package. Each file says its purpose in its first line."""

from functools import cache
from importlib.resources import files
from typing import LiteralString


@cache
def load(name: str) -> LiteralString:
    """Return the text of queries/NAME.sql; parameters are passed separately, never formatted in."""
    return files("tidewire.postgres").joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
