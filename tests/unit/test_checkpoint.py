from __future__ import annotations

import base64
import json
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.checkpoint import (
    Checkpoint,
    cosign_checkpoint,
    format_checkpoint,
    parse_checkpoint,
    parse_origin,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignature,
)
from ledger.errors import AuthenticationError, InputError, VerificationError
from ledger.keys import Ed25519Signer, PublicKey
from ledger.merkle import EMPTY_ROOT, MAX_TREE_SIZE
from ledger.note import (
    MAX_NOTE,
    TYPE_COSIGNATURE,
    TYPE_ED25519,
    Note,
    NoteSignature,
    VerifierKey,
    format_note,
    format_vkey,
    parse_note,
    parse_vkey,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "checkpoint.json").read_text())
ORIGIN = "ledger.example/test"
LOG, WITNESS, STRANGER = (Ed25519Signer.from_seed(bytes([n]) * 32) for n in (1, 2, 3))
VKEY = VerifierKey(ORIGIN, TYPE_ED25519, LOG.public.raw)
WITNESS_VKEY = VerifierKey("witness.example/w", TYPE_COSIGNATURE, WITNESS.public.raw)
STRANGER_VKEY = VerifierKey(ORIGIN, TYPE_ED25519, STRANGER.public.raw)
HEAD = Checkpoint(ORIGIN, 5, bytes(range(32)))
NOTE = sign_checkpoint(HEAD, LOG)
TEXT = format_checkpoint(HEAD)
origins = st.from_regex(r"[!-*,-~]{1,60}", fullmatch=True).filter(lambda text: "://" not in text)
checkpoints = st.builds(Checkpoint, origins, st.integers(0, MAX_TREE_SIZE), st.binary(min_size=32, max_size=32))
key_characters = st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="+")
key_names = st.text(key_characters, min_size=1, max_size=20)
lines = st.builds(NoteSignature, key_names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80))


def with_lines(*more: NoteSignature, text: str = TEXT) -> bytes:
    return format_note(Note(text, (*parse_note(NOTE).signatures, *more)))


@pytest.mark.parametrize("case", VECTORS["checkpoints"], ids=lambda case: str(case["size"]))
def test_vectors(case):
    vkey, witness = parse_vkey(VECTORS["vkey"]), parse_vkey(VECTORS["witness_vkey"])
    checkpoint = verify_checkpoint(case["note"].encode(), [vkey])
    assert (checkpoint.origin, checkpoint.size) == (VECTORS["origin"], case["size"])
    assert format_checkpoint(checkpoint) == case["text"]
    assert verify_checkpoint(case["cosigned_note"].encode(), [vkey, witness]) == checkpoint
    assert verify_cosignature(parse_note(case["cosigned_note"].encode()), witness) == VECTORS["cosignature_time"]


def test_the_example_of_the_signed_note_specification():
    vkey = parse_vkey(VECTORS["foreign_vkey"])
    note = parse_note(VECTORS["foreign_note"].encode())
    line = note.signatures[0]
    assert (line.name, line.key_hash) == (vkey.name, vkey.key_hash)
    PublicKey("ed25519", vkey.public).verify(line.blob, note.text.encode())
    with pytest.raises(InputError):  # a note, but not a checkpoint
        verify_checkpoint(VECTORS["foreign_note"].encode(), [vkey])


@given(checkpoints)
def test_every_checkpoint_comes_back(checkpoint):
    text = format_checkpoint(checkpoint)
    assert text.count("\n") == 3
    assert parse_checkpoint(text) == checkpoint
    vkey = VerifierKey(checkpoint.origin, TYPE_ED25519, LOG.public.raw)
    note = sign_checkpoint(checkpoint, LOG)
    assert note.count(b"\n\n") == 1
    assert verify_checkpoint(note, [vkey]) == checkpoint


@given(st.lists(lines, min_size=1, max_size=16), checkpoints)
def test_every_note_comes_back(signatures, checkpoint):
    note = Note(format_checkpoint(checkpoint), tuple(signatures))
    assert parse_note(format_note(note)) == note


@given(st.binary(max_size=100) | st.text(alphabet="\n— aA=/+\r\t", max_size=60).map(str.encode))
def test_any_bytes_are_one_note_or_refused(data):
    try:
        note = parse_note(data)
    except InputError:
        return
    assert format_note(note) == data


@given(st.sampled_from([1, 4]), key_names, st.binary(min_size=32, max_size=32))
def test_every_verifier_key_comes_back(kind, name, raw):
    try:
        key = VerifierKey(name, kind, raw)
    except InputError:
        return
    text = format_vkey(key)
    assert parse_vkey(text) == key
    assert text.split("+")[1] == key.key_hash.hex()


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a\nb", "a\tb"])
def test_a_verifier_key_needs_a_name_that_a_note_can_carry(name):
    with pytest.raises(InputError):
        VerifierKey(name, TYPE_ED25519, LOG.public.raw)


