"""Tidewire turns any PostgreSQL into a live backend. See ARCHITECTURE.md for the files to read first."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidewire.assemble import Tidewire as Tidewire
    from tidewire.postgres.app_broadcast import publish as publish
    from tidewire.settings import Settings as Settings

__version__ = version("tidewire")

_HOMES = {
    "Settings": "tidewire.settings",
    "Tidewire": "tidewire.assemble",
    "publish": "tidewire.postgres.app_broadcast",
}


def __getattr__(name: str) -> Any:
    """Import what is exported only when it is asked for: the client must not load the server."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - needed by few

    return getattr(import_module(_HOMES[name]), name)
