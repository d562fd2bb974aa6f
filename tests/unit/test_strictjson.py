from __future__ import annotations

import json
import math
import re
import struct
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.errors import InputError
from ledger.strictjson import MAX_INTEGER, format_json, parse_json

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "strictjson.json").read_text())

# No integer-like doubles from 2^53 to 1e21: we refuse them on purpose, rfc8785 writes them.
doubles = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not MAX_INTEGER < abs(x) < 1e21)
texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | doubles | texts
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=30)


@pytest.mark.parametrize("case", VECTORS["good"], ids=lambda case: case["text"][:30])
def test_good_vectors_are_read_and_written_in_canonical_form(case):
    assert format_json(parse_json(case["text"].encode())).decode() == case["canonical"]


@pytest.mark.parametrize("case", VECTORS["bad"], ids=lambda case: f"{case['why']}-{case['hex'][:20]}")
def test_bad_vectors_are_refused(case):
    with pytest.raises(InputError):
        parse_json(bytes.fromhex(case["hex"]))


@pytest.mark.parametrize("case", VECTORS["numbers"], ids=lambda case: case["ieee754"])
def test_number_vectors(case):
    number = struct.unpack(">d", bytes.fromhex(case["ieee754"]))[0]
    if case["json"] is None:
        with pytest.raises(InputError):
            format_json(number)
    else:
        assert format_json(number).decode() == case["json"]


@given(values)
@example({"\U0001f600": 1, "\ufb33": 2, "€": 3})
@example([1e21, 1e-6, 1e-7, 123456789.125, 5e-324, -0.0])
def test_agrees_with_the_rfc8785_package(value):
    assert format_json(value) == rfc8785.dumps(value)


@given(doubles)
def test_a_double_is_written_so_that_it_comes_back(number):
    written = format_json(number)
    again = parse_json(written)
    assert again == number
    assert format_json(again) == written


@given(values)
def test_what_we_write_we_read_back_and_write_the_same(value):
    data = format_json(value)
    again = parse_json(data, max_depth=100)
    assert again == value
    assert format_json(again) == data


@given(st.binary(max_size=40) | texts.map(str.encode))
def test_any_bytes_are_read_or_refused_and_never_crash(data):
    try:
        value = parse_json(data)
    except InputError:
        return
    assert value == json.loads(data)


