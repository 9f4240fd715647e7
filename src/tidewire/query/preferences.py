"""The headers Prefer and Accept become choices. What is unknown is ignored, unless the client is strict."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tidewire.query.errors import QueryError

CHOICES = {
    "count": ("exact", "planned", "estimated"),
    "return": ("representation", "minimal", "headers-only"),
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "handling": ("strict", "lenient"),
    "tx": ("commit", "rollback"),
}
MEDIA_TYPES = {
    "*/*": "json",
    "application/*": "json",
    "application/json": "json",
    "application/vnd.pgrst.array+json": "json",
    "application/vnd.pgrst.array": "json",
    "application/vnd.pgrst.object+json": "object",
    "application/vnd.pgrst.object": "object",
    "text/csv": "csv",
}
DOCUMENT_TYPES = {
    "*/*": "application/openapi+json",
    "application/*": "application/openapi+json",
    "application/openapi+json": "application/openapi+json",
    "application/json": "application/json",
}
CONTENT_TYPES = {
    "json": "application/json; charset=utf-8",
    "object": "application/vnd.pgrst.object+json; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
}


class Preferences(Struct, frozen=True):
    """What a client prefers; an empty text means that it did not say."""

    count: str = ""
    returns: str = ""
    resolution: str = ""
    missing: str = ""
    handling: str = ""
    tx: str = ""
    max_affected: int | None = None

    def applied(self, *words: str) -> tuple[tuple[str, str], ...]:
        """Return the header Preference-Applied for those of the named preferences that the client gave."""
        given = {
            "count": self.count, "return": self.returns, "resolution": self.resolution, "missing": self.missing,
            "handling": self.handling, "tx": self.tx,
            "max-affected": "" if self.max_affected is None else str(self.max_affected),
        }  # fmt: skip
        parts = [f"{word}={given[word]}" for word in words if given[word]]
        return (("Preference-Applied", ", ".join(parts)),) if parts else ()


class Media(Struct, frozen=True):
    """The form of an answer: `json`, one `object`, or `csv`."""

    form: str = "json"
    strip_nulls: bool = False

    @property
    def content_type(self) -> str:
        if not self.strip_nulls:
            return CONTENT_TYPES[self.form]
        kind = "object" if self.form == "object" else "array"
        return f"application/vnd.pgrst.{kind}+json;nulls=stripped; charset=utf-8"


def parse_preferences(header: str) -> Preferences:
    """Read the header; of a preference that is given twice, the first counts."""
    found: dict[str, str] = {}
    unknown: list[str] = []
    max_affected: int | None = None
    for part in filter(None, (text.strip() for text in header.split(","))):
        word, _, value = (text.strip() for text in part.partition("="))
        if word == "max-affected" and value.isascii() and value.isdigit() and len(value) < 10:
            max_affected = int(value)
        elif value in CHOICES.get(word, ()):
            found.setdefault(word, value)
        else:
            unknown.append(word[:40])
    strict = found.get("handling") == "strict"
    if unknown and strict:
        raise QueryError(
            400,
            "PGRST122",
            "Invalid preferences given with handling=strict",
            details=f"Invalid preferences: {', '.join(unknown)}",
        )
    found["returns"] = found.pop("return", "")
    return Preferences(**found, max_affected=max_affected if strict else None)


def parse_accept(header: str) -> Media:
    """Return the first form that the client accepts and we have; nothing said means JSON."""
    if not header.strip():
        return Media()
    for part in header.split(","):
        kind, *options = (text.strip().lower() for text in part.split(";"))
        form = MEDIA_TYPES.get(kind)
        if form is not None:
            return Media(form, form != "csv" and "nulls=stripped" in options)
    raise _unavailable(MEDIA_TYPES)


def choose_document(header: str) -> str:
    """Return the media type under which the client accepts a description of the schema."""
    kinds = [part.split(";")[0].strip().lower() for part in (header.strip() or "*/*").split(",")]
    chosen = next((DOCUMENT_TYPES[kind] for kind in kinds if kind in DOCUMENT_TYPES), None)
    if chosen is None:
        raise _unavailable(DOCUMENT_TYPES)
    return chosen


def choose_schema(method: str, headers: Mapping[str, str], schemas: tuple[str, ...]) -> str:
    """Return the schema that the profile header names, or the first one."""
    wanted = headers.get("accept-profile" if method in {"GET", "HEAD"} else "content-profile", schemas[0])
    if wanted not in schemas:
        raise QueryError(
            406, "PGRST106", "Invalid schema", hint=f"Only the following schemas are exposed: {', '.join(schemas)}"
        )
    return wanted


def _unavailable(known: Iterable[str]) -> QueryError:
    return QueryError(
        406, "PGRST107", "None of these media types are available", hint=f"ask for one of {', '.join(known)}"
    )
