"""The published schemas: made by their tool, never changed, and true of what we append."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from ledger.creation import create_ledger
from ledger.entry import format_entry
from ledger.events import all_event_types

ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "schemas"


def _tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "gen_schemas.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_committed_schemas_are_what_the_tool_makes():
    result = _tool("--check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_published_schemas_have_not_changed():
    published = json.loads((SCHEMAS / "PUBLISHED.json").read_text())
    found = {path: hashlib.sha256((SCHEMAS / path).read_bytes()).hexdigest() for path in published}
    assert found == published


def test_every_event_type_has_one_file_and_no_file_is_left_over():
    wanted = {f"{kind.name}.v{kind.version}.json" for kind in all_event_types()}
    assert {path.name for path in (SCHEMAS / "events").iterdir()} == wanted


@pytest.mark.parametrize("path", sorted(SCHEMAS.rglob("*.json")), ids=lambda path: path.name)
def test_every_schema_is_itself_valid(path: Path):
    if path.name != "PUBLISHED.json":
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_appended_events_and_entries_fit_their_schemas(tmp_path: Path):
    new = create_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", "example.com/log")
    new.ledger.emit("dataset.registered", "dataset:tx@1", digest="sha256:" + "a" * 64, row_count=3)
    new.ledger.emit("monitor.signal", "monitor:m", metric="auc", value=0.5)
    entry_schema = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "entry" / "v1.json").read_text()))
    rows = new.ledger.recorder.rows(0, 10)
    assert len(rows) == 4
    for row in rows:
        name = row.entry.type.removeprefix("muniment.") + ".json"
        schema = json.loads((SCHEMAS / "events" / name).read_text())
        assert row.payload is not None
        jsonschema.Draft202012Validator(schema).validate(json.loads(row.payload))
        entry_schema.validate(json.loads(format_entry(row.entry)))
    new.ledger.close()


def test_a_schema_refuses_a_body_that_the_ledger_refuses():
    schema = json.loads((SCHEMAS / "events" / "approval.granted.v1.json").read_text())
    validator = jsonschema.Draft202012Validator({**schema["properties"]["data"], "$defs": schema.get("$defs", {})})
    good = {
        "environment": "prod",
        "digest": "sha256:" + "a" * 64,
        "request": "00000000-0000-7000-8000-000000000000",
        "rationale": "seen",
    }
    validator.validate(good)
    for bad in ({**good, "digest": "sha256:xyz"}, {**good, "surprise": 1}, {"environment": "prod"}):
        assert list(validator.iter_errors(bad)), bad
