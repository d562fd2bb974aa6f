from __future__ import annotations

import base64
import dataclasses
import json
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.checkpoint import Checkpoint, sign_checkpoint, signed_by
from ledger.errors import AuthenticationError, InputError, VerificationError
from ledger.keys import Ed25519Signer
from ledger.merkle import MAX_TREE_SIZE, leaf_hash, prove_inclusion, root_hash
from ledger.note import MAX_NOTE, TYPE_ED25519, VerifierKey, parse_vkey
from ledger.proof import MAX_EXTRA, MAX_PROOF, MAX_PROOF_HASHES, Proof, format_proof, parse_proof, verify_proof
from tests.unit.reference_merkle import MemoryTree

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "proof.json").read_text())
ORIGIN = "ledger.example/test"
LOG = Ed25519Signer.from_seed(b"\x01" * 32)
VKEY = VerifierKey(ORIGIN, TYPE_ED25519, LOG.public.raw)
ENTRIES = [b"entry %d" % number for number in range(20)]
TREE = MemoryTree([leaf_hash(entry) for entry in ENTRIES])


def note_of(size: int) -> bytes:
    return sign_checkpoint(Checkpoint(ORIGIN, size, root_hash(TREE, size)), LOG)


def proof_of(index: int, size: int, extra: bytes | None = None) -> Proof:
    return Proof(index, prove_inclusion(TREE, index, size), note_of(size), extra)


NOTE = note_of(13)
GOOD = format_proof(proof_of(5, 13))
hashes = st.lists(st.binary(min_size=32, max_size=32), max_size=MAX_PROOF_HASHES).map(tuple)
proofs = st.builds(
    Proof, st.integers(0, MAX_TREE_SIZE), hashes, st.just(NOTE), st.none() | st.binary(min_size=1, max_size=50)
)


@pytest.mark.parametrize("case", VECTORS["proofs"], ids=lambda case: str(case["index"]))
def test_vectors(case):
    data = case["file"].encode()
    index, checkpoint = verify_proof(data, case["entry"].encode(), signed_by(parse_vkey(VECTORS["vkey"])))
    assert (index, checkpoint.size, checkpoint.root.hex()) == (case["index"], 3, VECTORS["root"])
    assert format_proof(parse_proof(data)) == data


@given(proofs)
def test_every_proof_comes_back(proof):
    assert parse_proof(format_proof(proof)) == proof


@pytest.mark.parametrize("size", range(1, 21))
def test_every_entry_of_small_trees(size):
    for index in range(size):
        data = format_proof(proof_of(index, size, b"anything"))
        head = Checkpoint(ORIGIN, size, root_hash(TREE, size))
        assert verify_proof(data, ENTRIES[index], signed_by(VKEY)) == (index, head)


def test_another_entry_is_refused():
    for entry in (ENTRIES[4], ENTRIES[5] + b" ", b"", leaf_hash(ENTRIES[5])):
        with pytest.raises(VerificationError) as caught:
            verify_proof(GOOD, entry, signed_by(VKEY))
        assert (caught.value.fault, caught.value.index) == ("proof", 5)


def test_every_changed_byte_is_refused():
    data = format_proof(proof_of(5, 13))
    for at in range(len(data)):
        for change in (1, 0x20):
            bad = bytearray(data)
            bad[at] ^= change
            with pytest.raises((InputError, VerificationError, AuthenticationError)):
                verify_proof(bytes(bad), ENTRIES[5], signed_by(VKEY))


