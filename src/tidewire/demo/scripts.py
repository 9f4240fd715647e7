"""Loads the named SQL files of the demo. Each file says its purpose in its first line."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final, LiteralString

MAKING: Final = ("schema", "policies", "year", "rules")
"""What the marketplace is made of, in this order: the year comes before the triggers that would tell people of it."""


@cache
def load(name: str) -> LiteralString:
    """Return the text of sql/NAME.sql; parameters are passed separately, never formatted in."""
    return files("tidewire.demo").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def version() -> str:
    """Return what changes when any of the scripts changes that the marketplace is made of."""
    return sha256("".join(map(load, MAKING)).encode()).hexdigest()[:16]
