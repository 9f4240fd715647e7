"""Parts for testing what is built on Tidewire: they keep the promises of the real ones, and need no database."""

from tidewire.testing.source import ScriptedSource, inserted

__all__ = ["ScriptedSource", "inserted"]