B64 = base64.b64encode(HEAD.root).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{ORIGIN}\n5\n{B64}",
        f"{ORIGIN}\n5\n{B64}\n\n",
        f"{ORIGIN}\n5\n{B64}\nextension\n",
        f"{ORIGIN}\n05\n{B64}\n",
        f"{ORIGIN}\n-5\n{B64}\n",
        f"{ORIGIN}\n+5\n{B64}\n",
        f"{ORIGIN}\n5 \n{B64}\n",
        f"{ORIGIN}\n\uff15\n{B64}\n",
        f"{ORIGIN}\n\n{B64}\n",
        f"{ORIGIN}\n{2**63}\n{B64}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{B64}\n",
        f"{ORIGIN}\n5\n{B64.rstrip('=')}\n",
        f"{ORIGIN}\n5\n{B64[:-2]}9=\n",
        f"{ORIGIN}\n5\n{base64.b64encode(bytes(31)).decode()}\n",
        f"{ORIGIN}\n5\n{base64.b64encode(bytes(33)).decode()}\n",
        f"{ORIGIN}\r\n5\r\n{B64}\r\n",
        f"\n5\n{B64}\n",
        f"{ORIGIN} x\n5\n{B64}\n",
        f"{ORIGIN}+x\n5\n{B64}\n",
        f"https://{ORIGIN}\n5\n{B64}\n",
        f"é{ORIGIN}\n5\n{B64}\n",
        f"{'o' * 256}\n5\n{B64}\n",
    ],
    ids=count(),
)
def test_other_texts_are_not_checkpoints(text):
    with pytest.raises(InputError):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "text", ["", "a b", "a+b", "http://x", "é", "a\n", "a\x00", "a\x7f", "o" * 256, "\u00a0"], ids=ascii
)
def test_bad_origins(text):
    with pytest.raises(InputError):
        parse_origin(text)
    with pytest.raises(InputError):
        format_checkpoint(Checkpoint(text, 0, EMPTY_ROOT))


def test_good_origins():
    for text in ("ledger.example/ml-governance", "a", "localhost:8080/x", "o" * 255):
        assert parse_origin(text) == text


@pytest.mark.parametrize(("size", "root"), [(-1, bytes(32)), (2**63, bytes(32)), (1, bytes(31)), (1, b"")])
def test_a_checkpoint_out_of_range_is_not_signed(size, root):
    with pytest.raises(InputError):
        sign_checkpoint(Checkpoint(ORIGIN, size, root), LOG)


LINE = NOTE.decode().split("\n\n")[1]


@pytest.mark.parametrize(
    "note",
    [
        "",
        TEXT,
        TEXT + "\n",
        TEXT + LINE,
        TEXT + "\n" + LINE.rstrip("\n"),
        TEXT + "\n" + LINE + "\n",
        TEXT + "\n\n" + LINE,
        TEXT + "\n" + LINE + "\n" + LINE,
        "\n" + TEXT + "\n" + LINE,
        TEXT + "\n" + LINE.replace("—", "-"),
        TEXT + "\n" + LINE.replace("— ", "—"),
        TEXT + "\n" + LINE.replace("— ", "—  "),
        TEXT + "\n" + " " + LINE,
        TEXT + "\n" + LINE.replace("\n", " \n"),
        TEXT + "\n" + LINE.replace("\n", "\r\n"),
        TEXT + "\n" + LINE.replace("=", ""),
        TEXT + "\n— x AAAA\n",
        TEXT + "\n— x AAAAAA==\n",
        TEXT + "\n— x !!!!!!!!\n",
        TEXT + "\n— x+y AAAAAAAA\n",
        TEXT + "\n— x\u2003y AAAAAAAA\n",
        TEXT + "\n—  AAAAAAAA\n",
        TEXT + "\n" + LINE * 17,
        TEXT.replace("\n", "\x00\n", 1) + "\n" + LINE,
        TEXT + "\n" + LINE + "trailing",
    ],
    ids=count(),
)
def test_other_spellings_of_a_note_are_refused(note):
    with pytest.raises(InputError):
        parse_note(note.encode())
    with pytest.raises(InputError):
        verify_checkpoint(note.encode(), [VKEY])