def test_every_line_dropped_doubled_or_swapped_is_refused():
    lines = GOOD.split(b"\n")
    for at in range(len(lines) - 1):
        for changed in (
            lines[:at] + lines[at + 1 :],
            lines[: at + 1] + lines[at:],
            [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
        ):
            if changed == lines or (at == len(lines) - 2 and len(changed) > len(lines)):
                continue  # nothing changed; or the log's signature line stands twice, which says nothing new
            with pytest.raises((InputError, VerificationError, AuthenticationError)):
                verify_proof(b"\n".join(changed), ENTRIES[5], signed_by(VKEY))


def test_extra_is_carried_and_vouched_for_by_nobody():
    data = format_proof(proof_of(5, 13, b"one"))
    other = data.replace(base64.b64encode(b"one"), base64.b64encode(b"two"))
    assert parse_proof(other).extra == b"two"
    assert verify_proof(other, ENTRIES[5], signed_by(VKEY)) == verify_proof(data, ENTRIES[5], signed_by(VKEY))


def test_the_checkpoint_must_be_signed_by_a_key_we_know():
    stranger = VerifierKey(ORIGIN, TYPE_ED25519, Ed25519Signer.from_seed(b"\x02" * 32).public.raw)
    for keys in ([], [stranger]):
        with pytest.raises(AuthenticationError):
            verify_proof(GOOD, ENTRIES[5], signed_by(*keys))


HEAD, HASHES = GOOD.split(b"index 5\n")[0], GOOD.split(b"index 5\n")[1].split(b"\n\n")[0] + b"\n\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        GOOD + b"\n",
        GOOD[:-1],
        b"\n" + GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"@v1", b"@v2"),
        GOOD.replace(b"\n", b"\r\n"),
        HEAD + HASHES + NOTE,
        HEAD + b"index 05\n" + HASHES + NOTE,
        HEAD + b"index -5\n" + HASHES + NOTE,
        HEAD + b"index  5\n" + HASHES + NOTE,
        HEAD + b"index 5 \n" + HASHES + NOTE,
        HEAD + b"index 9223372036854775808\n" + HASHES + NOTE,
        HEAD + b"index " + b"9" * 5000 + b"\n" + HASHES + NOTE,
        HEAD + b"index 5\nextra eA==\n" + HASHES + NOTE,
        HEAD + b"extra eA==\nextra eA==\nindex 5\n" + HASHES + NOTE,
        HEAD + b"extra \nindex 5\n" + HASHES + NOTE,
        HEAD + b"extra eA\nindex 5\n" + HASHES + NOTE,
        HEAD + b"extra eB==\nindex 5\n" + HASHES + NOTE,
        HEAD + b"index 5\nAAAA\n" + HASHES + NOTE,
        HEAD + b"index 5\n!\n" + HASHES + NOTE,
        HEAD + b"index 5\n" + HASHES + b"\n" + NOTE,
        HEAD + b"index 5\n" + HASHES + b"no note",
        HEAD + b"index 5\n" + HASHES + NOTE.replace(b"\n13\n", b"\n013\n"),
        HEAD + b"index 5\n\xc3\xa9\n" + HASHES + NOTE,
    ],
    ids=count(),
)
def test_other_spellings_are_refused(data):
    with pytest.raises(InputError):
        parse_proof(data)


def test_limits():
    largest = Proof(MAX_TREE_SIZE, (bytes(32),) * MAX_PROOF_HASHES, NOTE, bytes(MAX_EXTRA))
    data = format_proof(largest)
    assert len(data) <= MAX_PROOF
    assert parse_proof(data) == largest
    for change in (
        {"extra": b""},
        {"extra": bytes(MAX_EXTRA + 1)},
        {"hashes": (bytes(32),) * (MAX_PROOF_HASHES + 1)},
        {"hashes": (bytes(31),)},
        {"index": -1},
        {"index": MAX_TREE_SIZE + 1},
        {"checkpoint_note": b""},
    ):
        with pytest.raises(InputError):
            format_proof(dataclasses.replace(largest, **change))
    with pytest.raises(InputError, match="at most"):
        parse_proof(bytes(MAX_PROOF + 1))
    with pytest.raises(InputError, match="ASCII lines"):
        parse_proof(bytes(MAX_PROOF))
    longest_note = NOTE + b"x" * (MAX_NOTE - len(NOTE))
    assert len(data) - len(NOTE) + len(longest_note) <= MAX_PROOF <= len(data) - len(NOTE) + len(longest_note) + 100


@pytest.mark.parametrize("other", ["9", "+", "/"])
@pytest.mark.parametrize("extra", [None, b"\xff" * 32])
def test_unused_bits_of_base64_are_zero(other: str, extra: bytes | None):
    """Some other spellings come behind the only one in the order of bytes, some before."""
    data = format_proof(Proof(5, (b"\xff" * 32,) if extra is None else (), NOTE, extra))
    head, empty, note = data.partition(b"\n\n")
    assert head.count(b"8=") == 1
    with pytest.raises(InputError, match="only form"):
        parse_proof(head.replace(b"8=", other.encode() + b"=") + empty + note)
