"""The topics that are the server's own: operators may join them, and nobody but the server tells anything there."""

from typing import Final

RESERVED: Final = "tidewire:"


def is_reserved(subtopic: str) -> bool:
    """Say whether a topic, without its `realtime:`, is the server's own; both the private and the public one are."""
    return subtopic.startswith(RESERVED)
