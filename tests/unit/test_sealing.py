"""Sealed fields, and which types may be erased how far."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import ledger.domain
from ledger.domain.erasure import withheld_by
from ledger.domain.ledgerstate import ErasedWhole, LedgerState
from ledger.entry import Entry
from ledger.errors import InputError, VerificationError
from ledger.events import Category, Erasable, EventType, all_event_types, find_event_type
from ledger.sealing import (
    SealedField,
    data_at,
    find_sealed,
    named_keys,
    open_field,
    parse_sealed,
    replace_field,
    seal_field,
)
from ledger.strictjson import format_json

KEY, ID, NONCE = bytes(range(32)), "A" * 22, bytes(12)
PLACE = {"ledgerid": "ab" * 16, "event_id": "019b0000-0000-7000-8000-000000000002"}


def sealed(value: object = "Jo", path: str = "note") -> str:
    return seal_field(value, KEY, ID, NONCE, path=path, **PLACE)


def only(data: object) -> SealedField:
    (field,) = find_sealed(data)
    return field


@given(st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(), lambda x: st.lists(x, max_size=3)))
@settings(max_examples=50)
def test_what_was_sealed_is_opened(value: object) -> None:
    assert open_field(only({"note": sealed(value)}), KEY, **PLACE) == value


def test_the_bytes_are_those_of_the_format() -> None:
    """docs/FORMAT.md §24, by hand."""
    from base64 import urlsafe_b64encode

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    bound = "\n".join(("muniment sealed field v1", PLACE["ledgerid"], PLACE["event_id"], "note", ID)).encode()
    box = NONCE + AESGCM(KEY).encrypt(NONCE, b'"Jo"', bound)
    assert sealed() == f"sealed:v1:{ID}:{urlsafe_b64encode(box).decode().rstrip('=')}"


def test_a_field_opens_only_in_its_place_with_its_key() -> None:
    field = only({"note": sealed()})
    for other in (
        {"ledgerid": "cd" * 16, "event_id": PLACE["event_id"]},
        {"ledgerid": PLACE["ledgerid"], "event_id": PLACE["event_id"].replace("2", "3")},
    ):
        with pytest.raises(VerificationError):
            open_field(field, KEY, **other)
    for moved in (
        SealedField("other", ID, field.box),
        SealedField("note", "B" * 22, field.box),
        SealedField("note", ID, field.box[:-1] + bytes([field.box[-1] ^ 1])),
        SealedField("note", ID, field.box[:12]),
    ):
        with pytest.raises(VerificationError):
            open_field(moved, KEY, **PLACE)
    with pytest.raises(VerificationError):
        open_field(field, bytes(32), **PLACE)


@pytest.mark.parametrize(
    "text", ["", "sealed:v1:", f"sealed:v1:{ID}:short", f"sealed:v2:{ID}:" + "A" * 60, sealed() + "="]
)
def test_other_texts_are_no_sealed_fields(text: str) -> None:
    assert parse_sealed(text, "note") is None


def test_paths_lead_through_objects_and_lists() -> None:
    data = replace_field({"a": {"b": 1}}, "a.c.d", "x")
    assert data == {"a": {"b": 1, "c": {"d": "x"}}}
    assert (data_at(data, "a.c.d"), data_at(data, "a.x.d"), data_at(data, "a.b.d")) == ("x", None, None)
    found = find_sealed({"a": {"note": sealed()}, "list": [1, {"x": [sealed()]}], "n": 1})
    assert [field.path for field in found] == ["a.note", "list.1.x.0"]
    data = {"list": [{"x": 1, "y": 2}, [3]], "a": {"b": 1}}
    assert replace_field(data, "list.0.x", "z") == {"list": [{"x": "z", "y": 2}, [3]], "a": {"b": 1}}
    assert replace_field({"list": ({"x": 1}, 2)}, "list.1", "z") == {"list": [{"x": 1}, "z"]}
    assert (data_at(data, "list.1.0"), data_at(data, "list.1.1"), data_at(data, "list.x")) == (3, None, None)
    for path in ("", ".a", "a.", "a..b", "a.b.c", "list.2", "list.1.1", "list.x", "list.-1", "list.00", "list.\u0661"):
        with pytest.raises(InputError):
            replace_field(data, path, "x")


def _bodies_the_rules_read() -> set[str]:
    """Names of bodies that the domain imports: what judges, marks or folds an event reads them."""
    folder = Path(inspect.getfile(ledger.domain)).parent
    return {
        name.name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ledger.events.")
        for name in node.names
    }


def test_what_authority_and_legality_rest_on_is_never_whole() -> None:
    read = _bodies_the_rules_read()
    assert {"ApprovalGranted", "RunCompleted", "SubjectErased", "IncidentOpened"} <= read, "the look finds nothing"
    for kind in all_event_types():
        if kind.erasable is Erasable.WHOLE:
            assert kind.body.__name__ not in read, f"{kind.name}: the rules read it"
            assert kind.category in (Category.FACT, Category.PROTECTION), kind.name
        if kind.category is Category.AUTHORITY:
            assert kind.erasable is Erasable.NO, kind.name
    assert [kind.name for kind in all_event_types() if kind.erasable is Erasable.WHOLE] == [
        "access.denied", "external.observed", "incident.action_item_completed", "incident.action_item_created",
        "incident.action_item_verified", "incident.contributing_factor_recorded", "incident.mitigated",
        "incident.noted", "incident.resolved", "incident.root_cause_recorded", "labels.arrived", "monitor.signal",
        "monitor.window",
    ]  # fmt: skip


def test_the_data_keys_that_a_payload_names_are_found_however_they_are_spelled() -> None:
    other = seal_field("x", KEY, "B" * 22, NONCE, path="note", **PLACE)
    data: dict[str, Any] = {"a": {"note": f"he said {sealed()}, and {other}"}, "n": [1, None, {"x": []}]}
    assert named_keys(format_json(data)) == {ID, "B" * 22}
    assert named_keys(format_json({"data": {sealed(): True}})) == {ID}
    assert named_keys(format_json([[sealed()]]).replace(b"sealed", rb"s\u0065aled")) == {ID}
    assert named_keys(format_json([[sealed()]]).replace(ID[0].encode(), b"\\u%04x" % ord(ID[0]), 1)) == {ID}
    assert named_keys(b'{"a":"sealed:v1: begins so","b":"\\u0007"}') == set()
    assert named_keys(b"{}") == set()


def test_no_field_that_the_rules_read_may_be_sealed() -> None:
    """By the attributes of bodies that the domain's source reads, whatever they belong to."""
    folder = Path(inspect.getfile(ledger.domain)).parent
    read = {
        node.attr
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "body"
    }
    assert {"digest", "environment", "run", "owner", "tier"} <= read, "the look finds nothing"
    for kind in all_event_types():
        rules = {name for name in kind.personal if name in read}
        # A hold's reason and an enrolled actor's kind are read; they are of types that cannot be erased at all.
        assert rules <= {"reason", "kind"}, f"{kind.name}: {rules}"
        for fixed in ("seen", "evidence", "refs", "digest", "environment", "model", "request", "key", "roles"):
            if fixed in kind.body.model_fields:
                assert not kind.may_seal(fixed), f"{kind.name}.{fixed}"


