"""Turns what Postgres says of a caller's statement into the refusal that the caller is sent, in PostgREST's terms.

The words are Postgres's own, as the caller's role would read them in psql: it leaves out what that role may not see.
"""

import re
from typing import Final

import psycopg

from tidewire.query.errors import QueryError

_STATUSES: Final = {
    "21000": 400,  # mostly an upsert that has the same key twice
    "23503": 409,
    "23505": 409,
    "25006": 405,  # a write in what may only read
    "42883": 404,
    "42P01": 404,
    "42P17": 500,  # policies that call each other
    "53400": 500,
    "57P01": 503,
    "57P03": 503,
    "P0001": 400,  # what a function raises unless it says otherwise
}
_CLASSES: Final = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "53": 503,
    "55": 500,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0": 500,
    "XX": 500,
}
_INTERNAL: Final = frozenset({"58", "F0", "XX"})
"""Classes whose texts tell of files and functions of the server."""

_NO_SUCH_ROLE: Final = re.compile(r'role ".*" does not exist', re.DOTALL)
_CHOSEN: Final = re.compile(r"PT([45][0-9]{2})")
"""A function chooses the status of its refusal with an SQLSTATE of its own."""

_MISSED: Final = frozenset({"42P01", "42703", "42704", "42883", "PGRST200", "PGRST202", "PGRST204", "PGRST205"})


def refusal(error: psycopg.Error, *, anonymous: bool) -> QueryError | None:
    """Return what to answer, or None when the connection broke rather than the statement.

    An `anonymous` caller who lacks a right is asked to say who it is.
    """
    code, said = error.sqlstate, error.diag
    if code is None:
        return unreadable() if isinstance(error, psycopg.DataError) else None
    message = said.message_primary or ""
    status = _status(code, message, anonymous=anonymous)
    if code[:2] in _INTERNAL:
        return QueryError(status, code, "The database failed to carry out the request")
    return QueryError(status, code, message, details=said.message_detail, hint=said.message_hint)


def unreadable() -> QueryError:
    """Return the refusal of a text that Postgres cannot hold."""
    return QueryError(400, "22021", "invalid text: expected no NUL and no half of a surrogate pair")


def is_miss(error: QueryError) -> bool:
    """Tell whether somebody named what is not there, at least not where it was looked for."""
    return error.code in _MISSED


def _status(code: str, message: str, *, anonymous: bool) -> int:
    if code == "42501":
        return 401 if anonymous else 403
    if code == "22023" and _NO_SUCH_ROLE.fullmatch(message):
        return 401
    if chosen := _CHOSEN.fullmatch(code):
        return int(chosen[1])
    return _STATUSES.get(code) or _CLASSES.get(code[:2], 400)
