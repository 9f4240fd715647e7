import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.model.relation import PgType
from tidewire.model.values import MAX_TYPE_DEPTH, json_encoder

BOOL = PgType(16, "bool")
BYTEA = PgType(17, "bytea")
INT8 = PgType(20, "int8")
INT2VECTOR = PgType(22, "int2vector")
INT4 = PgType(23, "int4")
TEXT = PgType(25, "text")
OID = PgType(26, "oid")
OIDVECTOR = PgType(30, "oidvector")
JSON = PgType(114, "json")
XML = PgType(142, "xml")
BOX = PgType(603, "box", delimiter=";")
FLOAT4 = PgType(700, "float4")
FLOAT8 = PgType(701, "float8")
BPCHAR = PgType(1042, "bpchar")
DATE = PgType(1082, "date")
TIMESTAMP = PgType(1114, "timestamp")
TIMESTAMPTZ = PgType(1184, "timestamptz")
BIT = PgType(1560, "bit")
NUMERIC = PgType(1700, "numeric")
JSONB = PgType(3802, "jsonb")
MOOD = PgType(16500, "mood", "enum")
SPAN = PgType(16501, "span", "range")
UNKNOWN = PgType(16502, "geometry")


def array_of(element: PgType) -> PgType:
    return PgType(17000 + element.oid, f"_{element.name}", "array", element=element, delimiter=element.delimiter)


def domain_over(base: PgType) -> PgType:
    return PgType(18000, f"my_{base.name}", "domain", base=base)


def composite(**attributes: PgType) -> PgType:
    return PgType(16600, "composite", "composite", attributes=tuple(attributes.items()))


PAIR = composite(a=INT4, b=TEXT)
NESTED = composite(pair=PAIR, pairs=array_of(PAIR), weight=FLOAT8)

