"""The committed vectors are what the code makes, and what a script without the code makes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.entry import MAX_ENTRY, MAX_HEADER_STRING
from ledger.envelope import MAX_ENVELOPE, MAX_PAYLOAD, MAX_SIGNATURES
from ledger.events import find_event_type, load_body
from ledger.names import MAX_NAME_BYTES
from ledger.note import MAX_NOTE, MAX_NOTE_SIGNATURES
from ledger.payload import parse_payload
from ledger.proof import MAX_EXTRA, MAX_PROOF_HASHES
from ledger.strictjson import MAX_DEPTH
from ledger.tiles import MAX_BUNDLE_ENTRY

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
    assert result.stdout.startswith("tests/vectors/entry.json differs from what tools/gen_vectors.py makes")
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
    ("successor.json", "text"),
    ("successor.json", "copy"),
    ("strictjson.json", "canonical"),
    ("names.json", "stream"),
    ("witness.json", "request"),
    ("witness.json", "answer"),
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


FORMAT = (ROOT / "docs" / "FORMAT.md").read_text(encoding="utf-8")


def test_the_examples_of_the_format_document_are_the_vectors():
    examples = re.findall(r"<!-- vector: (\S+) (.+?) -->\n```\n(.*?\n)```\n", FORMAT, re.DOTALL)
    assert len(examples) == FORMAT.count("<!-- vector:") == 9
    for name, path, text in examples:
        value = json.loads((VECTORS / name).read_text())
        for step in path.split():
            value = value[int(step) if isinstance(value, list) else step]
        assert text == value.rstrip("\n") + "\n", path


LIMITS = {
    "payload": f"{MAX_PAYLOAD:,} bytes",
    "envelope": f"{MAX_ENVELOPE:,} bytes",
    "signatures in an envelope": f"1 to {MAX_SIGNATURES}",
    "entry": f"{MAX_ENTRY:,} bytes",
    "string column of an entry": f"1 to {MAX_HEADER_STRING} bytes",
    "name": f"{MAX_NAME_BYTES} bytes",
    "JSON depth": f"{MAX_DEPTH}",
    "entry in a bundle": f"{MAX_BUNDLE_ENTRY:,} bytes by format",
    "checkpoint": f"{MAX_NOTE:,} bytes, 1 to {MAX_NOTE_SIGNATURES} signatures",
    "hashes in an inclusion proof": f"{MAX_PROOF_HASHES}",
    "extra data of a proof file": f"{MAX_EXTRA:,} bytes",
}


@pytest.mark.parametrize("what", LIMITS)
def test_the_limits_of_the_format_document_are_those_of_the_code(what):
    assert f"| {what} | {LIMITS[what]} |" in FORMAT


def _hand_check(language: str) -> str:
    return re.findall(rf"<!-- run: {language} -->\n```\w+\n(.*?)```\n", FORMAT, re.DOTALL)[0]


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("spoiled", ["", "entry", "index", "hash", "root"])
def test_the_tree_is_checked_by_hand_as_the_format_document_says(tmp_path, number, spoiled):
    case = json.loads((VECTORS / "proof.json").read_text())["proofs"][number]
    lines = case["file"].split("\n")
    at = next(at for at, line in enumerate(lines) if line.startswith("index "))
    if spoiled == "index":
        lines[at] = f"index {(number + 1) % 3}"
    if spoiled == "hash":
        lines[at + 1] = lines[at + 1].translate(str.maketrans("abcdefgh", "bcdefgha"))
    if spoiled == "root":
        root = lines.index("3") + 1
        lines[root] = lines[root].translate(str.maketrans("abcdefgh", "bcdefgha"))
    (tmp_path / "x.tlog-proof").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "entry").write_text(case["entry"] + (" " if spoiled == "entry" else ""), encoding="utf-8")
    command = [sys.executable, "-c", _hand_check("python")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == ("NOT INCLUDED\n" if spoiled else "included\n")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")
@pytest.mark.parametrize("spoiled", [False, True])
def test_the_signature_is_checked_by_hand_as_the_format_document_says(tmp_path, spoiled):
    vectors = json.loads((VECTORS / "proof.json").read_text())
    text = vectors["proofs"][1]["file"]
    (tmp_path / "x.tlog-proof").write_text(text.replace("\n3\n", "\n4\n") if spoiled else text, encoding="utf-8")
    (tmp_path / "log.vkey").write_text(vectors["vkey"] + "\n")
    command = ["sh", "-ec", _hand_check("sh")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode == 0) is not spoiled, result.stderr
    assert ("Verified Successfully" in result.stdout) is not spoiled
