"""The one error of this package: a refused request, in the shape and with the codes that PostgREST's clients know."""

from collections.abc import Sequence
from typing import Any

from tidewire.model.errors import TidewireError


class QueryError(TidewireError):
    """The request cannot be answered. Send `status` with `body()` as JSON; no value of a row is ever part of it."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: str | Sequence[Any] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint or "")
        self.status = status
        self.details = details
        self._code = code

    @property
    def code(self) -> str:
        return self._code

    def body(self) -> dict[str, Any]:
        """Return the members of the JSON object that clients expect."""
        return {"code": self.code, "message": self.message, "details": self.details, "hint": self.hint or None}


def unparsable(what: str, details: str, *, hint: str | None = None) -> QueryError:
    """Return the error for text that the grammar does not know."""
    return QueryError(400, "PGRST100", f"failed to parse {what}", details=details, hint=hint)


def exceeded(what: str, limit: int) -> QueryError:
    """Return the error for a request that is larger than it may be."""
    return QueryError(
        400, "PGRST100", f"{what}: expected at most {limit}", hint="split the request, or raise the server's limit"
    )


def unknown_column(table: str, column: str) -> QueryError:
    """Return what Postgres says of a column that is not there."""
    return QueryError(400, "42703", f"column {table}.{column} does not exist")


def invalid_body(details: str) -> QueryError:
    """Return the error for a body that is not what the request needs."""
    return QueryError(400, "PGRST102", "Empty or invalid json", details=details)