def test_limits_of_a_note():
    assert len(parse_note((TEXT + "\n" + LINE * 16).encode()).signatures) == 16
    large = NoteSignature("x", b"keyI", bytes(4000))
    with pytest.raises(InputError, match=str(MAX_NOTE)):
        format_note(Note(TEXT, (large,) * 16))
    with pytest.raises(InputError, match=str(MAX_NOTE)):
        parse_note(b"a" * (MAX_NOTE + 1))
    with pytest.raises(InputError):
        format_note(Note(TEXT, ()))
    for text in ("", "no newline", "\nstart", "a\n\nb\n", "end\n\n", "tab\t\n"):
        with pytest.raises(InputError):
            format_note(Note(text, parse_note(NOTE).signatures))
    with pytest.raises(InputError):
        parse_note(b"\xff\n\n")
    with pytest.raises(InputError):
        format_note(Note(TEXT, (NoteSignature("x\ud800", b"keyI", b"s"),)))
    for key_hash, blob in ((b"", b"s"), (b"key", b"s"), (b"keyID", b"s"), (b"keyI", b"")):
        with pytest.raises(InputError, match="4 bytes of key ID"):
            format_note(Note(TEXT, (NoteSignature("x", key_hash, blob),)))


def test_every_changed_byte_of_a_checkpoint_is_noticed():
    for at in range(len(NOTE)):
        bad = bytearray(NOTE)
        bad[at] ^= 1
        with pytest.raises((InputError, AuthenticationError, VerificationError)):
            verify_checkpoint(bytes(bad), [VKEY])


def test_a_wrong_signature_of_a_known_key_is_a_bad_checkpoint():
    other = parse_note(sign_checkpoint(Checkpoint(ORIGIN, 6, HEAD.root), LOG))
    with pytest.raises(VerificationError) as caught:
        verify_checkpoint(format_note(Note(TEXT, other.signatures)), [VKEY])
    assert caught.value.fault == "checkpoint"
    # also beside a good one
    with pytest.raises(VerificationError):
        verify_checkpoint(with_lines(*other.signatures), [VKEY])


def test_somebody_must_have_signed():
    for keys in ([], [STRANGER_VKEY], [WITNESS_VKEY]):
        with pytest.raises(AuthenticationError):
            verify_checkpoint(NOTE, keys)


def test_unknown_lines_are_ignored_and_keys_can_change():
    new_key = parse_note(sign_checkpoint(HEAD, STRANGER)).signatures[0]
    both = with_lines(new_key, NoteSignature("unknown", b"1234", b"x" * 2428))
    for keys in ([VKEY], [STRANGER_VKEY], [VKEY, STRANGER_VKEY], [STRANGER_VKEY, WITNESS_VKEY]):
        assert verify_checkpoint(both, keys) == HEAD


def test_a_key_of_another_log_does_not_speak_for_this_one():
    elsewhere = VerifierKey("ledger.example/other", TYPE_ED25519, LOG.public.raw)
    line = NoteSignature(elsewhere.name, elsewhere.key_hash, LOG.sign(TEXT.encode()))
    note = format_note(Note(TEXT, (line,)))
    with pytest.raises(AuthenticationError):
        verify_checkpoint(note, [elsewhere])
    with pytest.raises(AuthenticationError):
        verify_checkpoint(note, [VKEY])


def test_a_cosignature_alone_is_no_checkpoint_even_under_the_name_of_the_origin():
    line = cosign_checkpoint(TEXT, LOG, ORIGIN, 1)
    note = format_note(Note(TEXT, (line,)))
    with pytest.raises(AuthenticationError):
        verify_checkpoint(note, [VerifierKey(ORIGIN, TYPE_COSIGNATURE, LOG.public.raw), VKEY])


def test_cosignatures():
    note = with_lines(cosign_checkpoint(TEXT, WITNESS, WITNESS_VKEY.name, 1_795_420_800))
    assert verify_checkpoint(note, [VKEY, WITNESS_VKEY]) == HEAD
    assert verify_cosignature(parse_note(note), WITNESS_VKEY) == 1_795_420_800
    with pytest.raises(AuthenticationError):
        verify_cosignature(parse_note(NOTE), WITNESS_VKEY)
    with pytest.raises(InputError):
        verify_cosignature(parse_note(note), VKEY)
    with pytest.raises(InputError):
        cosign_checkpoint("no checkpoint\n", WITNESS, "w", 1)
    for time in (1, 2**63 - 1):
        line = cosign_checkpoint(TEXT, WITNESS, WITNESS_VKEY.name, time)
        assert verify_cosignature(parse_note(with_lines(line)), WITNESS_VKEY) == time
    for time in (0, -1, 2**63):
        with pytest.raises(InputError):
            cosign_checkpoint(TEXT, WITNESS, "w", time)


@pytest.mark.parametrize("time", [0, 2**63, 2**64 - 1])
def test_a_signed_time_out_of_range_is_refused(time):
    message = f"cosignature/v1\ntime {time}\n{TEXT}".encode()
    line = NoteSignature(WITNESS_VKEY.name, WITNESS_VKEY.key_hash, time.to_bytes(8, "big") + WITNESS.sign(message))
    with pytest.raises(VerificationError):
        verify_cosignature(parse_note(with_lines(line)), WITNESS_VKEY)


