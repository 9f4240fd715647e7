"""Reads the text of Postgres's `pg_node_tree` into nodes with named fields. Knows no node by its name.

In these trees every name has been resolved to a number, every implicit cast is a node and every comparison names its
collation, so nothing depends on a search_path or on guessing which of several operators was meant.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from tidewire.match.policy import PolicyUnprovable

MAX_CHARS: Final = 1_000_000
MAX_DEPTH: Final = 100
"""An AND of a thousand parts is one level; people do not nest this deep."""

_token = re.compile(r"\s*([(){}]|(?:\\.|[^\s(){}\\])+)", re.DOTALL)
_escape = re.compile(r"\\(.)", re.DOTALL)


class Node(Struct, frozen=True):
    """One node. Values are nodes, lists, texts, or None for what is written as `<>`."""

    kind: str
    fields: Mapping[str, Any]

    def node(self, name: str) -> "Node":
        """Return the field that holds one node."""
        value = self.fields.get(name)
        if not isinstance(value, Node):
            raise PolicyUnprovable(self.kind, f"its {name} is not as expected")
        return value

    def nodes(self, name: str) -> tuple["Node", ...]:
        """Return the field that holds a list of nodes; an absent list is empty."""
        value = self.fields.get(name)
        if value is None and name in self.fields:
            return ()
        if not isinstance(value, list) or not all(isinstance(each, Node) for each in value):
            raise PolicyUnprovable(self.kind, f"its {name} are not as expected")
        return tuple(value)

    def text(self, name: str) -> str:
        """Return the field that holds a word."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise PolicyUnprovable(self.kind, f"its {name} is not as expected")
        return value

    def number(self, name: str) -> int:
        """Return the field that holds a number."""
        try:
            return int(self.text(name))
        except ValueError:
            raise PolicyUnprovable(self.kind, f"its {name} is not a number") from None

    def flag(self, name: str) -> bool:
        """Return the field that holds a truth value."""
        if (text := self.text(name)) not in {"true", "false"}:
            raise PolicyUnprovable(self.kind, f"its {name} is neither true nor false")
        return text == "true"


def read_tree(text: str) -> Node:
    """Return the node at the top. Raises PolicyUnprovable for a text that is no tree, or too large a one."""
    if len(text) > MAX_CHARS:
        raise PolicyUnprovable("the expression", f"longer than {MAX_CHARS} characters")
    tokens = (token[1] for token in _token.finditer(text))
    try:
        node = _value(next(tokens), tokens, 0)
        if isinstance(node, Node) and next(tokens, None) is None:
            return node
    except StopIteration:
        pass
    raise PolicyUnprovable("the expression", "its tree cannot be read")


def _value(token: str, tokens: Iterator[str], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise PolicyUnprovable("the expression", f"nested deeper than {MAX_DEPTH} levels")
    if token == "{":  # noqa: S105 - not a secret
        return _node(tokens, depth + 1)
    if token == "(":  # noqa: S105 - not a secret
        return _list(tokens, depth + 1)
    return None if token == "<>" else _escape.sub(r"\1", token)  # noqa: S105 - not a secret


def _list(tokens: Iterator[str], depth: int) -> list[Any]:
    values = []
    while (token := next(tokens)) != ")":
        values.append(_value(token, tokens, depth))
    return values


def _node(tokens: Iterator[str], depth: int) -> Node:
    kind = next(tokens)
    fields: dict[str, Any] = {}
    values: list[Any] = []
    while (token := next(tokens)) != "}":
        if not token.startswith(":"):
            values.append(_value(token, tokens, depth))
            continue
        if token[1:] in fields:  # an alias may look like a field: better no answer than a wrong one
            raise PolicyUnprovable(kind, f"it has {token} twice")
        values = fields[token[1:]] = []
    # Most fields have one value. The bytes of a constant, and a name with a colon, are several.
    return Node(kind, {name: each[0] if len(each) == 1 else each for name, each in fields.items()})
