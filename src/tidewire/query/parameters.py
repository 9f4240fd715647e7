"""The pairs behind the `?` of a URL become one tree of what is asked, and the few parameters that writing has."""

from collections.abc import Sequence

from msgspec import Struct, field

from tidewire.query.conditions import Term, count_conditions, looks_like_condition, parse_condition, parse_logic
from tidewire.query.cursor import Cursor
from tidewire.query.errors import QueryError, exceeded
from tidewire.query.fields import Field, read_field
from tidewire.query.limits import Limits
from tidewire.query.ordering import parse_number, parse_order
from tidewire.query.resource import Resource
from tidewire.query.select_list import parse_names, parse_select

Pair = tuple[str, str]


class Parameters(Struct):
    """What a URL asks: `root` is the table of its path; `arguments` go to the function of its path."""

    root: Resource
    selected: bool = False
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] | None = None
    arguments: list[Pair] = field(default_factory=list)
    conditions: int = 0


def parse_parameters(pairs: Sequence[Pair], name: str, limits: Limits, *, with_arguments: bool) -> Parameters:
    """Read all pairs; `with_arguments`, a pair that is no filter is an argument. Raises QueryError."""
    found = Parameters(Resource(name))
    select = [value for key, value in pairs if key == "select"]
    found.selected = bool(select)
    parse_select("*" if not select else select[-1], found.root, limits)
    for key, value in pairs:
        if key == "select":
            continue
        if key == "columns":
            found.columns = parse_names(value, "columns parameter", limits)
        elif key == "on_conflict":
            found.on_conflict = parse_names(value, "on_conflict parameter", limits)
        elif with_arguments and _is_argument(key, value):
            found.arguments.append((key, value))
            if len(found.arguments) > limits.max_conditions:
                raise exceeded("arguments", limits.max_conditions)
        else:
            _place(key, value, found, limits)
    return found


def _is_argument(key: str, value: str) -> bool:
    last = key.rsplit(".", 1)[-1]
    return last not in {"order", "limit", "offset", "and", "or"} and not looks_like_condition(value)


def _place(key: str, value: str, found: Parameters, limits: Limits) -> None:
    """Give a parameter to the resource that its path, `clients.projects.name`, leads to."""
    path, negated = _read_path(key, limits)
    last = path.pop()
    resource = _walk(found.root, [each.name for each in path])
    word = last.name if not last.steps else ""
    term: Term
    if word == "order":
        resource.order = parse_order(value, limits)
        return
    if word == "limit":
        resource.limit = parse_number(value, "limit")
        return
    if word == "offset":
        resource.offset = parse_number(value, "offset")
        return
    if word in {"and", "or"}:
        term = parse_logic("and" if word == "and" else "or", value, limits, negated=negated)
    else:
        term = parse_condition(last, value, limits)
    found.conditions += count_conditions(term)
    if found.conditions > limits.max_conditions:
        raise exceeded("conditions", limits.max_conditions)
    resource.conditions.append(term)


def _read_path(key: str, limits: Limits) -> tuple[list[Field], bool]:
    cursor = Cursor(key, "parameter", limits)
    path = [read_field(cursor)]
    while cursor.take("."):
        path.append(read_field(cursor))
        if len(path) > limits.max_depth + 1:
            raise exceeded("depth of nesting", limits.max_depth)
    cursor.finish()
    negated = len(path) > 1 and path[-2] == Field("not") and path[-1].name in {"and", "or"}
    if negated:
        del path[-2]
    return path, negated


def _walk(resource: Resource, path: list[str]) -> Resource:
    for name in path:
        found = resource.find(name)
        if found is None:
            raise QueryError(
                400,
                "PGRST108",
                f"'{name}' is not an embedded resource in this request",
                hint=f"Verify that '{name}' is included in the 'select' query parameter.",
            )
        resource = found
    return resource
