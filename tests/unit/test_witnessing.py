"""Cosignature lines, witness policies and requests to witnesses: their only forms, and what is refused."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import witnessed
from ledger.addcheckpoint import (
    MAX_REQUEST,
    AddCheckpoint,
    format_add_checkpoint,
    format_size,
    monitoring_path,
    parse_add_checkpoint,
    parse_size,
    parse_unproven,
)
from ledger.checkpoint import (
    Checkpoint,
    cosign_checkpoint,
    format_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignature,
)
from ledger.cosignature import (
    add_lines,
    check_kept,
    format_cosignature,
    format_lines,
    parse_cosignature,
    parse_lines,
    read_cosignature,
    verify_lines,
)
from ledger.errors import AuthenticationError, InputError, LedgerError, VerificationError
from ledger.keys import Ed25519Signer
from ledger.note import TYPE_COSIGNATURE, TYPE_ED25519, NoteSignature, VerifierKey, format_vkey, parse_note
from ledger.witnesspolicy import MAX_POLICY, parse_policy

HEAD = Checkpoint("ledger.example/unit", 7, bytes(range(32)))
TEXT = format_checkpoint(HEAD)
LOG = Ed25519Signer.from_seed(b"l" * 32)
KEYS = [Ed25519Signer.from_seed(bytes([n]) * 32) for n in range(1, 7)]
VKEYS = [VerifierKey(f"w{n}.example", TYPE_COSIGNATURE, key.public.raw) for n, key in enumerate(KEYS, 1)]
LOG_VKEY = VerifierKey(HEAD.origin, TYPE_ED25519, LOG.public.raw)
TIME = 1_795_420_800


def vkey_of(name: str, key: Ed25519Signer) -> str:
    return format_vkey(VerifierKey(name, TYPE_COSIGNATURE, key.public.raw))


def line(number: int, time: int = TIME, text: str = TEXT) -> NoteSignature:
    return cosign_checkpoint(text, KEYS[number], VKEYS[number].name, time)


# -- the last head that a quorum cosigned ----------------------------------------------------------


class Kept:
    """A store of attestations that notes how often it is asked for a page."""

    def __init__(self, *sizes: int) -> None:
        self.rows = [SimpleNamespace(kind="cosignature", size=size, number=n) for n, size in enumerate(sizes, 1)]
        self.pages = 0

    def attestations_before(self, before: tuple[int, int], limit: int) -> Sequence[Any]:
        self.pages += 1
        return [row for row in reversed(self.rows) if (row.size, row.number) < before][:limit]


@pytest.mark.parametrize(
    ("met", "index", "found", "pages"),
    [
        ({5, 2}, 0, 5, 1),
        ({3}, 0, 3, 2),
        ({1}, 0, 1, 3),
        (set(), 0, None, 4),
        ({4, 3}, 3, 4, 1),
        ({4, 3}, 4, None, 1),  # the page ends at 4, which does not cover entry 4
        ({3}, 3, None, 2),
        ({5}, 5, None, 1),
    ],
)
def test_the_last_head_of_a_quorum_that_covers_an_entry(
    met: set[int], index: int, found: int | None, pages: int, monkeypatch: pytest.MonkeyPatch
):
    kept: Any = Kept(1, 2, 3, 4, 5)
    policy: Any = SimpleNamespace(met=lambda keys: keys == ["good"])
    said = SimpleNamespace(vkey="good")
    monkeypatch.setattr(witnessed, "_LOOK_BACK", 2)
    monkeypatch.setattr(witnessed, "head_at", lambda store, size: b"%d" % size)
    monkeypatch.setattr(witnessed, "cosignatures_of", lambda store, head: [said] if int(head) in met else [])
    head: Any = lambda note: note  # noqa: E731
    assert witnessed.last_met(kept, head, policy, index) == (None if found is None else b"%d" % found)
    assert kept.pages == pages


# -- cosignature lines -----------------------------------------------------------------------------


def test_lines_have_one_form():
    lines = tuple(line(n) for n in range(3))
    data = format_lines(lines)
    assert data.count(b"\n") == 3
    assert parse_lines(data) == lines
    one = format_cosignature(lines[0])
    assert data.startswith(one + b"\n")
    assert parse_cosignature(one) == lines[0]


GOOD = format_lines([line(0)])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        GOOD[:-1],
        GOOD + b"\n",
        b"\n" + GOOD,
        GOOD.replace(b" ", b"  "),
        GOOD.replace(b"\xe2\x80\x94", b"-"),
        GOOD[:-2] + b"!\n",
        GOOD * 17,
        GOOD + b"\xff\n",
        b"x" * 65_537,
        GOOD + b"text\n\n" + GOOD,
    ],
)
def test_other_lines_are_refused(data: bytes):
    with pytest.raises(InputError):
        parse_lines(data)


@given(st.binary(max_size=300))
def test_garbage_is_only_ever_bad_input(data: bytes):
    for parse in (parse_lines, parse_cosignature, parse_policy, parse_add_checkpoint, parse_size):
        try:
            parse(data)
        except InputError:
            continue


def test_a_kept_cosignature_is_verified_against_the_head_it_must_be_about():
    issuer, body = format_vkey(VKEYS[0]), format_cosignature(line(0))
    found = read_cosignature(HEAD, issuer, body)
    assert (found.vkey, found.time, found.line) == (VKEYS[0], TIME, line(0))
    for other in (
        Checkpoint(HEAD.origin, 8, HEAD.root),
        Checkpoint(HEAD.origin, 7, bytes(32)),
        Checkpoint("ledger.example/other", 7, HEAD.root),
    ):
        with pytest.raises(VerificationError):
            read_cosignature(other, issuer, body)
    for wrong in (format_vkey(VKEYS[1]), format_vkey(LOG_VKEY), "w", ""):
        with pytest.raises((InputError, AuthenticationError)):
            read_cosignature(HEAD, wrong, body)


def test_what_is_kept_can_be_about_the_head_and_what_is_no_evidence_is_kept_as_it_is():
    note = sign_checkpoint(HEAD, LOG)
    issuer, good = vkey_of("w1.example", KEYS[0]), format_cosignature(line(0))
    check_kept(note, "cosignature", issuer, good)
    with pytest.raises(VerificationError):
        check_kept(note, "cosignature", issuer, format_cosignature(line(0, text=TEXT.replace("7", "8"))))
    with pytest.raises(InputError):
        check_kept(note, "cosignature", issuer, b"")
    digest = hashlib.sha256(note).digest()
    check_kept(note, "rfc3161", "any", b"before" + digest + b"behind")
    with pytest.raises(InputError, match="not over this signed head"):
        check_kept(note, "rfc3161", "any", b"before" + digest[:-1])
    for kind in ("a", "published", "z"):
        check_kept(note, kind, "any", b"")


def test_every_changed_byte_of_a_kept_cosignature_is_found():
    issuer, body = format_vkey(VKEYS[0]), format_cosignature(line(0))
    for place in range(len(body)):
        for bit in (1, 0x20):
            changed = body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]
            with pytest.raises(LedgerError):
                read_cosignature(HEAD, issuer, changed)


def test_of_a_reply_the_newest_good_line_of_each_known_witness_is_taken():
    lines = [line(0), line(1, TIME + 5), line(1, TIME + 9), line(1, TIME + 1), line(5)]
    found = verify_lines(TEXT, lines, VKEYS[:3])
    assert [(item.vkey, item.time) for item in found] == [(VKEYS[0], TIME), (VKEYS[1], TIME + 9)]
    with pytest.raises(VerificationError):
        verify_lines(TEXT, [line(0), line(1, text=TEXT.replace("\n7\n", "\n6\n"))], VKEYS)


def test_a_note_takes_the_lines_of_its_witnesses_and_not_more_than_fit():
    note = sign_checkpoint(HEAD, LOG)
    both = add_lines(note, [line(0), line(1), line(0)])
    assert both.startswith(note)
    assert len(parse_note(both).signatures) == 3
    assert add_lines(both, [line(1)]) == both
    assert add_lines(note, []) == note
    assert verify_checkpoint(both, [LOG_VKEY, *VKEYS]) == HEAD
    assert verify_cosignature(parse_note(both), VKEYS[1]) == TIME
    many = add_lines(note, [line(0, TIME + n) for n in range(30)])
    assert len(parse_note(many).signatures) == 16


# -- policies --------------------------------------------------------------------------------------

W = [format_vkey(key) for key in VKEYS]
TWO_LEVELS = f"""\
# who must have seen it
log {format_vkey(LOG_VKEY)} https://log.example/
witness X1 {W[0]} https://x1.example/a
\twitness X2\t {W[1]}\x20
witness X3 {W[2]}
group X-witnesses 2 X1 X2 X3