def _refused_fields(kind: EventType, body: Mapping[str, Any]) -> set[Any]:
    """Fields of a body that its model refuses or misses."""
    try:
        kind.body.model_validate_json(json.dumps(body))
    except ValidationError as error:
        return {item["loc"][0] for item in error.errors() if item["loc"]}
    return set()


def test_every_field_that_is_declared_can_be_sealed() -> None:
    """The body's model takes a sealed text in its place; in a list, the item around it stays as it must be."""
    people = {"owners": ["x"], "stewards": ["x"], "custodians": ["x"]}
    items: dict[str, dict[str, Any]] = {
        "validation.completed": {"findings": [{"id": "F1", "severity": "low", "statement": "x"}]},
        "dataset.quality_assessed": {"assertions": [{"assertion": "not_null", "success": True}]},
        "model.registered": {"use_cases": ["claims"]},
        "model.described": {"use_cases": ["claims"]},
        "approval.changes_requested": {"changes": ["measure more"]},
        "dataset.registered": people,
        "dataset.versioned": people,
    }
    text = sealed("x" * 60)
    for kind in all_event_types():
        for path in kind.personal:
            names = path.replace("*", "0")
            assert kind.may_seal(names), f"{kind.name}.{path}"
            body = replace_field(items.get(kind.name, {}), names, text)
            assert names.partition(".")[0] not in _refused_fields(kind, body), f"{kind.name}.{path}"
    finding = find_event_type("validation.completed")
    for path in ("findings", "findings.0", "findings.0.id", "verdict"):
        assert not finding.may_seal(path), path


def test_a_record_excuses_only_the_entry_it_names() -> None:
    from types import MappingProxyType
    from typing import cast

    def entry(index: int, topic: str, stream: str) -> Entry:
        return Entry(
            actor="p-x", emitter="e", envelope="00" * 32, id="i", index=index, item=0, keys=("00" * 32,),
            ledgerid="ab" * 16, payload="00" * 32, prev="00" * 32, recorded_at=0, revision=1, sequence=1,
            stream=stream, subject=stream, type=topic,
        )  # fmt: skip

    class _State:
        withheld = MappingProxyType({(4, "incident:1"): ErasedWhole(9, "p-eraser", "basis")})

    state = cast("LedgerState", _State())
    good = withheld_by(state, entry(4, "muniment.incident.noted.v1", "incident:1"))
    assert good is not None
    assert good.text == "header as labelled by the operator; erased by p-eraser under basis (entry 9)"
    assert withheld_by(state, entry(5, "muniment.incident.noted.v1", "incident:1")) is None
    assert withheld_by(state, entry(4, "muniment.incident.noted.v1", "incident:2")) is None
    assert withheld_by(state, entry(4, "muniment.incident.opened.v1", "incident:1")) is None
    assert withheld_by(state, entry(4, "muniment.unknown.type.v1", "incident:1")) is None
    assert withheld_by(None, entry(4, "muniment.incident.noted.v1", "incident:1")) is None
