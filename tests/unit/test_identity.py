"""The keys of a log: which head each of them signs, and what a verifier with pinned keys learns from a log."""

from __future__ import annotations

import pytest

from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.errors import AuthenticationError, TrustStateError, VerificationError
from ledger.identity import LogKey, LogKeys, Trust
from ledger.keys import Ed25519Signer
from ledger.note import TYPE_ED25519, VerifierKey
from ledger.trust import read_trust, write_trust

ORIGIN = "ledger.example/keys"
SIGNERS = [Ed25519Signer.from_seed(bytes([n]) * 32) for n in range(1, 5)]
VKEYS = [VerifierKey(ORIGIN, TYPE_ED25519, signer.public.raw) for signer in SIGNERS]
#: Changed at entry 4 (both sign), entry 9 (the old key is lost) and entry 11 (both sign).
KEYS = LogKeys((LogKey(VKEYS[0]), LogKey(VKEYS[1], 5), LogKey(VKEYS[2], 10, dual=False), LogKey(VKEYS[3], 12)))
PINNED = Trust("ab" * 16, ORIGIN, (VKEYS[0],), "cd" * 32)


def head(size: int, *signers: int) -> bytes:
    return sign_checkpoint(Checkpoint(ORIGIN, size, bytes([size % 251]) * 32), *(SIGNERS[n] for n in signers))


@pytest.mark.parametrize(
    ("size", "key"), [(0, 0), (1, 0), (4, 0), (5, 1), (9, 1), (10, 2), (11, 2), (12, 3), (2**63 - 1, 3)]
)
def test_each_size_has_its_key(size: int, key: int):
    assert KEYS.at(size) == VKEYS[key]
    assert KEYS.verify(head(size, key)).size == size
    for other in {0, 1, 2, 3} - {key}:
        with pytest.raises(AuthenticationError):
            KEYS.verify(head(size, other))


@pytest.mark.parametrize(
    ("before", "size", "keys"),
    [
        (0, 4, [0]), (4, 5, [1, 0]), (2, 8, [1, 0]), (5, 8, [1]), (8, 10, [2]), (9, 11, [2]), (11, 12, [3, 2]),
        (4, 10, [2, 0]), (4, 20, [3, 0, 2]), (12, 20, [3]),
    ],
)  # fmt: skip
def test_the_first_head_behind_a_change_needs_old_and_new(before: int, size: int, keys: list[int]):
    assert list(KEYS.needed(before, size)) == [VKEYS[n] for n in keys]
    assert KEYS.verify(head(size, *keys), before).size == size
    for missing in keys:
        with pytest.raises(AuthenticationError):
            KEYS.verify(head(size, *(n for n in range(4) if n != missing)), before)


def test_a_head_by_the_key_that_was_replaced_says_so():
    with pytest.raises(AuthenticationError, match=f"{VKEYS[0].key_hash.hex()}, which was replaced at entry 4"):
        KEYS.verify(head(5, 0))
    with pytest.raises(AuthenticationError, match=f"not signed by the old key {VKEYS[0].key_hash.hex()} too"):
        KEYS.verify(head(5, 1), 4)
    with pytest.raises(AuthenticationError, match="not signed by a known log key"):
        KEYS.verify(head(3, 1))


def test_a_wrong_line_of_the_old_key_is_no_signature():
    good, other = head(5, 1, 0).decode(), sign_checkpoint(Checkpoint(ORIGIN, 5, bytes(32)), SIGNERS[0]).decode()
    lines = good.splitlines()
    mixed = "\n".join([*lines[:5], other.splitlines()[4]]) + "\n"
    with pytest.raises(VerificationError, match="wrong signature"):
        KEYS.verify(mixed.encode(), 4)


def test_a_verifier_follows_from_what_is_pinned():
    followed = PINNED.follow(KEYS)
    assert followed.vkeys == tuple(VKEYS)
    assert followed.since == (0, 5, 10, 12)
    assert PINNED.follow(LogKeys(KEYS.keys[:1])) == PINNED
    assert followed.follow(LogKeys(KEYS.keys[:2])) == followed, "what was learned is not forgotten"
    assert PINNED.follow(LogKeys(KEYS.keys[:2])).follow(KEYS) == followed
    assert followed.verify_head(head(4, 0)).size == 4
    assert followed.verify_head(head(5, 1)).size == 5
    with pytest.raises(AuthenticationError, match="replaced at entry 4"):
        followed.verify_head(head(5, 0))
    assert PINNED.verify_head(head(5, 1, 0)).size == 5, "whoever knows the old key alone reads the head of both"


