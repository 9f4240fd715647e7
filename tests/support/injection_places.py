"""Every place of a request to the data API that a client fills, as a way to put a text there."""

import json
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote_from_bytes

from msgspec import Struct, field

from tests.support.injection_corpus import Hostile
from tidewire.query.conditions import FULL_TEXT, OPERATORS, QUANTIFIED

ASKED: Final = {"accept": "application/json"}
UNDONE: Final = "tx=rollback,return=representation"


class Sending(Struct, frozen=True):
    """A request as it travels; the path is below the API's own."""

    method: str
    path: str
    headers: Mapping[str, bytes | str] = field(default_factory=dict)
    body: bytes | None = None


Place = Callable[[Hostile], Sending]


def in_url(form: str, method: str = "GET", body: object = None, **headers: str) -> Place:
    """Put the text, encoded for a URL, where the form has `@`."""

    def place(hostile: Hostile) -> Sending:
        path = form.replace("@", quote_from_bytes(hostile.raw, safe=""))
        return Sending(method, path, headers, None if body is None else json.dumps(body).encode())

    return place


def in_header(name: str, form: str = "@", method: str = "GET", path: str = "notes?id=eq.1") -> Place:
    """Put the text into a header, without the few characters that no header can have."""

    def place(hostile: Hostile) -> Sending:
        raw = bytes(byte for byte in hostile.raw if byte >= 0x20 and byte != 0x7F)
        body = None if method == "GET" else b'{"id": 50}'
        return Sending(method, path, {"prefer": "tx=rollback", name: form.encode().replace(b"@", raw)}, body)

    return place


def in_body(form: str, path: str = "notes", method: str = "POST", prefer: str = UNDONE) -> Place:
    """Put the text, as a JSON string, where the form has `@`; what is no text goes in as it is."""

    def place(hostile: Hostile) -> Sending:
        as_json = b'"' + hostile.raw + b'"' if hostile.text is None else json.dumps(hostile.text).encode()
        return Sending(method, path, {"prefer": prefer}, form.encode().replace(b"@", as_json))

    return place


def as_body(path: str, method: str = "POST") -> Place:
    return lambda hostile: Sending(method, path, {"prefer": UNDONE}, hostile.raw)


def _operators() -> dict[str, Place]:
    """Return every operator's value, alone and in a list, and what may stand in its parentheses."""
    places: dict[str, Place] = {}
    for operator in sorted(OPERATORS - {"in"}):
        places[f"{operator} value"] = in_url(f"notes?body={operator}.@")
    for operator in sorted(QUANTIFIED):
        places[f"{operator}(any) value"] = in_url(f"notes?body={operator}(any).@")
    for operator in sorted(FULL_TEXT):
        places[f"{operator} configuration"] = in_url(f"notes?body={operator}(@).x")
    return places


