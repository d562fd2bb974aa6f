"""The committed vectors are what the code makes, and what a script without the code makes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.events import find_event_type, load_body
from ledger.payload import parse_payload

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
FILES = sorted(path.name for path in VECTORS.glob("*.json"))


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_generator_agrees_with_the_committed_files():
    result = run(ROOT / "tools" / "gen_vectors.py", "--check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_generator_notices_a_changed_file(tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "ledger", copy / "ledger")
    shutil.copytree(VECTORS, copy / "tests" / "vectors")
    shutil.copytree(ROOT / "tools", copy / "tools")
    path = copy / "tests" / "vectors" / "entry.json"
    path.write_text(path.read_text().replace('"item": 0', '"item": 1', 1))
    result = run(copy / "tools" / "gen_vectors.py", "--check")
    assert result.returncode == 1
    assert result.stdout.startswith("tests/vectors/entry.json is not what this code makes")
    assert result.stdout.count("\n") == 1


def test_the_standard_library_alone_reproduces_every_file():
    result = run("-I", "-S", VECTORS / "reproduce.py")
    assert result.returncode == 0, result.stdout + result.stderr
    assert FILES
    assert sorted(line.split()[1].rstrip(":") for line in result.stdout.splitlines()) == FILES
    assert all(line.startswith("ok ") for line in result.stdout.splitlines())


def test_the_payloads_are_events_of_the_catalogue():
    for case in json.loads((VECTORS / "envelope.json").read_text())["envelopes"]:
        payload = parse_payload(case["payload"].encode())
        load_body(find_event_type(payload.type), payload.data)


def _texts(value, path=()):
    """Every place in a vector file that holds a digest, a proof or bytes."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, (*path, name))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _texts(item, (*path, at))
    elif isinstance(value, str) and path[-1] != "about":
        yield path, value


SPOILED = [
    ("entry.json", "preimage"),
    ("entry.json", "leaf_hash"),
    ("entry.json", "payload"),
    ("entry.json", "prev"),
    ("envelope.json", "pae_hex"),
    ("envelope.json", "payload_sha256"),
    ("envelope.json", "envelope_sha256"),
    ("keys.json", "keyid"),
    ("keys.json", "1"),
    ("keys.json", "4"),
    ("merkle.json", "70000"),
    ("tiles.json", "sha256"),
    ("tiles.json", "path"),
    ("checkpoint.json", "text"),
    ("checkpoint.json", "vkey"),
    ("proof.json", "file"),
    ("proof.json", "root"),
    ("strictjson.json", "canonical"),
    ("names.json", "stream"),
]


@pytest.mark.parametrize(("name", "member"), SPOILED)
def test_the_script_notices_a_changed_vector(tmp_path, name, member):
    copy = shutil.copytree(VECTORS, tmp_path / "vectors")
    value = json.loads((copy / name).read_text())
    path, text = next((path, text) for path, text in _texts(value) if path[-1] == member)
    target = value
    for step in path[:-1]:
        target = target[step]
    at = len(text) // 3
    target[path[-1]] = text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
    (copy / name).write_text(json.dumps(value))
    result = run("-I", "-S", copy / "reproduce.py")
    assert result.returncode == 1
    assert f"BAD  {name}" in result.stdout
