"""Who is asking: the claims of a verified token. Says nothing about how a token was verified."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

OPERATOR_ROLE: Final = "service_role"


class Claims(Struct, frozen=True):
    """A verified token. `role` is the database role; `values` are all claims as they were, for policies."""

    role: str
    subject: str | None
    expires_at_s: float
    values: Mapping[str, Any]


def is_operator(claims: Claims) -> bool:
    """Say whether somebody may see and do everything that the server offers to those who run it.

    Who that is must be the word of whoever issues tokens: what users may write about themselves, which identity
    providers put into `user_metadata`, is not looked at.
    """
    if claims.role == OPERATOR_ROLE or claims.values.get("operator") is True:
        return True
    of_application = claims.values.get("app_metadata")
    return isinstance(of_application, Mapping) and of_application.get("operator") is True
