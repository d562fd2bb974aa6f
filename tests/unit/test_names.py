from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InputError
from ledger.names import Name, format_name, format_source, parse_actor, parse_name, parse_source, stream_of

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "names.json").read_text())

parts = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+\-]{0,20}", fullmatch=True)
kinds = st.from_regex(r"[a-z][a-z0-9\-]{0,31}", fullmatch=True)
some_names = st.builds(Name, kinds, st.none() | parts, parts, st.none() | parts)


@pytest.mark.parametrize("case", VECTORS["good"], ids=lambda case: case["text"][:40])
def test_good_names(case):
    name = parse_name(case["text"])
    assert name == Name(case["kind"], case["namespace"], case["name"], case["version"])
    assert format_name(name) == case["text"]
    assert stream_of(case["text"]) == case["stream"]


@pytest.mark.parametrize("text", VECTORS["bad"], ids=ascii)
def test_bad_names_have_no_parts_and_no_stream(text):
    with pytest.raises(InputError):
        parse_name(text)
    with pytest.raises(InputError):
        stream_of(text)


@given(some_names)
def test_every_name_comes_back(name):
    assert parse_name(format_name(name)) == name


@given(some_names)
def test_versions_of_one_thing_share_its_stream(name):
    bare = format_name(Name(name.kind, name.namespace, name.name, None))
    assert stream_of(format_name(name)) == bare


@given(st.text(alphabet=":/@.aA0-+_ é\n", max_size=15))
def test_any_text_is_one_name_or_refused(text):
    try:
        name = parse_name(text)
    except InputError:
        return
    assert format_name(name) == text


@pytest.mark.parametrize(
    "name",
    [
        Name("model", None, "a/b", None),  # would read back with a namespace
        Name("model", None, "a@1", None),  # would read back with a version
        Name("model", "", "a", None),
        Name("model", None, "a", ""),
        Name("m:x", None, "a", None),
        Name("model", "n" * 100, "a" * 100, None),
    ],
    ids=str,
)
def test_parts_that_would_move_a_border_are_not_written(name):
    with pytest.raises(InputError):
        format_name(name)


@pytest.mark.parametrize("text", VECTORS["actors_good"])
def test_good_actors(text):
    assert parse_actor(text) == text
    assert format_source(text) == f"urn:muniment:{text}"
    assert parse_source(f"urn:muniment:{text}") == text
    assert parse_name(f"actor:{text}").name == text


@pytest.mark.parametrize("text", VECTORS["actors_bad"], ids=ascii)
def test_bad_actors(text):
    for function, argument in ((parse_actor, text), (format_source, text), (parse_source, f"urn:muniment:{text}")):
        with pytest.raises(InputError):
            function(argument)


@pytest.mark.parametrize("text", ["root", "URN:muniment:root", "urn:other:root", "urn:muniment:", "urn:muniment"])
def test_sources_of_another_form(text):
    with pytest.raises(InputError):
        parse_source(text)