witness Y1 {W[3]}
witness Y2 {W[4]}
group Y-witnesses any Y1 Y2
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
witness late {W[5]}
"""


def test_a_policy_of_two_levels_is_met_exactly_when_the_definition_says():
    policy = parse_policy(TWO_LEVELS.encode())
    assert [(w.name, w.vkey, w.url) for w in policy.witnesses[:2]] == [
        ("X1", VKEYS[0], "https://x1.example/a"),
        ("X2", VKEYS[1], None),
    ]
    assert [(entry.vkey, entry.url) for entry in policy.logs] == [(LOG_VKEY, "https://log.example/")]
    tried = 0
    for count in range(7):
        for chosen in combinations(range(6), count):
            expected = len({0, 1, 2} & set(chosen)) >= 2 and bool({3, 4} & set(chosen))
            assert policy.met([VKEYS[n] for n in chosen]) == expected, chosen
            tried += 1
    assert tried == 64


def test_who_cosigned_more_vouches_for_less():
    policy = parse_policy(f"witness a {W[0]}\nwitness b {W[1]}\nwitness c {W[2]}\ngroup g 2 a b c\nquorum g\n".encode())
    a, b, c, stranger = VKEYS[:4]
    assert policy.met_up_to({}) == 0
    assert policy.met_up_to({a: 9}) == 0
    assert policy.met_up_to({a: 9, b: 5}) == 5
    assert policy.met_up_to({a: 9, b: 5, c: 7}) == 7
    assert policy.met_up_to({a: 9, stranger: 9}) == 0
    assert policy.describe_quorum() == "2 of a, b, c"
    nobody = parse_policy(b"quorum none\n")
    assert nobody.met([])
    assert nobody.met_up_to({a: 9}) == 0
    alone = parse_policy(f"witness a {W[0]}\nquorum a\n".encode())
    assert (alone.met([a]), alone.met([b]), alone.met_up_to({a: 3})) == (True, False, 3)


BAD_POLICIES = {
    "nothing": ("", "newline"),
    "no quorum": (f"witness a {W[0]}\n", "no quorum line"),
    "two quorums": ("quorum none\nquorum none\n", "line 2: there is a quorum already"),
    "cut last line": ("quorum none", "newline"),
    "unknown word": ("quorum none\nwitnes a b\n", "line 2: 'witnes' is none of"),
    "log without key": ("log\nquorum none\n", "line 1: it must have the form: log VKEY"),
    "too many words": (f"witness a {W[0]} url more\nquorum a\n", "line 1: it must have the form"),
    "a witness's key for a log": (f"log {W[0]}\nquorum none\n", "line 1: .*type 0x04"),
    "a log's key for a witness": (f"witness a {format_vkey(LOG_VKEY)}\nquorum a\n", "line 1: .*type 0x01"),
    "damaged key": (f"witness a {W[0][:-4]}AAA=\nquorum a\n", "line 1: "),
    "name twice": (f"witness a {W[0]}\nwitness a {W[1]}\nquorum a\n", "line 2: the name 'a' is defined"),
    "key twice": (f"witness a {W[0]}\nwitness b {W[0]}\nquorum a\n", "line 2: the key of w1.example is there"),
    "key twice under another name": (
        f"witness a {W[0]}\nwitness b {vkey_of('z', KEYS[0])}\nquorum a\n",
        "line 2: the key of z is there",
    ),
    "log as its own witness": (
        f"log {format_vkey(VerifierKey('l', TYPE_ED25519, KEYS[0].public.raw))}\nwitness a {W[0]}\nquorum a\n",
        "line 2: the key of w1.example is there",
    ),
    "witness called none": (f"witness none {W[0]}\nquorum none\n", "line 1: the name 'none' is taken"),
    "group called none": (f"witness a {W[0]}\ngroup none any a\nquorum a\n", "line 2: the name 'none' is taken"),
    "none as a member": (f"witness a {W[0]}\ngroup g any none\nquorum a\n", "line 2: the member 'none'"),
    "quorum before it is defined": (f"quorum a\nwitness a {W[0]}\n", "line 1: 'a' is not defined"),
    "member before it is defined": (f"group g any a\nwitness a {W[0]}\nquorum g\n", "line 1: the member 'a'"),
    "group in itself": (f"witness a {W[0]}\ngroup g any a g\nquorum g\n", "line 2: the member 'g'"),
    "member twice": (f"witness a {W[0]}\ngroup g any a a\nquorum g\n", "line 2: 'a' is a member already"),
    "member of two groups": (
        f"witness a {W[0]}\ngroup g any a\ngroup h any a\nquorum h\n", "line 3: 'a' is a member already",
    ),
    "no member": (f"witness a {W[0]}\ngroup g any\nquorum g\n", "line 2: it must have the form"),
    "257 members": (
        f"witness a {W[0]}\ngroup g any {' '.join(f'm{n}' for n in range(257))}\nquorum g\n",
        "line 2: it must have the form: group NAME ",
    ),
    "256 members, of which one is no witness": (
        f"witness a {W[0]}\ngroup g any a {' '.join(f'm{n}' for n in range(255))}\nquorum g\n",
        "line 2: the member 'm0'",
    ),
    "two quorums in a line": (f"witness a {W[0]}\nquorum a a\n", "line 2: it must have the form: quorum NAME"),
    "no quorum in a line": ("quorum\n", "line 1: it must have the form: quorum NAME"),
    "a log with more": ("log a b c\nquorum none\n", "line 1: it must have the form: log VKEY "),
    "a witness without key": ("witness a\nquorum a\n", "line 1: it must have the form: witness NAME VKEY "),
    "0 of 1": (f"witness a {W[0]}\ngroup g 0 a\nquorum g\n", "line 2: the threshold"),
    "2 of 1": (f"witness a {W[0]}\ngroup g 2 a\nquorum g\n", "line 2: the threshold"),
    "01 of 1": (f"witness a {W[0]}\ngroup g 01 a\nquorum g\n", "line 2: the threshold"),
    "carriage return": ("quorum none\r\n", "line 1: a control character"),
    "no-break space is no space": (f"witness\u00a0a {W[0]}\nquorum none\n", "line 1: "),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BAD_POLICIES.values(), ids=BAD_POLICIES)
def test_a_wrong_policy_is_refused_and_its_line_named(text: str, words: str):
    with pytest.raises(InputError, match=words):
        parse_policy(text.encode())


def test_a_policy_may_hold_any_octets_and_has_a_size():
    policy = parse_policy(b"# \xff\xfe\nwitness \xff " + W[0].encode() + b"\nquorum \xff\n")
    assert policy.met([VKEYS[0]])
    with pytest.raises(InputError, match="more than"):
        parse_policy(b"#" * MAX_POLICY + b"\n")
    many = [
        VerifierKey(f"w{n}", TYPE_COSIGNATURE, Ed25519Signer.from_seed(b"%032d" % n).public.raw) for n in range(257)
    ]
    lines = [f"witness n{n} {format_vkey(key)}\n" for n, key in enumerate(many)]
    assert len(parse_policy(("".join(lines[:256]) + "quorum n255\n").encode()).witnesses) == 256
    with pytest.raises(InputError, match=r"line 257: .*at most 256"):
        parse_policy(("".join(lines) + "quorum n0\n").encode())


# -- requests --------------------------------------------------------------------------------------

NOTE = sign_checkpoint(HEAD, LOG)


def test_a_request_has_one_form():
    for proof in ((), (bytes(32),), tuple(bytes([n]) * 32 for n in range(63))):
        request = AddCheckpoint(5, proof, NOTE)
        data = format_add_checkpoint(request)
        assert parse_add_checkpoint(data) == request
        lines = data.split(b"\n")
        assert lines[0] == b"old 5"
        assert lines[1 : 1 + len(proof)] == [base64.b64encode(item) for item in proof]
        assert data.endswith(b"\n\n" + NOTE)
    with pytest.raises(InputError):
        format_add_checkpoint(AddCheckpoint(5, (bytes(32),) * 64, NOTE))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        NOTE,
        b"old 5\n" + NOTE,
        b"old 05\n\n" + NOTE,
        b"old -1\n\n" + NOTE,
        b"old 9223372036854775808\n\n" + NOTE,
        b"OLD 5\n\n" + NOTE,
        b"old  5\n\n" + NOTE,
        b"old 5 \n\n" + NOTE,
        b"old 5\r\n\n" + NOTE,
        b"old 5\n" + base64.b64encode(bytes(31)) + b"\n\n" + NOTE,
        b"old 5\n" + base64.b64encode(bytes(32))[:-2] + b"B=\n\n" + NOTE,
        b"old 5\n" + base64.b64encode(bytes(32)) + b" \n\n" + NOTE,
        b"old 5\n" + (base64.b64encode(bytes(32)) + b"\n") * 64 + b"\n" + NOTE,
        b"old 5\n\n" + b"x" * MAX_REQUEST,
    ],
)
def test_another_request_is_refused(data: bytes):
    with pytest.raises(InputError):
        parse_add_checkpoint(data)


def test_sizes_in_answers():
    for size in (0, 1, 2**63 - 1):
        assert parse_size(format_size(size)) == size
    for data in (b"", b"7", b"07\n", b"7\n\n", b"x\n", b"-7\n", b"9223372036854775808\n"):
        with pytest.raises(InputError):
            parse_size(data)


def test_where_a_witness_shows_its_checkpoint():
    # sha256 of the origin, as coreutils give it
    assert monitoring_path("example.com/behind-the-sofa") == (
        "5fd2dc0beb4ce54da5050cf6d5c75248b023abad441c3cecde3976fbe9da4fe4/checkpoint"
    )


@pytest.mark.parametrize(
    ("named", "taken"),
    [
        ("", []), ("9 4", [4, 9]), ("0 1 19 20 21 99999999999999999999", [1, 19]), ("-1 +2 3.0 04 x \u00b2", []),
        (" ".join(map(str, range(1, 60))), list(range(1, 20))), ("30 " * 32 + "5", []),
    ],
)  # fmt: skip
def test_of_sizes_that_a_witness_names_only_a_few_that_may_be_ours_are_taken(named: str, taken: list[int]):
    assert parse_unproven(named, 20) == tuple(taken)