def test_a_cosignature_on_something_else_is_refused():
    text = "hello\n"
    message = f"cosignature/v1\ntime 5\n{text}".encode()
    blob = (5).to_bytes(8, "big") + WITNESS.sign(message)
    with pytest.raises(InputError, match="three lines"):
        verify_cosignature(Note(text, (NoteSignature(WITNESS_VKEY.name, WITNESS_VKEY.key_hash, blob),)), WITNESS_VKEY)


def test_the_earliest_of_several_cosignatures_counts():
    times = [30, 10, 20]
    note = with_lines(*(cosign_checkpoint(TEXT, WITNESS, WITNESS_VKEY.name, time) for time in times))
    assert verify_cosignature(parse_note(note), WITNESS_VKEY) == 10


@pytest.mark.parametrize("at", [0, 7, 8, 71])
def test_a_cosignature_covers_its_time_and_the_text(at):
    line = cosign_checkpoint(TEXT, WITNESS, WITNESS_VKEY.name, 1_795_420_800)
    blob = bytearray(line.blob)
    blob[at] ^= 0x81
    bad = NoteSignature(line.name, line.key_hash, bytes(blob))
    for spoiled in (
        bad,
        NoteSignature(line.name, line.key_hash, line.blob[:-1]),
        NoteSignature(line.name, line.key_hash, b"x"),
    ):
        with pytest.raises(VerificationError):
            verify_cosignature(parse_note(with_lines(spoiled)), WITNESS_VKEY)
        with pytest.raises(VerificationError):
            verify_checkpoint(with_lines(spoiled), [VKEY, WITNESS_VKEY])
    moved = format_checkpoint(Checkpoint(ORIGIN, 4, HEAD.root))
    with pytest.raises(VerificationError):
        verify_cosignature(Note(moved, (line,)), WITNESS_VKEY)


GOOD = format_vkey(VKEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ORIGIN,
        GOOD.upper(),
        GOOD + "=",
        GOOD[:-1],
        GOOD.replace("+", "++", 1),
        GOOD.replace(ORIGIN, "ledger.example/tesu"),
        GOOD.replace(VKEY.key_hash.hex(), "00000000"),
        GOOD.replace(VKEY.key_hash.hex(), VKEY.key_hash.hex().upper()),
        "x+00000000+",
        "x+00000000+AQ==",
        "x+00000000+BgAA",
    ],
    ids=count(),
)
def test_other_verifier_keys_are_refused(text):
    with pytest.raises(InputError):
        parse_vkey(text)


def test_a_type_byte_changes_the_key_id():
    assert VKEY.key_hash != VerifierKey(ORIGIN, TYPE_COSIGNATURE, LOG.public.raw).key_hash
    with pytest.raises(InputError, match="0x06"):
        VerifierKey(ORIGIN, 6, LOG.public.raw)


def test_two_keys_with_one_key_id_are_refused(monkeypatch):
    monkeypatch.setattr(VerifierKey, "key_hash", property(lambda key: b"same"))
    with pytest.raises(InputError, match="same key ID"):
        verify_checkpoint(NOTE, [VKEY, STRANGER_VKEY])


#: The last character of base64 that holds four bits of a byte, and the others that hold the same four.
SPELLINGS = [("w", "x"), ("8", "9"), ("8", "+"), ("8", "/"), ("A", "B"), ("A", "D"), ("Y", "b"), ("0", "3")]


@pytest.mark.parametrize(("only", "other"), SPELLINGS)
def test_unused_bits_of_base64_are_zero(only: str, other: str):
    """Some other spellings come behind the only one in the order of bytes, some before."""
    four_bits = ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".index(only)) >> 2
    text = format_checkpoint(Checkpoint(ORIGIN, 5, bytes([four_bits]) * 32))
    assert text.endswith(f"{only}=\n")
    with pytest.raises(InputError, match="only form"):
        parse_checkpoint(text.removesuffix(f"{only}=\n") + f"{other}=\n")
    note = format_note(Note(TEXT, (NoteSignature("x", b"keyI", bytes([four_bits]) * 64),)))
    assert note.endswith(f"{only}=\n".encode())
    with pytest.raises(InputError, match="only form"):
        parse_note(note.removesuffix(f"{only}=\n".encode()) + f"{other}=\n".encode())


def test_a_key_name_may_be_so_long_and_no_longer():
    for length, fits in ((255, True), (256, False)):
        try:
            format_note(Note(TEXT, (NoteSignature("x" * length, b"keyI", b"s"),)))
        except InputError:
            assert not fits
        else:
            assert fits
