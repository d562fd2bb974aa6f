from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint, verify_checkpoint
from ledger.errors import InputError, VerificationError
from ledger.keys import Ed25519Signer
from ledger.merkle import MAX_TREE_SIZE
from ledger.note import TYPE_ED25519, Note, VerifierKey, format_note, parse_note, parse_vkey
from ledger.successor import (
    SUCCESSOR,
    Successor,
    format_successor,
    parse_successor,
    sign_successor,
    successor_fault,
    verify_successor,
)

VECTORS = Path(__file__).parents[1] / "vectors"
ORIGIN = "ledger.example/test"
LOG, STRANGER = (Ed25519Signer.from_seed(bytes([n]) * 32) for n in (1, 2))
VKEY = VerifierKey(ORIGIN, TYPE_ED25519, LOG.public.raw)
GOOD = Successor(ORIGIN, "ab" * 16, 5, bytes(range(32)), "cd" * 16, "postgresql://u:***@host/db?schema=s")
NOTE = sign_successor(GOOD, LOG)
hexes = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
places = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=100)
successors = st.builds(
    Successor, st.just(ORIGIN), hexes, st.integers(1, MAX_TREE_SIZE), st.binary(min_size=32, max_size=32), hexes, places
)


def test_the_vector():
    vectors = json.loads((VECTORS / "successor.json").read_text())
    vkey = parse_vkey(json.loads((VECTORS / "checkpoint.json").read_text())["vkey"])
    found = verify_successor(vectors["note"].encode(), [vkey])
    assert format_successor(found) == vectors["text"]
    assert (found.size, found.copy, found.place) == (vectors["size"], vectors["copy"], vectors["store"])


@given(successors)
def test_every_note_comes_back(successor):
    assert parse_successor(format_successor(successor)) == successor
    assert verify_successor(sign_successor(successor, LOG), [VKEY]) == successor


def test_it_is_no_checkpoint_and_no_checkpoint_is_one():
    """One key signs both kinds, so neither may ever be read as the other."""
    with pytest.raises(InputError):
        verify_checkpoint(NOTE, [VKEY])
    with pytest.raises(InputError):
        parse_checkpoint(parse_note(NOTE).text)
    head = sign_checkpoint(Checkpoint(ORIGIN, 5, bytes(32)), LOG)
    with pytest.raises(VerificationError):
        verify_successor(head, [VKEY])
    with pytest.raises(InputError):  # its first line is the origin of no log
        sign_checkpoint(Checkpoint(SUCCESSOR, 5, bytes(32)), LOG)


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "with space"},
        {"ledgerid": "AB" * 16},
        {"ledgerid": "ab"},
        {"size": 0},
        {"size": -1},
        {"root": bytes(31)},
        {"root": bytes(33)},
        {"copy": ""},
        {"place": ""},
        {"place": "two\nlines"},
        {"place": "escape \x1b[2J"},
        {"place": "x" * 1025},
    ],
    ids=str,
)
def test_a_malformed_field_is_not_written(change):
    with pytest.raises(InputError):
        format_successor(replace(GOOD, **change))


def test_any_other_spelling_is_refused():
    lines = format_successor(GOOD).splitlines(keepends=True)
    wrong = [
        "".join(lines[:-1]),
        "".join([*lines, "more x\n"]),
        "".join([*lines[:2], lines[3], lines[2], *lines[4:]]),
        "".join(lines).replace("v1", "v2"),
        "".join(lines).replace("size 5", "size 05"),
        "".join(lines).replace("size 5", "size  5"),
        "".join(lines).replace("root ", "root !"),
        "".join(lines).rstrip("\n"),
        "",
    ]
    for text in wrong:
        with pytest.raises(InputError):
            parse_successor(text)


def test_only_the_logs_own_key_counts():
    parsed = parse_note(NOTE)
    stranger = parse_note(sign_successor(GOOD, STRANGER)).signatures
    other = VerifierKey("ledger.example/other", TYPE_ED25519, LOG.public.raw)
    for note, keys in (
        (sign_successor(GOOD, STRANGER), [VKEY]),
        (NOTE, []),
        (NOTE, [other]),
        (format_note(Note(parsed.text, (*parsed.signatures, *stranger))), [VKEY]),
        (NOTE.replace(b"size 5", b"size 6"), [VKEY]),
        (b"", [VKEY]),
    ):
        with pytest.raises(VerificationError) as caught:
            verify_successor(note, keys)
        assert caught.value.fault == "checkpoint"


def test_what_a_verification_says_of_it():
    found = (GOOD.ledgerid, GOOD.size, GOOD.root)
    assert successor_fault(None, VKEY, found) is None
    assert successor_fault((GOOD.place, NOTE), VKEY, found) is None
    assert "another root" in (successor_fault((GOOD.place, NOTE), VKEY, (GOOD.ledgerid, 6, GOOD.root)) or "")
    assert "another successor" in (successor_fault(("elsewhere", NOTE), VKEY, found) or "")
    assert "is bad" in (successor_fault((GOOD.place, b"x"), VKEY, found) or "")