GOOD: list[tuple[PgType, str, str]] = [
    (INT8, "9223372036854775807", "9223372036854775807"),
    (INT8, "-1", "-1"),
    (NUMERIC, "1.5000", "1.5000"),
    (NUMERIC, "1" * 400 + ".50", "1" * 400 + ".50"),
    (NUMERIC, "NaN", "null"),
    (FLOAT8, "1e+20", "1e+20"),
    (FLOAT8, "-Infinity", "null"),
    (FLOAT4, "Infinity", "null"),
    (domain_over(FLOAT8), "NaN", "null"),
    (BOOL, "t", "true"),
    (BOOL, "f", "false"),
    (TEXT, 'a"b\\c\n\u2028é', '"a\\"b\\\\c\\n\u2028é"'),
    (TEXT, "", '""'),
    (BPCHAR, "ab   ", '"ab   "'),
    (BIT, "10110", '"10110"'),
    (MOOD, "sad", '"sad"'),
    (SPAN, "[1,5)", '"[1,5)"'),
    (UNKNOWN, "0101", '"0101"'),
    (OID, "12345", '"12345"'),
    (XML, "<a b='\"'/>", '"<a b=\'\\"\'/>"'),
    (BYTEA, "\\xdeadbeef", '"deadbeef"'),
    (BYTEA, "\\x", '""'),
    (BYTEA, 'a\\\\b\\001"\\377', '"615c620122ff"'),
    (DATE, "0044-03-15 BC", '"0044-03-15 BC"'),
    (TIMESTAMP, "2024-02-29 13:01:02.123456", '"2024-02-29T13:01:02.123456"'),
    (TIMESTAMP, "0044-03-15 12:00:00 BC", '"0044-03-15T12:00:00 BC"'),
    (TIMESTAMP, "infinity", '"infinity"'),
    (TIMESTAMPTZ, "2024-02-29 13:01:02.5+00", '"2024-02-29T13:01:02.5+00:00"'),
    (TIMESTAMPTZ, "2024-02-29 13:01:02+05:30", '"2024-02-29T13:01:02+05:30"'),
    (TIMESTAMPTZ, "2024-02-29 13:01:02-05", '"2024-02-29T13:01:02-05:00"'),
    (TIMESTAMPTZ, "0800-01-01 00:17:30+00:17:30", '"0800-01-01T00:17:30+00:17:30"'),
    (TIMESTAMPTZ, "20000-01-01 00:00:00+00 BC", '"20000-01-01T00:00:00+00:00 BC"'),
    (TIMESTAMPTZ, "-infinity", '"-infinity"'),
    (JSONB, '{"a": [1, 2.50]}', '{"a": [1, 2.50]}'),
    (JSON, '{"a":\r\n 1.10}', '{"a":   1.10}'),
    (INT2VECTOR, "1 2 3", "[1,2,3]"),
    (OIDVECTOR, "1 2", '["1","2"]'),
    (INT2VECTOR, "", "[]"),
    (array_of(INT4), "{}", "[]"),
    (array_of(INT4), "{1,NULL,3}", "[1,null,3]"),
    (array_of(INT4), "[0:1]={1,2}", "[1,2]"),
    (array_of(INT4), "[-1:0][2:2]={{1},{NULL}}", "[[1],[null]]"),
    (array_of(FLOAT8), "{NaN,Infinity,1.5}", '["NaN","Infinity",1.5]'),
    (array_of(TEXT), '{a,NULL,"NULL",null,""}', '["a",null,"NULL","null",""]'),
    (array_of(TEXT), '{"a,b","{c}","d\\"e\\\\f"}', '["a,b","{c}","d\\"e\\\\f"]'),
    (array_of(BOX), "{(1,1),(0,0);(2,2),(1,1)}", '["(1,1),(0,0)","(2,2),(1,1)"]'),
    (array_of(BOX), "{{(1,1),(0,0)};{(2,2),(1,1)}}", '[["(1,1),(0,0)"],["(2,2),(1,1)"]]'),
    (array_of(BYTEA), '{"\\\\xdead",NULL}', '["dead",null]'),
    (array_of(TIMESTAMPTZ), '{"2024-02-29 13:01:02+00",infinity}', '["2024-02-29T13:01:02+00:00","infinity"]'),
    (array_of(domain_over(array_of(INT4))), '{"{1,2}","{3}"}', "[[1,2],[3]]"),
    (PAIR, '(1,"x ""y"" \\\\")', '{"a":1,"b":"x \\"y\\" \\\\"}'),
    (PAIR, "(,)", '{"a":null,"b":null}'),
    (PAIR, '(1,"")', '{"a":1,"b":""}'),
    (composite(a=TEXT), "()", '{"a":null}'),
    (composite(), "()", "{}"),
    (
        NESTED,
        '("(1,""a, b"")","{""(2,c)"",NULL}",NaN)',
        '{"pair":{"a":1,"b":"a, b"},"pairs":[{"a":2,"b":"c"},null],"weight":"NaN"}',
    ),
]

DAMAGED = [
    *(
        (INT8, text)
        for text in ("", " ", "1 ", "\n1", "01", "+1", "1.", ".5", "0x1", "1_0", "--1", "٣", "²", "nan", "1,2")
    ),
    (BOOL, "true"),
    (BYTEA, "\\400"),
    (BYTEA, "\\"),
    (TIMESTAMPTZ, 'x"'),
    *((JSON, text) for text in ("", "{", "NaN", "[1,]", '{"a" 1}', '"\\x"', "1 2", '"\\ud800"')),
    *(
        (array_of(INT4), text)
        for text in ("", "{", "}", "{1", "1}", "{1}}", "{1}{2}", "{{1}", "{,}}", '{"1}', '{"1"2}')
    ),
    *(
        (array_of(INT4), text)
        for text in ('{"1",}', '{,"1"}', '{"1"},', "[0:1]", "[0:1]=1", "{{1},}", "{{{{{{{1}}}}}}}")
    ),
    *(
        (PAIR, text)
        for text in ("", "(", ")", "(1)", "(1,2,3)", '(1,"a)', '(1,"a"b)', "(1,a)x", '(1,"\\a")', '(1,"a"))')
    ),
    (composite(), "(1)"),
]

