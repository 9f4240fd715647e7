"""What the functions that policies call are known to do: some of Postgres's own, and those that tell who is asking."""

import re
from collections.abc import Callable
from typing import Final

from tidewire.filters.checks import BOOL, BPCHAR, TEXT
from tidewire.filters.collation import UNKNOWN
from tidewire.filters.texts import rules
from tidewire.match.policy import Function, Names, PolicyUnprovable
from tidewire.match.policy_constants import INT2, INT4, INT8, NUMERIC, array_texts, constant_bytes
from tidewire.match.policy_nodes import Node
from tidewire.match.policy_tree import (
    ClaimDocument,
    ClaimsAsText,
    ClaimSetting,
    ClaimText,
    ConstantValue,
    Converted,
    FirstOf,
    NullIf,
    Value,
)
from tidewire.model.relation import PgType

ANY_VALUE, SINGLE_VALUE, AS_ARRAY = 2, 4, 6
"""How a sub-select is used: `subLinkType`."""

_TEXT: Final = PgType(TEXT, "text")
_JSONB: Final = 3802
_CLAIMS: Final = "request.jwt.claims"
_CLAIM: Final = "request.jwt.claim."

_WIDENINGS: Final = {
    ("int4", (INT2,)): INT4,
    ("int8", (INT2,)): INT8,
    ("int8", (INT4,)): INT8,
    ("numeric", (INT2,)): NUMERIC,
    ("numeric", (INT4,)): NUMERIC,
    ("numeric", (INT8,)): NUMERIC,
}
"""Casts after which a number is still written the same."""

_integer = re.compile(r"\s*[+-]?\d").match
_setting = r"nullif\(current_setting\('request\.jwt\.claim\.(?P<{}>\w+)',true\),''\)"
_document = r"nullif\(current_setting\('request\.jwt\.claims',true\),''\)::jsonb?"
_cast = r"(?:::(?:uuid|text))?;?"
_setting_only = re.compile(rf"select{_setting.format('name')}{_cast}", re.IGNORECASE).fullmatch
_setting_first = re.compile(
    rf"selectcoalesce\({_setting.format('name')},\({_document}->>'(?P<key>\w+)'\)\){_cast}", re.IGNORECASE
).fullmatch
_all_claims = re.compile(
    r"selectcoalesce\(nullif\(current_setting\('request\.jwt\.claim',true\),''\),"
    r"nullif\(current_setting\('request\.jwt\.claims',true\),''\)\)::jsonb;?",
    re.IGNORECASE,
).fullmatch


def callable_function(node: Node, names: Names) -> Function:
    """Return the function that a FUNCEXPR calls, if the role may call it."""
    function = names.functions.get(node.number("funcid"))
    if function is None:
        raise PolicyUnprovable(f"the function with OID {node.text('funcid')}", "not known")
    if not function.executable:
        raise PolicyUnprovable(f"function {function.name}", "the role may not execute it")
    if node.flag("funcretset") or node.flag("funcvariadic"):
        raise PolicyUnprovable(f"function {function.name}", "it returns a set or takes any number of arguments")
    return function


def builtin_call(function: Function, arguments: list[Value], counted_as: Callable[[Value, PgType], Value]) -> Value:
    """Return the value of a function that came with Postgres, of those whose result is certain."""
    signature = (function.name, function.arguments)
    if signature in _WIDENINGS:
        return counted_as(arguments[0], PgType(_WIDENINGS[signature], function.name))
    if signature in {("current_setting", (TEXT,)), ("current_setting", (TEXT, BOOL))}:
        return _session_setting(arguments)
    if signature == ("text", (BOOL,)):
        return Converted(arguments[0], "word", _TEXT)
    if signature == ("text", (BPCHAR,)):
        return Converted(arguments[0], "unpadded", _TEXT)
    if signature == ("bool", (_JSONB,)) and isinstance(arguments[0], ClaimDocument):
        return Converted(arguments[0], "flag", PgType(BOOL, "bool"))
    raise PolicyUnprovable(f"function {function.name}", "not among the functions that are compiled")


def _session_setting(arguments: list[Value]) -> Value:
    name = arguments[0]
    if isinstance(name, ConstantValue) and name.text == _CLAIMS:
        return ClaimsAsText(_TEXT)
    if isinstance(name, ConstantValue) and name.text and name.text.startswith(_CLAIM) and len(name.text) > len(_CLAIM):
        return ClaimSetting(name.text.removeprefix(_CLAIM), _TEXT)
    raise PolicyUnprovable("function current_setting", "only request.jwt.claims and request.jwt.claim.* are compiled")


def known_source(function: Function, result: PgType, cast: Callable[[Value, PgType], Value]) -> Value:
    """Return the value of a function whose body is text, if it is one of the usual ways to read a claim.

    Such a body is parsed in the session that calls it, so only texts are known here of which every name is found in
    pg_catalog first.
    """
    text = "".join((function.source or "").split())
    if _all_claims(text) and result.oid == _JSONB:
        return ClaimDocument((), result)
    if found := _setting_only(text):
        return _as_result(_non_empty(found["name"]), result, cast)
    if found := _setting_first(text):
        return _as_result(FirstOf((_non_empty(found["name"]), ClaimText((found["key"],), _TEXT)), _TEXT), result, cast)
    raise PolicyUnprovable(f"function {function.name}", "its body is not one that is compiled; write it with RETURN")


def _non_empty(name: str) -> Value:
    return NullIf(ClaimSetting(name, _TEXT), ConstantValue("", _TEXT), rules(_TEXT, UNKNOWN), _TEXT)


def _as_result(value: Value, result: PgType, cast: Callable[[Value, PgType], Value]) -> Value:
    return value if result.oid == TEXT else cast(value, result)


def constant_path(node: Node) -> list[str | None]:
    """Return the keys of a constant path, none for one that is not constant. A number may mean a place in a list."""
    data = constant_bytes(node) if node.kind == "CONST" and node.text("consttype") == "1009" else None
    keys = array_texts(data)[1] if data is not None else []
    if any(key is None or _integer(key) for key in keys):
        raise PolicyUnprovable("a path into the claims", "places in a list are not compiled")
    return keys
