"""Strategies for literals of Postgres types: text that a type's input function accepts. Knows no rule of encoding."""

import json
from collections.abc import Sequence

from hypothesis import strategies as st

from tidewire.model.relation import PgType

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
"""Anything a text column can hold."""

_word = st.text("abcxyz", min_size=1, max_size=6)
_small = st.integers(-1000, 1000)
_coordinate = st.one_of(_small.map(str), st.floats(-1e6, 1e6, allow_nan=False).map(repr))
_point = st.builds("({},{})".format, _coordinate, _coordinate)
_zone = st.sampled_from(["+00", "+05:30", "-11", "+14", "-00:30"])
_date = st.builds("{:04d}-{:02d}-{:02d}".format, st.integers(1, 9999), st.integers(1, 12), st.integers(1, 28))
_far_date = st.builds("{}-{:02d}-{:02d}".format, st.integers(10_000, 290_000), st.integers(1, 12), st.integers(1, 28))
_clock = st.times().map(str)
_ancient = st.builds("{:04d}-{:02d}-{:02d} {{}}BC".format, st.integers(1, 4700), st.integers(1, 12), st.integers(1, 28))
_infinite = st.sampled_from(["infinity", "-infinity"])
_moment = st.builds("{} {}".format, st.one_of(_date, _far_date), _clock) | st.builds(
    str.format, _ancient, _clock.map("{} ".format)
)
_not_a_number = st.sampled_from(["NaN", "Infinity", "-Infinity"])
_numeric = (
    st.decimals(allow_nan=False, allow_infinity=False)
    .map(lambda number: f"{number:f}"[:900])
    .map(lambda text: text.rstrip(".") or "0")
)
_document = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
_json = st.builds(
    lambda document, indent, ascii_only: json.dumps(document, indent=indent, ensure_ascii=ascii_only),
    _document,
    st.sampled_from([None, 2, "\t"]),
    st.booleans(),
) | st.sampled_from(["1.10", "1e5", "-0", "12345678901234567890.1234567890", '{"a":\r\n1, "a": 2.50}', " [ ] "])


def _between(low: str, high: str) -> str:
    return f"[{low},{high})"


def _ordered(values: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(values, values).map(lambda pair: (min(pair), max(pair)))


_int_range = _ordered(_small).map(lambda pair: _between(str(pair[0]), str(pair[1])))
_range = st.one_of(st.just("empty"), _int_range, _small.map(lambda low: f"({low},)"))
_day_range = _ordered(st.integers(1, 28)).map(
    lambda days: _between(f"2024-02-{days[0]:02d} 10:00", f"2024-02-{days[1]:02d} 11:00")
)
_network = st.ip_addresses().map(lambda address: f"{address}/{address.max_prefixlen}")

SCALARS: dict[str, st.SearchStrategy[str]] = {
    "int2": st.integers(-(2**15), 2**15 - 1).map(str),
    "int4": st.integers(-(2**31), 2**31 - 1).map(str),
    "int8": st.integers(-(2**63), 2**63 - 1).map(str),
    "numeric": _numeric | _not_a_number,
    "float4": st.floats(width=32).map(str).map(str.capitalize),
    "float8": st.floats().map(str).map(str.capitalize),
    "bool": st.sampled_from(["true", "false"]),
    "text": TEXT,
    "varchar": TEXT,
    "bpchar": TEXT,
    "char": st.sampled_from(["", "a", '"', "\\", " "]),
    "name": TEXT,
    "uuid": st.uuids().map(str),
    "bytea": st.binary(max_size=20).map(lambda value: "\\x" + value.hex()),
    "oid": st.integers(0, 2**32 - 1).map(str),
    "regclass": st.sampled_from(["pg_class", "pg_catalog.pg_type", "information_schema.tables"]),
    "date": st.one_of(_date, _far_date, _ancient.map(lambda text: text.format("")), _infinite),
    "time": _clock,
    "timetz": st.builds("{}{}".format, _clock, _zone),
    "timestamp": _moment | _infinite,
    "timestamptz": st.one_of(_moment, _infinite, st.builds("{} {}{}".format, _date, _clock, _zone)),
    "interval": st.builds("{} mons {} days {} secs {} microseconds".format, _small, _small, _small, _small),
    "json": _json,
    "jsonb": _json.filter(lambda text: "\\u0000" not in text),
    "inet": _network | st.ip_addresses().map(str),
    "cidr": _network,
    "macaddr": st.binary(min_size=6, max_size=6).map(lambda value: value.hex(":")),
    "money": st.integers(-(10**9), 10**9).map(lambda cents: f"{cents / 100:.2f}"),
    "bit": st.text("01", min_size=9, max_size=9),
    "varbit": st.text("01", max_size=20),
    "tsvector": st.lists(_word, max_size=4).map(" ".join),
    "pg_lsn": st.integers(0, 2**64 - 1).map(lambda lsn: f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"),
    "xid": st.integers(0, 2**32 - 1).map(str),
    "tid": st.builds("({},{})".format, st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1)),
    "xml": _word.map("<a b='\"'>{}</a>".format),
    "point": _point,
    "box": st.builds("{},{}".format, _point, _point),
    "circle": st.builds("<{},{}>".format, _point, st.integers(0, 100)),
    "polygon": st.lists(_point, min_size=1, max_size=4).map(lambda points: f"({','.join(points)})"),
    "int2vector": st.lists(_small.map(str), max_size=5).map(" ".join),
    "oidvector": st.lists(st.integers(0, 2**32 - 1).map(str), max_size=5).map(" ".join),
    "int4range": _range,
    "int8range": _range,
    "numrange": _range,
    "tsrange": _day_range,
    "tstzrange": _day_range,
    "int4multirange": st.lists(_range, max_size=3).map(lambda parts: f"{{{','.join(parts)}}}"),
    "tstzmultirange": st.lists(_day_range, max_size=3).map(lambda parts: f"{{{','.join(parts)}}}"),
}
"""By the name in pg_type."""


def literals(type_: PgType, labels: Sequence[str] = ()) -> st.SearchStrategy[str]:
    """Return a strategy for values of this type; enums draw from `labels`."""
    if type_.kind == "enum":
        return st.sampled_from(labels)
    if type_.kind == "domain" and type_.base is not None:
        return literals(type_.base, labels)
    if type_.kind == "array" and type_.element is not None:
        return _arrays(literals(type_.element, labels), type_.delimiter)
    if type_.kind == "composite":
        fields = [st.none() | literals(part, labels) for _, part in type_.attributes]
        return st.tuples(*fields).map(_row_literal)
    return SCALARS[type_.name]


@st.composite
def _arrays(draw: st.DrawFn, elements: st.SearchStrategy[str], delimiter: str) -> str:
    """One to three dimensions, sometimes with explicit bounds; an array without elements has none."""
    lengths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    if draw(st.sampled_from([True, False, False, False, False])):
        return "{}"
    bounds = ""
    if draw(st.booleans()):
        lows = [draw(st.integers(-2, 2)) for _ in lengths]
        bounds = "".join(f"[{low}:{low + length - 1}]" for low, length in zip(lows, lengths, strict=True)) + "="

    def part(depth: int) -> str:
        if depth == len(lengths):
            element = draw(st.none() | elements)
            return "NULL" if element is None else _quoted(element)
        return f"{{{delimiter.join(part(depth + 1) for _ in range(lengths[depth]))}}}"

    return bounds + part(0)


def _row_literal(values: tuple[str | None, ...]) -> str:
    return f"({','.join('' if value is None else _quoted(value) for value in values)})"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