TYPES = [BOOL, BYTEA, INT8, NUMERIC, FLOAT8, TEXT, JSON, TIMESTAMP, TIMESTAMPTZ, INT2VECTOR, OIDVECTOR, PAIR, NESTED]
TYPES += [array_of(type_) for type_ in (*TYPES, BOX)]

ANY_TEXT = st.text() | st.text('{}()[]",;:=\\ \n0123456789.+-eENULntruefals', max_size=30)


@pytest.mark.parametrize(("type_", "text", "expected"), GOOD, ids=lambda value: getattr(value, "name", value))
def test_a_value_becomes(type_: PgType, text: str, expected: str) -> None:
    assert json_encoder(type_)(text) == expected
    loads(expected)


@pytest.mark.parametrize(("type_", "text"), DAMAGED, ids=lambda value: getattr(value, "name", repr(value)))
def test_text_that_does_not_fit_its_type_becomes_a_string(type_: PgType, text: str) -> None:
    assert json_encoder(type_)(text) == json.dumps(text, ensure_ascii=False)


@given(st.sampled_from(TYPES), ANY_TEXT)
def test_any_text_becomes_valid_json_on_one_line(type_: PgType, text: str) -> None:
    encoded = json_encoder(type_)(text)
    loads(encoded)
    assert not {"\n", "\r"} & set(encoded)


@given(st.lists(st.none() | ANY_TEXT, min_size=1))
def test_an_array_of_texts_comes_back(items: list[str | None]) -> None:
    def written(item: str | None) -> str:
        return "NULL" if item is None else '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'

    assert loads(json_encoder(array_of(TEXT))(f"{{{','.join(map(written, items))}}}")) == items


@given(st.lists(st.none() | ANY_TEXT, min_size=1))
def test_a_composite_of_texts_comes_back(items: list[str | None]) -> None:
    def written(item: str | None) -> str:
        return "" if item is None else '"' + item.replace("\\", "\\\\").replace('"', '""') + '"'

    row = composite(**{f"a{place}": TEXT for place in range(len(items))})
    assert list(loads(json_encoder(row)(f"({','.join(map(written, items))})")).values()) == items


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, "{" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000])
@pytest.mark.parametrize("type_", [JSON, array_of(INT4), PAIR], ids=lambda type_: type_.name)
def test_deep_nesting_of_a_value_is_a_string(type_: PgType, text: str) -> None:
    assert loads(json_encoder(type_)(text)) == text


@pytest.mark.parametrize("levels", [MAX_TYPE_DEPTH + 1, 2000])
def test_deep_nesting_of_types_ends_in_a_string(levels: int) -> None:
    type_ = INT4
    for _ in range(levels):
        type_ = domain_over(type_)
    assert json_encoder(type_)("1") == '"1"'


def test_nesting_up_to_the_limit_is_followed() -> None:
    type_ = INT4
    for _ in range(MAX_TYPE_DEPTH):
        type_ = domain_over(type_)
    assert json_encoder(type_)("1") == "1"


@pytest.mark.parametrize("text", ['{"' + "\\\\" * 500_000, "{" + '"a",' * 200_000, '("' + '""' * 500_000])
def test_a_long_damaged_text_takes_no_longer_than_reading_it(text: str) -> None:
    for type_ in (array_of(TEXT), PAIR):
        assert loads(json_encoder(type_)(text)) == text


def test_attribute_names_are_escaped() -> None:
    row = PgType(16700, "row", "composite", attributes=(('a "b"\\\n{x}', INT4),))
    assert loads(json_encoder(row)("(1)")) == {'a "b"\\\n{x}': 1}


def test_a_users_type_that_borrows_a_name_is_not_mistaken() -> None:
    assert json_encoder(PgType(16800, "json", "enum"))("1") == '"1"'
    assert json_encoder(PgType(16801, "bool"))("t") == '"t"'


def test_types_with_missing_parts_are_strings() -> None:
    for kind in ("array", "domain", "range", "multirange", "enum", "base"):
        assert json_encoder(PgType(16900, "broken", kind))("{1}") == '"{1}"'


def test_an_encoder_is_chosen_once() -> None:
    assert json_encoder(array_of(PAIR)) is json_encoder(array_of(PAIR))


def loads(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=refuse)