@given(st.from_regex(r"-?[0-9]{1,24}(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_a_number_is_accepted_only_in_the_one_spelling(token):
    try:
        value = parse_json(token.encode())
    except InputError:
        return
    assert format_json(value).decode() == token


@pytest.mark.parametrize("exponent", range(-8, 23))
@pytest.mark.parametrize("digits", ["1", "15", "1234567"])
def test_every_size_of_number_has_one_spelling(exponent: int, digits: str):
    """By definition: written out from 1e-6 up to 1e21, with an exponent beyond."""
    number = float(f"{digits[0]}.{digits[1:] or 0}e{exponent}")
    plain = format(Decimal(digits[0] + "." + (digits[1:] or "0")).scaleb(exponent), "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    mantissa = digits[0] + (f".{digits[1:]}" if digits[1:] else "")
    scientific = f"{mantissa}e{exponent:+d}"
    for sign in ("", "-"):
        good, bad = (plain, scientific) if -6 <= exponent < 21 else (scientific, plain)
        with pytest.raises(InputError):
            parse_json(f"{sign}{bad}".encode())
        if abs(number) < 2**53 or abs(number) >= 1e21:
            assert parse_json(f"{sign}{good}".encode()) == float(f"{sign}{number}")
            assert format_json(float(f"{sign}{number}")).decode() == f"{sign}{good}"


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("depth", [33, 1_000, 20_000, 200_000])
def test_deep_nesting_is_refused_without_a_crash(opening, depth):
    closing = "".join("]" if mark == "[" else "}" for mark in reversed(opening) if mark in "[{")
    with pytest.raises(InputError):
        parse_json((opening * depth + "1" + closing * depth).encode())


def test_depth_counts_containers_and_not_brackets_in_strings():
    assert parse_json(b'"' + b"[" * 100 + b'"') == "[" * 100
    assert parse_json(b"[" + b"[]," * 50 + b"1]")
    assert parse_json(b"[[]]", max_depth=2) == [[]]
    with pytest.raises(InputError, match="deeper than 1"):
        parse_json(b"[[]]", max_depth=1)
    with pytest.raises(InputError, match="deeper than 0"):
        parse_json(b"[]", max_depth=0)


def test_a_number_of_a_million_digits_is_refused_quickly():
    with pytest.raises(InputError, match=r"beyond 2\^53-1"):
        parse_json(b"9" * 1_000_000)


@pytest.mark.parametrize(
    "value",
    [
        *(2**53, -(2**53), 1e20, float(2**53), [2**64], math.nan, math.inf, -math.inf),
        *("\ud800", {"\udfff": 1}, {1: 2}, {None: 1}, b"x", object(), {"a": {1, 2}}),
    ],
    ids=count(),
)
def test_what_has_no_canonical_form_is_not_written(value):
    with pytest.raises(InputError):
        format_json(value)


def test_a_value_that_contains_itself_is_not_written():
    endless: list = []
    endless.append(endless)
    with pytest.raises(InputError, match="too deeply"):
        format_json(endless)


def test_a_tuple_is_written_as_a_list():
    assert format_json({"a": (1, ("x",), ())}) == b'{"a":[1,["x"],[]]}'


def test_true_and_one_stay_apart():
    assert format_json([True, 1, False, 0]) == b"[true,1,false,0]"


def test_the_error_names_what_was_read_and_the_culprit():
    with pytest.raises(InputError, match=r"^payload: the name 'twice' appears twice"):
        parse_json(b'{"a":{"twice":1,"twice":1}}', what="payload")
    with pytest.raises(InputError, match=r"'1\.0' must be written 1$"):
        parse_json(b"[1.0]")


@pytest.mark.parametrize(
    ("token", "written"),
    [
        ("1e20", "100000000000000000000"), ("1.5e20", "150000000000000000000"), ("1E21", "1e+21"),
        ("12e20", "1.2e+21"),
        ("1e-6", "0.000001"), ("0.0000001", "1e-7"), ("0.00000012", "1.2e-7"), ("1.0", "1"), ("10.0", "10"),
        ("-0", "0"), ("-0.0", "0"), ("1.50", "1.5"), ("15e-1", "1.5"), ("0.10", "0.1"), ("1e2", "100"),
        ("123e-5", "0.00123"),
    ],
)  # fmt: skip
def test_a_number_has_one_spelling_and_is_told(token: str, written: str):
    with pytest.raises(InputError, match=f"must be written {re.escape(written)}$"):
        parse_json(token.encode())
    if written not in ("100000000000000000000", "150000000000000000000"):
        assert format_json(parse_json(written.encode())) == written.encode()


def test_what_is_shown_of_a_long_number_is_cut():
    for digits, shown in ((60, "9" * 60), (61, "9" * 60 + "…")):
        with pytest.raises(InputError, match=f"^value: integer '{shown}' is beyond"):
            parse_json(b"9" * digits, what="value")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_written(number: float):
    with pytest.raises(InputError, match=r"^NaN and Infinity cannot be written as JSON$"):
        format_json(number)


@pytest.mark.parametrize("number", [2.0**53, 1e20, -1e20, math.nextafter(1e21, 0)])
def test_large_numbers_without_an_exponent_are_not_written(number: float):
    with pytest.raises(InputError, match="between 2\\^53 and 1e21"):
        format_json(number)
    assert format_json(1e21) == b"1e+21"
    assert format_json(2.0**53 - 1) == b"9007199254740991"