@pytest.mark.parametrize(
    "keys",
    [
        LogKeys((LogKey(VKEYS[1]),)),
        LogKeys((LogKey(VKEYS[0]), LogKey(VKEYS[2], 5))),
        LogKeys((LogKey(VKEYS[0]), LogKey(VKEYS[1], 6))),
    ],
)
def test_a_log_with_other_keys_is_not_followed(keys: LogKeys):
    with pytest.raises(VerificationError, match="another checkpoint key") as caught:
        PINNED.follow(LogKeys(KEYS.keys[:2])).follow(keys)
    assert (caught.value.fault, caught.value.index) == ("anchor", 0)


def test_a_log_that_lacks_a_change_contradicts_what_is_known_only_where_it_must_have_it():
    followed = PINNED.follow(KEYS)
    old = LogKeys(KEYS.keys[:1])
    assert followed.contradiction(old, 4) is None, "an old copy ends before the change"
    place, words = followed.contradiction(old, 5) or (None, "")
    assert place == 4
    assert "entry 4 changed the checkpoint key" in words
    assert followed.contradiction(KEYS, 100) is None
    place, words = followed.contradiction(LogKeys((LogKey(VKEYS[1]),)), 1) or (None, "")
    assert place == 0
    assert "does not list" in words
    assert PINNED.contradiction(KEYS, 100) is None, "keys that came since are no contradiction"


def test_the_trust_file_keeps_keys_and_sizes(tmp_path):
    path = tmp_path / "trust.json"
    write_trust(path, PINNED)
    assert b"since" not in path.read_bytes(), "as it always was, for as long as there is one key"
    followed = PINNED.follow(KEYS)
    write_trust(path, followed)
    assert read_trust(path) == followed
    text = path.read_text()
    for bad in ("[0,5,10]", "[0,5,5,12]", "[1,5,10,12]", '[0,5,10,"12"]', "[0,5,10,true]", "{}", "[0,12,10,5]", "[]"):
        path.write_text(text.replace("[0,5,10,12]", bad))
        with pytest.raises(TrustStateError, match="since must"):
            read_trust(path)


def test_a_pinned_identity_follows_what_the_log_proves_and_nothing_else():
    first, second, third, stranger = VKEYS

    def log(*changes: tuple[VerifierKey, int]) -> LogKeys:
        return LogKeys(tuple(LogKey(vkey, since) for vkey, since in changes))

    def pinned(*vkeys: VerifierKey, since: tuple[int, ...] = ()) -> Trust:
        return Trust("ab" * 16, ORIGIN, vkeys, "cd" * 32, since)

    one, two, three = log((first, 0)), log((first, 0), (second, 5)), log((first, 0), (second, 5), (third, 9))
    assert pinned(first).follow(one) == pinned(first)
    assert pinned(first).follow(two) == pinned(first, second, since=(0, 5))
    assert pinned(first).follow(three) == pinned(first, second, third, since=(0, 5, 9))
    known = pinned(first, second, since=(0, 5))
    assert known.follow(one) == known, "an old copy of the log tells less"
    assert known.follow(two) == known
    assert known.follow(three) == pinned(first, second, third, since=(0, 5, 9))
    by_hand = pinned(second, first)
    assert by_hand.follow(three) == by_hand, "written by hand: any of them signs"
    for trust, other in (
        (pinned(stranger), one), (pinned(first), log((stranger, 0))), (known, log((first, 0), (second, 6))),
        (known, log((first, 0), (third, 5))), (by_hand, log((stranger, 0))), (pinned(second), two),
    ):  # fmt: skip
        with pytest.raises(VerificationError) as caught:
            trust.follow(other)
        assert caught.value.fault == "anchor"


def test_the_key_that_signs_now_is_the_last():
    assert KEYS.current == VKEYS[3]
    assert LogKeys(KEYS.keys[:1]).current == VKEYS[0]


def test_pinned_keys_of_a_size():
    assert PINNED.keys_at(0) == PINNED.keys_at(99) == (VKEYS[0],)
    by_hand = Trust("ab" * 16, ORIGIN, tuple(VKEYS[:2]), "cd" * 32)
    assert by_hand.keys_at(1) == (VKEYS[0], VKEYS[1])
    followed = PINNED.follow(KEYS)
    assert [followed.keys_at(size) for size in (1, 4, 5, 10, 12, 99)] == [
        (VKEYS[n],) for n in (0, 0, 1, 2, 3, 3)
    ]  # fmt: skip
