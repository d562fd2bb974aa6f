"""How recently somebody outside said anything about a log."""

from __future__ import annotations

import pytest

from ledger.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from ledger.cosignature import add_lines
from ledger.errors import VerificationError
from ledger.findings import Witnessed
from ledger.freshness import Word, stale, words_in, words_of
from ledger.keys import Ed25519Signer
from ledger.note import TYPE_COSIGNATURE, VerifierKey, format_vkey
from ledger.witnesspolicy import parse_policy

NOW = 2_000_000_000
KEYS = [Ed25519Signer.from_seed(bytes([n]) * 32) for n in range(3)]
VKEYS = [VerifierKey(f"w{n}.example", TYPE_COSIGNATURE, key.public.raw) for n, key in enumerate(KEYS)]
POLICY = parse_policy(
    b"".join(b"witness w%d %s\n" % (n, format_vkey(VKEYS[n]).encode()) for n in (0, 1)) + b"quorum w0\n"
)


@pytest.mark.parametrize(
    ("times", "max_age", "words"),
    [
        ([], 10**9, "no witness"),
        ([NOW - 60], 60, None),
        ([NOW - 61], 60, "61 s ago"),
        ([NOW - 500, NOW - 59], 60, None),
        ([NOW + 300], 0, None),
        ([NOW + 301], 10**9, "no witness"),  # a clock far ahead would keep a log fresh for ever
        ([NOW + 10**6, NOW - 61], 60, "61 s ago"),
    ],
)
def test_the_last_word_counts_and_none_from_the_future(times: list[int], max_age: int, words: str | None):
    gap = stale([Word("somebody", time) for time in times], max_age, NOW)
    assert gap is None if words is None else gap is not None and words in gap.message


def test_only_witnesses_of_the_policy_count():
    witnessed = {vkey: Witnessed(5, NOW + n) for n, vkey in enumerate(VKEYS)}
    assert words_of(witnessed, POLICY) == [Word("the witness w0", NOW), Word("the witness w1", NOW + 1)]
    assert words_of(witnessed, None) == []


def test_a_note_tells_by_its_cosignatures():
    log = Ed25519Signer.from_seed(b"\x09" * 32)
    head = Checkpoint("ledger.example/x", 5, bytes(32))
    note = sign_checkpoint(head, log)
    text = note.partition(b"\n\n")[0].decode() + "\n"
    lines = [cosign_checkpoint(text, KEYS[n], VKEYS[n].name, NOW + n) for n in (0, 2)]
    assert words_in(add_lines(note, lines), POLICY) == [Word("the witness w0", NOW)]
    assert words_in(note, POLICY) == []
    other = cosign_checkpoint(text.replace("\n5\n", "\n6\n"), KEYS[1], VKEYS[1].name, NOW)
    with pytest.raises(VerificationError):
        words_in(add_lines(note, [other]), POLICY)
