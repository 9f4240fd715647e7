"""Tidewire turns any PostgreSQL into a live backend. See ARCHITECTURE.md for the six files to read first."""

from importlib.metadata import version

__version__ = version("tidewire")
