"""The question why a row does or does not reach somebody, and the answer, as they go over HTTP. Finds nothing out."""

from collections.abc import Sequence
from typing import Any, Final, Literal

from msgspec import Raw, Struct

from tidewire.services.policy_verdicts import PolicyVerdict

NO_RECORD: Final = Raw(b"null")


class VerdictWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The question: would a reader with this role and these claims, who asks for this, be told of this row?

    `old_record` is the row before an UPDATE, for those who follow moves. A DELETE is about `record`.
    """

    table: str
    record: Raw
    schema: str = "public"
    event: Literal["INSERT", "UPDATE", "DELETE"] = "INSERT"
    old_record: Raw = NO_RECORD
    role: str = "authenticated"
    user: str | None = None
    claims: dict[str, Any] = {}
    filter: str = ""
    select: tuple[str, ...] | None = None
    wanted: Literal["*", "INSERT", "UPDATE", "DELETE"] = "*"
    moves: bool = False


class Step(Struct, frozen=True):
    """One thing that has to be right; `reason` says what is not."""

    ok: bool
    reason: str = ""


class Verdict(Struct, frozen=True, kw_only=True):
    """The answer. Steps that could not be looked at are None.

    `told_as` is the event that the reader would get, `columns` what it would show, all of them with None, and `errors`
    what it would say instead.
    """

    delivered: bool
    told_as: str | None = None
    columns: Sequence[str] | None = None
    errors: Sequence[str] = ()
    publication: Step
    wish: Step | None = None
    privilege: Step | None = None
    policies_bind: bool | None = None
    policies: Sequence[PolicyVerdict] = ()
    filter: Step | None = None
    assumed_null: Sequence[str] = ()
