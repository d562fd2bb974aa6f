"""The trust file and the head last seen: damage is said and never counts as "nothing known yet"."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.durable import write_atomically
from ledger.errors import AuthenticationError, LedgerError, TrustStateError
from ledger.keys import Ed25519Signer
from ledger.note import TYPE_COSIGNATURE, TYPE_ED25519, VerifierKey, format_vkey
from ledger.trust import RememberedHead, Trust, TrustPin, read_trust, write_trust
from ledger.verified import VerifiedMark

ORIGIN = "ledger.example/trust"
KEY = Ed25519Signer.from_seed(b"k" * 32)
OTHER = Ed25519Signer.from_seed(b"o" * 32)
VKEY = VerifierKey(ORIGIN, TYPE_ED25519, KEY.public.raw)
TRUST = Trust("ab" * 16, ORIGIN, (VKEY, VerifierKey(ORIGIN, TYPE_ED25519, OTHER.public.raw)), "cd" * 32)


def note(size: int, key: Ed25519Signer = KEY, origin: str = ORIGIN) -> bytes:
    return sign_checkpoint(Checkpoint(origin, size, bytes([size % 256]) * 32), key)


# -- trust.json ------------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path: Path):
    path = tmp_path / "deep" / "trust.json"
    write_trust(path, TRUST)
    assert read_trust(path) == TRUST
    assert path.stat().st_mode & 0o777 == 0o600
    write_trust(path, TRUST)
    assert [item.name for item in path.parent.iterdir()] == ["trust.json"]


def test_what_the_file_said_before_it_was_written_again_is_not_taken_back(tmp_path: Path):
    """Muniment notes what it wrote last; an older trust.json that somebody puts back is another one."""
    path, later = tmp_path / "trust.json", replace(TRUST, vkeys=(*TRUST.vkeys[:1],))
    write_trust(path, TRUST)
    old = path.read_bytes()
    write_trust(path, later)
    TrustPin(path).check(later)
    path.write_bytes(old)
    put_back = read_trust(path)
    assert put_back == TRUST
    with pytest.raises(TrustStateError):
        TrustPin(path).check(put_back)
    assert TrustPin(path).recall() == (later,)


def test_no_file_is_nothing_known(tmp_path: Path):
    assert read_trust(tmp_path / "trust.json") is None


def test_every_flipped_byte_of_the_trust_file_is_an_error_or_another_identity(tmp_path: Path):
    path = tmp_path / "trust.json"
    write_trust(path, TRUST)
    good = path.read_bytes()
    errors = []
    for place in range(len(good)):
        for bit in (0x01, 0x20, 0x80):
            path.write_bytes(good[:place] + bytes([good[place] ^ bit]) + good[place + 1 :])
            try:
                assert read_trust(path) != TRUST, f"byte {place} flipped by {bit:#x} went unseen"
            except TrustStateError as error:
                errors.append(error)
    assert len(errors) > len(good) * 2
    assert all(error.hint and str(path) in error.message for error in errors)


def test_every_cut_of_the_trust_file_is_an_error(tmp_path: Path):
    path = tmp_path / "trust.json"
    write_trust(path, TRUST)
    good = path.read_bytes()
    for length in range(len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(TrustStateError):
            read_trust(path)
    path.write_bytes(good[:-1])  # an editor that ends no line
    assert read_trust(path) == TRUST


GOOD: dict[str, Any] = {
    "genesis": TRUST.genesis,
    "ledgerid": TRUST.ledgerid,
    "origin": ORIGIN,
    "vkeys": [format_vkey(VKEY)],
}


@pytest.mark.parametrize(
    "changes",
    [
        {"genesis": None}, {"genesis": 5}, {"genesis": ""}, {"genesis": "CD" * 32}, {"genesis": "cd" * 31},
        {"ledgerid": 5}, {"ledgerid": "../../../etc/passwd"}, {"ledgerid": "ab" * 17}, {"ledgerid": ["ab" * 16]},
        {"origin": None}, {"origin": "other.example/x"}, {"origin": ""},
        {"vkeys": []}, {"vkeys": {}}, {"vkeys": "x"}, {"vkeys": format_vkey(VKEY)}, {"vkeys": [5]}, {"vkeys": [None]},
        {"vkeys": [["x"]]}, {"vkeys": ["nonsense"]}, {"vkeys": 7}, {"vkeys": None},
        {"vkeys": [format_vkey(VKEY), "nonsense"]},
        {"vkeys": [format_vkey(VerifierKey(ORIGIN, TYPE_COSIGNATURE, KEY.public.raw))]},
        {"vkeys": [format_vkey(VerifierKey("other.example/x", TYPE_ED25519, KEY.public.raw))]},
        {"extra": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_trust_file_of_another_shape_is_an_error(tmp_path: Path, changes: dict[str, Any]):
    path = tmp_path / "trust.json"
    path.write_text(json.dumps(GOOD))
    assert read_trust(path) is not None
    path.write_text(json.dumps({**GOOD, **changes}))
    with pytest.raises(TrustStateError):
        read_trust(path)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_trust_file_without_a_part_is_an_error(tmp_path: Path, name: str):
    path = tmp_path / "trust.json"
    path.write_text(json.dumps({key: value for key, value in GOOD.items() if key != name}))
    with pytest.raises(TrustStateError):
        read_trust(path)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"null", b"[]", b'"x"', b"{}", b"\xff\xfe", b'{"a":1,"a":2}', b"{" * 9999]
)
def test_a_trust_file_that_is_none_is_an_error(tmp_path: Path, data: bytes):
    path = tmp_path / "trust.json"
    path.write_bytes(data)
    with pytest.raises(TrustStateError):
        read_trust(path)


def test_a_trust_file_that_cannot_be_read_is_an_error(tmp_path: Path):
    (tmp_path / "trust.json").mkdir()
    with pytest.raises(TrustStateError, match="cannot be read"):
        read_trust(tmp_path / "trust.json")


# -- the head last seen ----------------------------------------------------------------------------


def test_the_head_last_seen_only_grows(tmp_path: Path):
    head = RememberedHead(TRUST, tmp_path)
    assert head.recall() is None
    for size, kept in ((5, 5), (3, 5), (5, 5), (9, 9), (0, 9)):
        head.remember(note(size))
        assert head.recall() == Checkpoint(ORIGIN, kept, bytes([kept]) * 32)
    head.remember(note(10, OTHER))
    assert head.recall().size == 10
    assert head.path.stat().st_mode & 0o777 == 0o600
    assert head.path.is_relative_to(tmp_path)
    assert RememberedHead(TRUST, tmp_path).recall().size == 10


def test_ledgers_are_remembered_apart(tmp_path: Path):
    one, other = RememberedHead(TRUST, tmp_path), RememberedHead(Trust("ef" * 16, ORIGIN, (VKEY,), "00" * 32), tmp_path)
    one.remember(note(7))
    assert other.recall() is None


@pytest.mark.parametrize(
    "bad", [note(6, Ed25519Signer.from_seed(b"x" * 32)), note(6, KEY, "other.example/x"), b"", b"hello"], ids=str
)
def test_a_head_of_somebody_else_is_not_remembered(tmp_path: Path, bad: bytes):
    head = RememberedHead(TRUST, tmp_path)
    head.remember(note(5))
    with pytest.raises(LedgerError) as caught:
        head.remember(bad)
    assert isinstance(caught.value, AuthenticationError) or bad in (b"", b"hello")
    assert head.recall().size == 5


def test_every_flipped_byte_of_the_remembered_head_is_an_error(tmp_path: Path):
    head = RememberedHead(TRUST, tmp_path)
    head.remember(note(5))
    good = head.path.read_bytes()
    for place in range(len(good)):
        for bit in (0x01, 0x10, 0x80):
            head.path.write_bytes(good[:place] + bytes([good[place] ^ bit]) + good[place + 1 :])
            with pytest.raises(TrustStateError) as caught:
                head.recall()
            assert caught.value.hint
            with pytest.raises(TrustStateError):
                head.remember(note(9))
    for length in range(len(good)):
        head.path.write_bytes(good[:length])
        with pytest.raises(TrustStateError):
            head.recall()


def test_a_remembered_head_of_another_ledger_is_damage(tmp_path: Path):
    head = RememberedHead(TRUST, tmp_path)
    head.remember(note(5))
    head.path.write_bytes(note(5, Ed25519Signer.from_seed(b"x" * 32)))
    with pytest.raises(TrustStateError):
        head.recall()


def test_a_head_that_cannot_be_read_or_kept_is_said(tmp_path: Path):
    head = RememberedHead(TRUST, tmp_path)
    head.path.mkdir(parents=True)
    with pytest.raises(TrustStateError, match="cannot be read"):
        head.recall()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TrustStateError):
        RememberedHead(TRUST, tmp_path / "file").remember(note(5))


# -- writing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


# -- restores that are settled ---------------------------------------------------------------------

IDS = [f"00000000-0000-4000-8000-{number:012x}" for number in range(3)]


def test_settled_restores_are_added_up(tmp_path: Path):
    head = RememberedHead(TRUST, tmp_path)
    assert head.settled() == frozenset()
    head.settle([])
    assert not head._settled_path.exists(), "nothing new, nothing written"
    head.settle(IDS[1:2])
    head.settle([IDS[0], IDS[1]])
    assert head.settled() == frozenset(IDS[:2])
    assert head._settled_path.read_text() == f"{IDS[0]}\n{IDS[1]}\n"
    before = head._settled_path.stat().st_mtime_ns
    head.settle(IDS[:1])
    assert head._settled_path.stat().st_mtime_ns == before
    head.settle(IDS[2:])
    assert RememberedHead(TRUST, tmp_path).settled() == frozenset(IDS)


@pytest.mark.parametrize("text", ["x", IDS[0] + "0", IDS[0] + "\nx\n", IDS[0].upper().replace("0", "A"), "\xff"])
def test_damaged_settled_restores_are_an_error(tmp_path: Path, text: str):
    head = RememberedHead(TRUST, tmp_path)
    head.settle(IDS[:1])
    head._settled_path.write_bytes(text.encode("latin-1"))
    with pytest.raises(TrustStateError, match="is damaged"):
        head.settled()
    with pytest.raises(TrustStateError, match="is damaged"):
        head.settle(IDS)
    assert head._settled_path.read_bytes() == text.encode("latin-1")


# -- what a trust file said before -----------------------------------------------------------------


def test_a_trust_file_that_says_something_else_is_noticed(tmp_path: Path):
    other = Trust("ef" * 16, ORIGIN, (VKEY,), "cd" * 32)
    pin = TrustPin(tmp_path / "trust.json", tmp_path / "state")
    assert pin.recall() == ()
    pin.check(TRUST)
    pin.allow(TRUST)
    assert pin.recall() == (), "nothing is allowed before something is known"
    pin.keep(TRUST)
    assert pin.recall() == (TRUST,)
    pin.check(TRUST)
    with pytest.raises(TrustStateError, match="is not what it was"):
        pin.check(other)
    assert TrustPin(tmp_path / "elsewhere" / "trust.json", tmp_path / "state").recall() == (), "another place"
    pin.allow(other)
    assert pin.recall() == (other, TRUST)
    pin.check(TRUST)
    pin.check(other)
    pin.keep(other)
    assert pin.recall() == (other,)
    with pytest.raises(TrustStateError, match="is not what it was"):
        pin.check(TRUST)
    before = pin.path.stat().st_mtime_ns
    pin.keep(other)
    assert pin.path.stat().st_mtime_ns == before, "nothing new, nothing written"
    for text in ("[]", "{}", "x", "", json.dumps({**json.loads(pin.path.read_text()), "more": 1}),
                 json.dumps({"path": "x", "trust": {}}), json.dumps({"path": "x", "trust": [1]})):  # fmt: skip
        pin.path.write_text(text)
        with pytest.raises(TrustStateError, match="is damaged"):
            pin.check(other)


def test_a_head_is_replaced_only_by_who_knows_it(tmp_path: Path):
    head = RememberedHead(TRUST, tmp_path)
    head.remember(note(9))
    with pytest.raises(TrustStateError, match="another head was remembered meanwhile"):
        head.replace(note(8), note(5))
    with pytest.raises(LedgerError):
        head.replace(note(9), note(5, origin="ledger.example/other"))
    assert head.recall() == Checkpoint(ORIGIN, 9, bytes([9]) * 32)
    head.replace(note(9), note(5))
    assert head.recall() == Checkpoint(ORIGIN, 5, bytes([5]) * 32), "also by a smaller one"


def test_a_state_folder_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    head, pin = RememberedHead(TRUST, tmp_path), TrustPin(tmp_path / "trust.json", tmp_path)
    head.remember(note(3))

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ledger.trust.write_atomically", full)
    for attempt in (
        lambda: head.remember(note(4)), lambda: head.replace(note(3), note(4)), lambda: head.settle(IDS),
        lambda: pin.keep(TRUST),
    ):  # fmt: skip
        with pytest.raises(TrustStateError, match="No space left on device"):
            attempt()
    head.remember(note(3))
    assert head.recall() == Checkpoint(ORIGIN, 3, bytes([3]) * 32)


def _readers(folder: Path) -> list[Callable[[], object]]:
    head = RememberedHead(TRUST, folder)
    return [
        head.recall,
        head.settled,
        TrustPin(folder / "trust.json", folder).recall,
        VerifiedMark(TRUST, folder).recall,
    ]


@pytest.mark.parametrize("link", ["heads", "."])
def test_a_folder_that_points_nowhere_is_damage_and_no_first_use(tmp_path: Path, link: str):
    folder = tmp_path / "muniment"
    assert [reader() for reader in _readers(folder)] == [None, frozenset(), (), None]
    place = folder if link == "." else folder / link
    place.parent.mkdir(exist_ok=True)
    place.symlink_to("nowhere")
    with pytest.raises(TrustStateError, match="points nowhere"):
        RememberedHead(TRUST, folder).recall()
    (place.parent / "nowhere").mkdir()
    assert RememberedHead(TRUST, folder).recall() is None  # on another disk, say


@pytest.mark.parametrize("part", [".", "below"])
@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_folders_in_which_others_may_remove_are_no_first_use(tmp_path: Path, part: str, mode: int):
    folder = tmp_path / "muniment"
    for below in ("heads", "pins"):
        (folder / below).mkdir(parents=True)
        (folder / ("." if part == "." else below)).chmod(mode)
    for reader in _readers(folder):
        with pytest.raises(TrustStateError, match="others") as refused:
            reader()
        assert "chmod go-w" in refused.value.hint


def test_a_folder_of_somebody_else_is_no_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "heads").mkdir()
    monkeypatch.setattr("ledger.statefile._owners", lambda: {os.geteuid() + 1})
    with pytest.raises(TrustStateError, match="belongs to another user"):
        RememberedHead(TRUST, tmp_path).recall()


def test_folders_of_the_state_are_made_for_their_owner_alone(tmp_path: Path):
    old = os.umask(0)
    try:
        folder = tmp_path / "share" / "muniment"
        RememberedHead(TRUST, folder).remember(note(1))
        TrustPin(tmp_path / "trust.json", folder).keep(TRUST)
    finally:
        os.umask(old)
    made = [folder.parent, folder, folder / "heads", folder / "pins"]
    assert {path.stat().st_mode & 0o777 for path in made} == {0o700}
