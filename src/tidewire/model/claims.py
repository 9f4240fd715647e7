"""Who is asking: the claims of a verified token. Says nothing about how a token was verified."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Claims(Struct, frozen=True):
    """A verified token. `role` is the database role; `values` are all claims as they were, for policies."""

    role: str
    subject: str | None
    expires_at_s: float
    values: Mapping[str, Any]
