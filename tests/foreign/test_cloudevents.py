"""A payload is a CloudEvent that the CloudEvents SDK reads (structured mode, JSON format)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from ledger.envelope import PAYLOAD_TYPE, format_envelope, parse_envelope, sign_payload
from ledger.keys import Ed25519Signer
from ledger.names import format_source, parse_source
from ledger.strictjson import format_json, parse_json

KIND = "muniment.evaluation.completed.v1"
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "019b0000-0000-7000-8000-000000000001",
    "source": format_source("svc.ci"),
    "type": KIND,
    "subject": "model:credit/scoring@1.4.0",
    "time": "2026-11-23T08:00:00.123456Z",
    "datacontenttype": "application/json",
    "dataschema": f"urn:muniment:schema:{KIND}",
    "ledgerid": "6d756e696d656e742d766563746f7273",
    "nonce": "00112233445566778899aabbccddeeff",
    "emitter": "019b0000-0000-7000-8000-0000000000e1",
    "sequence": "0000000000000000042",
    "onbehalfof": format_source("p-7f3a"),
    "correlationid": "build-77",
    "causationid": "019b0000-0000-7000-8000-000000000000",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "evidencestrength": "observed",
}
DATA = {
    "metrics": {"auc": 0.91, "loss": 1e-7},
    "refs": [{"role": "input", "subject": "dataset:credit/loans@2026.1", "digest": f"sha256:{'ab' * 32}"}],
    "note": "Zürich \U0001f600",
}
PAYLOAD = format_json({**ATTRIBUTES, "data": DATA})


def assert_same(event: CloudEvent) -> None:
    attributes = dict(event.get_attributes())
    assert attributes.pop("time") == datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=UTC)
    assert attributes == {name: value for name, value in ATTRIBUTES.items() if name != "time"}
    assert event.get_data() == DATA


def test_the_sdk_reads_our_payload():
    event = JSONFormat().read(CloudEvent, PAYLOAD)
    assert isinstance(event, CloudEvent)
    assert_same(event)


def test_the_payload_of_an_envelope_is_a_structured_mode_http_message():
    signer = Ed25519Signer.from_seed(bytes(32))
    envelope = parse_envelope(format_envelope(sign_payload(PAYLOAD, [signer])))
    message = HTTPMessage(headers={"content-type": PAYLOAD_TYPE}, body=envelope.payload)
    event = from_http(message, JSONFormat(), CloudEvent)
    assert isinstance(event, CloudEvent)
    assert_same(event)


def test_what_the_sdk_writes_is_strict_json_with_the_same_values():
    written = JSONFormat().write(JSONFormat().read(CloudEvent, PAYLOAD))
    value = parse_json(json.dumps(json.loads(written), ensure_ascii=False).replace("1e-07", "1e-7").encode())
    assert value.pop("time").startswith("2026-11-23T08:00:00.123456")
    assert value == {**{name: text for name, text in ATTRIBUTES.items() if name != "time"}, "data": DATA}


def test_the_payloads_of_the_vectors_are_cloudevents():
    vectors = json.loads((Path(__file__).parents[1] / "vectors" / "envelope.json").read_text())
    for case in vectors["envelopes"]:
        event = JSONFormat().read(CloudEvent, case["payload"].encode())
        value = json.loads(case["payload"])
        assert event.get_id() == value["id"]
        assert event.get_type() == value["type"]
        assert event.get_subject() == value["subject"]
        assert event.get_data() == value["data"]
        assert event.get_dataschema() == f"urn:muniment:schema:{value['type']}"
        assert parse_source(event.get_source()) == value["source"].rpartition(":")[2]
        assert event.get_time().utcoffset().total_seconds() == 0


@pytest.mark.parametrize("missing", ["source", "type"])
def test_the_sdk_really_validates(missing):
    broken = format_json({name: value for name, value in ATTRIBUTES.items() if name != missing} | {"data": DATA})
    with pytest.raises(CloudEventValidationError):
        JSONFormat().read(CloudEvent, broken)