URL: Final[Mapping[str, Place]] = {
    "table": in_url("@"),
    "table of a write": in_url("@", "POST", {"id": 1}, prefer=UNDONE),
    "path": in_url("notes/@"),
    "function": in_url("rpc/@"),
    "function by POST": in_url("rpc/@", "POST", {}),
    "select": in_url("notes?select=@"),
    "select alias": in_url("notes?select=@:id"),
    "select quoted alias": in_url('notes?select="@":id'),
    "select quoted name": in_url('notes?select="@"'),
    "select cast": in_url("notes?select=id::@"),
    "select JSON step": in_url("notes?select=doc->@"),
    "select JSON text step": in_url("notes?select=x:doc->>@"),
    "select quoted JSON step": in_url('notes?select=doc->"@"->>0'),
    "select CSV alias": in_url('notes?select="@":id,body', accept="text/csv"),
    "embedded": in_url("notes?select=@(id)"),
    "embedded alias": in_url('notes?select="@":comments(id)'),
    "embedded hint": in_url("notes?select=comments!@(id)"),
    "embedded spread": in_url("notes?select=...@(id)"),
    "embedded select": in_url("notes?select=comments(@)"),
    "embedded inner alias": in_url('comments?select=...notes!inner("@":id)'),
    "filter key": in_url("notes?@=eq.1"),
    "filter quoted key": in_url('notes?"@"=eq.1'),
    "filter JSON step": in_url("notes?doc->>@=eq.x"),
    "filter operator": in_url("notes?id=@.1"),
    "filter whole": in_url("notes?id=@"),
    "filter negated": in_url("notes?body=not.@"),
    "filter of embedded": in_url("notes?select=id,comments(id)&comments.@=eq.1"),
    "filter of embedded value": in_url("notes?select=id,comments(text)&comments.text=eq.@"),
    "filter by unknown embedded": in_url("notes?@.id=eq.1"),
    "in list": in_url("notes?body=in.(@)"),
    "in quoted list": in_url('notes?body=in.("@",x)'),
    "modifier": in_url("notes?body=eq(@).x"),
    **{f"{column} value": in_url(f"notes?{column}=eq.@") for column in ("id", "owner", "at", "mood")},
    "jsonb contains": in_url("notes?doc=cs.@"),
    "array overlaps": in_url("notes?tags=ov.@"),
    "array any": in_url("notes?tags=cs.{@}"),
    "range left of": in_url("notes?span=sl.@"),
    "text search vector": in_url("notes?words=wfts.@"),
    "or": in_url("notes?or=(@)"),
    "or value": in_url("notes?or=(body.eq.@,id.eq.1)"),
    "or quoted value": in_url('notes?or=(body.eq."@",id.eq.1)'),
    "and nested": in_url("notes?and=(body.in.(@),not.or(id.eq.1,body.like.@))"),
    "not and": in_url("notes?not.and=(@.eq.1)"),
    "order": in_url("notes?order=@"),
    "order quoted": in_url('notes?order="@".desc'),
    "order direction": in_url("notes?order=id.@"),
    "order JSON step": in_url("notes?order=doc->@"),
    "order by embedded": in_url("comments?select=id,notes(id)&order=notes(@)"),
    "order embedded": in_url("notes?select=id,comments(id)&comments.order=@"),
    "limit": in_url("notes?limit=@"),
    "offset": in_url("notes?offset=@"),
    "embedded limit": in_url("notes?select=id,comments(id)&comments.limit=@"),
    "columns": in_url("notes?columns=@", "POST", {"id": 50}, prefer=UNDONE),
    "columns quoted": in_url('notes?columns="@",id', "POST", {"id": 50}, prefer=UNDONE),
    "on_conflict": in_url("notes?on_conflict=@", "POST", {"id": 1}, prefer=f"{UNDONE},resolution=merge-duplicates"),
    "returned": in_url('notes?select="@":id', "POST", {"id": 50}, prefer=UNDONE),
    "update filter": in_url("notes?body=eq.@", "PATCH", {"body": "x"}, prefer=UNDONE),
    "update whole filter": in_url("notes?@", "PATCH", {"body": "x"}, prefer=UNDONE),
    "delete filter": in_url("notes?or=(body.eq.@,body.like.@)", "DELETE", prefer=UNDONE),
    "counted filter": in_url("notes?body=neq.@", prefer="count=exact"),
    "estimated filter": in_url("notes?body=neq.@", prefer="count=estimated"),
    "counted without rows": in_url("notes?body=neq.@", "HEAD", prefer="count=exact"),
    "any parameter": in_url("notes?@"),
    "argument": in_url("rpc/echo?given=@"),
    "argument name": in_url("rpc/echo?@=1"),
    "argument of a list": in_url("rpc/joined?parts=@&parts=x"),
    "argument of a number": in_url("rpc/add_up?a=@"),
    "filter of a function's table": in_url("rpc/notes_like?given=note&body=eq.@"),
    "columns of a function's table": in_url("rpc/notes_like?given=@&select=@"),
}
OWN_COLUMNS: Final[Mapping[str, Place]] = {
    "column of a function": in_url('rpc/pairs?up_to=2&select="@"'),
    "filter of a function": in_url('rpc/pairs?up_to=2&"@"=eq.1'),
    "value of a function's filter": in_url("rpc/pairs?up_to=2&n=eq.@"),
    "order of a function": in_url('rpc/pairs?up_to=2&order="@"'),
}
"""Here only Postgres knows which columns there are, so it is asked about any."""
HEADERS: Final[Mapping[str, Place]] = {
    "Range": in_header("range"),
    "Range-Unit": in_header("range-unit"),
    "Prefer": in_header("prefer"),
    "Prefer strict": in_header("prefer", "handling=strict,@"),
    "Prefer count": in_header("prefer", "count=@"),
    "Prefer return": in_header("prefer", "tx=rollback,return=@", "POST", "notes"),
    "Prefer max-affected": in_header("prefer", "tx=rollback,handling=strict,max-affected=@", "PATCH"),
    "Accept": in_header("accept"),
    "Accept option": in_header("accept", "application/json;@"),
    "Accept of the document": in_header("accept", path=""),
    "If-None-Match": in_header("if-none-match", path=""),
    "Accept-Profile": in_header("accept-profile"),
    "Content-Profile": in_header("content-profile", method="POST", path="notes"),
    "Content-Type": in_header("content-type", method="POST", path="notes"),
    "own header": in_header("x-own"),
    "Cookie": in_header("cookie"),
    "Authorization": in_header("authorization", "Bearer @"),
    "X-HTTP-Method-Override": in_header("x-http-method-override"),
}
BODIES: Final[Mapping[str, Place]] = {
    "key": in_body('{"id": 50, @: 1}'),
    "only key": in_body("{@: 1}"),
    "value": in_body('{"id": 50, "body": @}'),
    "value of a number": in_body('{"id": @}'),
    "value of a type": in_body('{"id": 50, "mood": @, "at": @}'),
    "value in a list": in_body('{"id": 50, "tags": [@, null]}'),
    "value in JSON": in_body('{"id": 50, "doc": {@: [@, {"a": @}]}}'),
    "values of some rows": in_body('[{"id": 50, "body": @}, {"id": 51}]', "notes?columns=id,body",
                                   prefer=f"{UNDONE},missing=default"),
    "value of an upsert": in_body('{"id": 1, "body": @}', "notes?on_conflict=id",
                                  prefer=f"{UNDONE},resolution=merge-duplicates"),
    "primary key of a row": in_body('{"name": @}', "labels", prefer="tx=rollback,return=headers-only"),
    "value of an update": in_body('{"body": @}', "notes?id=eq.1", "PATCH"),
    "key of an update": in_body("{@: 1}", "notes?id=eq.1", "PATCH"),
    "argument": in_body('{"given": @}', "rpc/echo"),
    "argument name": in_body("{@: 1}", "rpc/echo"),
    "argument that is JSON": in_body('{@: {"x": @}}', "rpc/anything"),
    "argument of a list": in_body('{"parts": [@]}', "rpc/joined"),
    "whole body": as_body("notes"),
    "whole body of a call": as_body("rpc/echo"),
    "whole body of a change": as_body("notes?id=eq.1", "PATCH"),
    "body that is a text": in_body("@"),
    "list of texts": in_body("[@]"),
}  # fmt: skip

PLACES: Final[Mapping[str, Place]] = {
    **URL,
    **OWN_COLUMNS,
    **_operators(),
    **{f"header {name}": place for name, place in HEADERS.items()},
    **{f"body {name}": place for name, place in BODIES.items()},
}
