"""What every document has in common: parameters, answers, ways to say who asks. The words that clients see."""

from typing import Any

from tidewire.query.conditions import FULL_TEXT, OPERATORS, QUANTIFIED
from tidewire.query.preferences import CHOICES

Part = dict[str, Any]

JSON = "application/json"
OBJECT = "application/vnd.pgrst.object+json"
CSV = "text/csv"

_WORDS = {
    "read": ("count", "handling", "tx"),
    "insert": ("return", "count", "resolution", "missing", "handling", "tx"),
    "update": ("return", "count", "missing", "handling", "tx"),
    "delete": ("return", "count", "handling", "tx"),
    "call": ("return", "count", "handling", "tx"),
}
_COUNT_RANGE: Part = {
    "description": "The rows of this answer and how many there are in all, `0-9/57`, or `*` where nobody counted",
    "schema": {"type": "string"},
}
_APPLIED: Part = {"description": "The preferences that were followed", "schema": {"type": "string"}}
_NUMBER: Part = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}


def filter_schema() -> Part:
    """Return the schema of what stands behind the `=` of a filter."""
    plain = "|".join(sorted(OPERATORS - QUANTIFIED - FULL_TEXT - {"is", "in"}))
    quantified = "|".join(sorted(QUANTIFIED))
    texts = "|".join(sorted(FULL_TEXT))
    forms = (
        rf"({plain})\.[^\x00]*",
        rf"({quantified})(\((any|all)\))?\.[^\x00]*",
        rf"({texts})(\([A-Za-z_]+\))?\.[^\x00]*",
        r"is\.(null|not_null|true|false|unknown)",
        r'in\.\(("([^"\\\x00]|\\[^\x00])*"|[^,()"\x00]*)(,("([^"\\\x00]|\\[^\x00])*"|[^,()"\x00]*))*\)',
    )
    return {
        "type": "string",
        "description": "An operator, a point and a value, `not.` before it for the opposite: `eq.5`, `not.is.null`, "
        '`in.(a,"b,c")`, `like(any).{a*,b*}`, `fts(english).cat`',
        "pattern": f"^(not\\.)?({'|'.join(forms)})$",
        "examples": ["eq.5", "not.is.null", "in.(1,2)"],
    }


def error_schema() -> Part:
    """Return the schema of every refusal."""
    return {
        "type": "object",
        "required": ["code", "message", "details", "hint"],
        "properties": {
            "code": {"type": "string", "description": "An SQLSTATE of Postgres, or PGRST and a number"},
            "message": {"type": "string"},
            "details": {"description": "More about it: a text, or a list of what might have been meant"},
            "hint": {"type": ["string", "null"], "description": "What to do about it"},
        },
    }


def shared_parameters(schema: str, *, default_schema: bool, max_rows: int) -> dict[str, Part]:
    """Return the parameters that operations refer to by these names."""
    profile: Part = {
        "description": f"The schema that is meant{': needed only for other ones' if default_schema else ''}",
        "required": not default_schema,
        "schema": {"type": "string", "enum": [schema]},
    }
    return {
        "select": _query("select", "The columns to return, `id,name:title,meta->>kind,price::text`, and rows of "
                         "related tables, `clients(id,name)`", example="*"),
        "order": _query("order", "What to sort by: `title.desc.nullslast,id`", example="id"),
        "limit": _query("limit", f"The most rows to return, never more than {max_rows}", schema=_NUMBER),
        "offset": _query("offset", "How many rows to leave out first", schema=_NUMBER),
        "and": _query("and", "Filters that must all hold: `(a.gt.1,or(b.is.null,c.eq.x))`"),
        "or": _query("or", "Filters of which one must hold: `(a.gt.1,b.is.null)`"),
        "columns": _query("columns", "The columns that the body sets; other members of it are ignored"),
        "on_conflict": _query("on_conflict", "The columns of a unique key by which rows are found that are there"),
        "Range": _header("Range", "`0-9` for the first ten rows; limit and offset go before it", r"^[0-9]+-[0-9]*$"),
        "Accept-Profile": {"name": "Accept-Profile", "in": "header", **profile},
        "Content-Profile": {"name": "Content-Profile", "in": "header", **profile},
        **{f"Prefer.{kind}": _prefer(words) for kind, words in _WORDS.items()},
    }  # fmt: skip


def shared_responses() -> dict[str, Part]:
    """Return the answers that operations refer to by these names."""
    error = {JSON: {"schema": {"$ref": "#/components/schemas/api.error"}}}
    retry = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}
    return {
        "api.refused": {"description": "The request cannot be read, is not allowed, or does not fit", "content": error},
        "api.failed": {
            "description": "The statement failed, or the database is away",
            "content": error,
            "headers": retry,
        },
        "api.done": {"description": "Done, and nothing to return", "headers": {"Preference-Applied": _APPLIED}},
    }


def with_refusals(answers: dict[str, Part]) -> dict[str, Part]:
    """Add to the answers of an operation how it may fail."""
    refused = {"$ref": "#/components/responses/api.refused"}
    return {**answers, "300": refused, "4XX": refused, "5XX": {"$ref": "#/components/responses/api.failed"}}


def rows_answer(row: Part) -> Part:
    """Return an answer with rows of this schema, in every form that it can have."""
    return {
        "description": "Rows, or some of them; of those that were written only with `Prefer: return=representation`",
        "headers": {"Content-Range": _COUNT_RANGE, "Preference-Applied": _APPLIED},
        "content": {
            JSON: {"schema": {"type": "array", "items": row}},
            OBJECT: {"schema": row},
            CSV: {"schema": {"type": "string"}},
        },
    }


def security_schemes() -> dict[str, Part]:
    """Return the ways to say who asks."""
    return {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "Of whoever is signed in"},
        "apikey": {"type": "apiKey", "in": "header", "name": "apikey", "description": "The key of the application"},
    }


def reference(kind: str, name: str) -> Part:
    """Return what stands for a part that the document has once."""
    return {"$ref": f"#/components/{kind}/{name}"}


def _query(name: str, description: str, *, schema: Part | None = None, example: str | None = None) -> Part:
    shown = {} if example is None else {"example": example}
    return {"name": name, "in": "query", "description": description, "schema": schema or {"type": "string"}, **shown}


def _header(name: str, description: str, pattern: str) -> Part:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string", "pattern": pattern}}


def _prefer(words: tuple[str, ...]) -> Part:
    choices = [f"{word}={choice}" for word in words for choice in CHOICES[word]]
    choices += ["max-affected=[0-9]{1,9}"] if "return" in words else []
    one = f"({'|'.join(choices)})"
    return _header("Prefer", "What the client prefers, with commas between", f"^{one}(, ?{one})*$")
