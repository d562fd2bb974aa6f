"""A log against the heads and cosignatures in its store and against anchors: what is found, where, in which words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from ledger import stored
from ledger.checkpoint import Checkpoint, cosign_checkpoint, format_checkpoint, sign_checkpoint
from ledger.checkpoints import cosignatures_of, extend_range
from ledger.cosignature import format_cosignature
from ledger.entry import Entry, entry_hash
from ledger.errors import VerificationError
from ledger.findings import Anchor, LogVerification, Witnessed
from ledger.headcheck import HeadCheck, chained
from ledger.identity import LogKey, LogKeys
from ledger.keys import Ed25519Signer
from ledger.merkle import CompactRange
from ledger.note import TYPE_COSIGNATURE, TYPE_ED25519, VerifierKey, format_vkey
from ledger.recorders.sql import SqlRecorder
from ledger.stored import Attestation, LogReader, Row, SignedHead, StoredCheckpoint
from tests.unit.reference_merkle import mth

ORIGIN, END = "ledger.example/heads", 2**63 - 1
OLD, NEW, OTHER = (Ed25519Signer.from_seed(bytes([n]) * 32) for n in (1, 2, 3))
KEYS = LogKeys((LogKey(VerifierKey(ORIGIN, TYPE_ED25519, OLD.public.raw)),))
LEAVES = [hashlib.sha256(bytes([n])).digest() for n in range(9)]
SIZE = len(LEAVES)
ROOTS = {size: mth(LEAVES[:size]) for size in range(SIZE + 1)}
FALSE = b"\x07" * 32
LAST = SignedHead(SIZE, ROOTS[SIZE])
WITNESSES = [Ed25519Signer.from_seed(bytes([n]) * 32) for n in (4, 5)]
NAMES = ("witness.example/a", "witness.example/b")
A, B = (VerifierKey(name, TYPE_COSIGNATURE, w.public.raw) for name, w in zip(NAMES, WITNESSES, strict=True))


def head(size: int, root: bytes | None = None, *signers: Ed25519Signer, origin: str = ORIGIN) -> bytes:
    return sign_checkpoint(
        Checkpoint(origin, size, ROOTS.get(size, FALSE) if root is None else root), *signers or (OLD,)
    )


def anchor(size: int, root: bytes | None = None, *, by: str = "somebody", origin: str = ORIGIN) -> Anchor:
    return Anchor(by, Checkpoint(origin, size, ROOTS.get(size, FALSE) if root is None else root))


def cosigned(
    size: int, root: bytes | None = None, *, witness: int = 0, time: int = 100, about: int | None = None
) -> tuple[int, str, bytes]:
    """A row's size, issuer and body; ``about`` is the size that was really cosigned."""
    true = size if about is None else about
    text = format_checkpoint(Checkpoint(ORIGIN, true, ROOTS.get(true, FALSE) if root is None else root))
    line = cosign_checkpoint(text, WITNESSES[witness], NAMES[witness], time)
    return size, format_vkey((A, B)[witness]), format_cosignature(line)


@dataclass
class Store:
    """The rows that are looked at, as every store orders them, and how many were asked for at most."""

    notes: dict[int, bytes] = field(default_factory=lambda: {size: head(size) for size in (1, 4, 9)})
    said: Sequence[tuple[int, str, bytes]] = ()
    row: SignedHead | None = LAST
    kind: str = "cosignature"
    limits: set[tuple[str, int]] = field(default_factory=set)

    def checkpoints(self, after: int, limit: int) -> list[StoredCheckpoint]:
        self.limits.add(("checkpoints", limit))
        return [StoredCheckpoint(size, self.notes[size]) for size in sorted(self.notes) if size > after][:limit]

    def last_checkpoint(self) -> StoredCheckpoint | None:
        return StoredCheckpoint(max(self.notes), self.notes[max(self.notes)]) if self.notes else None

    def signed_head(self) -> SignedHead | None:
        return self.row

    def _attestations(self) -> list[Attestation]:
        rows = [
            Attestation(number, size, self.kind, issuer, body, 0)
            for number, (size, issuer, body) in enumerate(self.said, 1)
        ]
        return sorted(rows, key=lambda row: (row.size, row.number))

    def attestations(self, after: tuple[int, int], limit: int) -> list[Attestation]:
        self.limits.add(("attestations", limit))
        return [row for row in self._attestations() if (row.size, row.number) > after][:limit]

    def attestations_before(self, before: tuple[int, int], limit: int) -> list[Attestation]:
        self.limits.add(("before", limit))
        return [row for row in reversed(self._attestations()) if (row.size, row.number) < before][:limit]


Found = list[tuple[str, int | None, str, tuple[int, int] | None]]


def check(
    store: Store, anchors: Sequence[Anchor] = (), *, keys: LogKeys | None = KEYS, start: int = 0, size: int = SIZE
) -> tuple[Found, LogVerification]:
    """Go through a log of so many entries as a pass does."""
    report = LogVerification("ab" * 16, ORIGIN)
    heads = HeadCheck(cast("LogReader", store), ORIGIN, anchors, report, start)
    if start:
        heads.compare_before(start, lambda at: ROOTS.get(at, FALSE))
    for at in range(start + 1, size + 1):
        pending = heads.pending()
        assert pending is None or pending >= at or pending < 1, "none was passed over"
        if pending is not None and pending <= at:
            heads.at(at, lambda at=at: ROOTS[at], lambda: keys)  # type: ignore[misc]
    heads.finish(size, keys)
    return [(str(one.fault), one.index, one.message, one.sizes) for one in report.findings], report


def test_a_log_that_fits_all_of_it():
    found, report = check(Store(said=[cosigned(4), cosigned(9, time=200)]), [anchor(4, by="x"), anchor(9), anchor(0)])
    assert not found
    assert (report.checkpoints, report.signed_size, report.signed_root) == (3, 9, ROOTS[9])
    assert (report.anchored_size, report.anchored_by) == (9, "somebody")
    assert report.witnessed == {A: Witnessed(9, 200)}
    expected = b""
    for size in (1, 4, 9):
        expected = hashlib.sha256(expected + b"%d %d " % (size, len(head(size))) + head(size)).digest()
    assert report.heads == chained(chained(chained(b"", 1, head(1)), 4, head(4)), 9, head(9)) == expected


def other_root(size: int, start: int, where: str) -> Found:
    words = f"the log gives another root at size {size} than the head signed then; the change lies in {where}"
    return [("checkpoint", None, words, (start, size))]


@pytest.mark.parametrize(
    ("false", "expected"),
    [
        ([4], other_root(4, 1, "entries 1 to 3")),
        ([1], other_root(1, 0, "entry 0")),
        ([4, 9], other_root(4, 1, "entries 1 to 3")),
        ([9], other_root(9, 4, "entries 4 to 8")),
    ],
)
def test_a_head_of_another_root_bounds_the_change(false: list[int], expected: Found):
    notes = {size: head(size, FALSE if size in false else None) for size in (1, 4, 9)}
    found, report = check(Store(notes=notes, row=SignedHead(9, FALSE if 9 in false else ROOTS[9])))
    assert found == expected
    good = [size for size in notes if size not in false]
    assert (report.checkpoints, report.signed_size) == (len(good), max(good))
    assert report.heads != b""


def test_heads_that_say_other_than_where_they_stand_or_who_signs():
    stranger = LogKeys((LogKey(VerifierKey(ORIGIN, TYPE_ED25519, OTHER.public.raw)),))
    found, report = check(Store(notes={1: head(1), 4: head(1), 9: head(9)}))
    assert found == [("checkpoint", None, "the signed head stored at size 4 is about size 1", None)]
    found, report = check(Store(notes={1: head(1), 4: b"x", 9: head(9)}))
    assert [(fault, index, sizes) for fault, index, _, sizes in found] == [("checkpoint", None, None)]
    assert found[0][2].startswith("the signed head of size 4 is bad: ")
    found, report = check(Store(), keys=stranger)
    assert [words.partition(":")[0] for _, _, words, _ in found] == [
        f"the signed head of size {size} is bad" for size in (1, 4, 9)
    ]
    assert (report.checkpoints, report.signed_size) == (0, 0)
    found, report = check(Store(), keys=None)
    assert (found, report.checkpoints) == ([], 0), "that nobody knows the keys is found elsewhere"


@pytest.mark.parametrize("signers", [(NEW, OLD), (NEW,), (OLD,)])
def test_the_first_head_behind_a_change_of_the_key_is_signed_by_both(signers: tuple[Ed25519Signer, ...]):
    keys = LogKeys((*KEYS.keys, LogKey(VerifierKey(ORIGIN, TYPE_ED25519, NEW.public.raw), 3)))
    found, _ = check(Store(notes={1: head(1), 4: head(4, None, *signers), 9: head(9, None, NEW)}), keys=keys)
    assert bool(found) is (signers != (NEW, OLD))
    again, _ = check(Store(notes={1: head(1), 4: head(4), 9: head(9, None, NEW)}), keys=keys, start=4)
    assert not again, "the head before it was looked at earlier"
    first, _ = check(Store(notes={1: head(1), 9: head(9, None, NEW)}), keys=keys, start=1)
    assert [words.partition(":")[0] for _, _, words, _ in first] == ["the signed head of size 9 is bad"]


def not_vouched(by: str, size: int, start: int, where: str, more: str = "") -> Found:
    words = f"the log is not the one {by} vouches for at size {size}; the change lies in {where}{more}"
    return [("anchor", None, words, (start, size))]


def gone(size: int, by: str = "somebody") -> Found:
    words = f"the signed head of size {size} that {by} vouches for is no longer in the store"
    return [("checkpoint", None, words, None)]


DOUBLE = (
    "; the checkpoint key signed two different roots for size 4, which proves the operator's double dealing: "
    "keep both notes"
)


@pytest.mark.parametrize(
    ("anchors", "expected", "anchored"),
    [
        ([anchor(4, FALSE, by="x")], not_vouched("x", 4, 0, "entries 0 to 3", DOUBLE), 0),
        ([anchor(5, FALSE), anchor(3)], not_vouched("somebody", 5, 3, "entries 3 to 4") + gone(5) + gone(3), 3),
        *(
            ([anchor(4, origin=other)], [("anchor", None, f"somebody is a head of {other}, not of this log", None)], 0)
            for other in ("a.b", "~.b")  # one that comes before, in the alphabet, and one that comes after
        ),
        ([anchor(10)], [("anchor", 9, "the log shrank: somebody vouches for 10 entries and 9 are there", None)], 0),
        ([anchor(9), anchor(1)], [], 9),
        ([anchor(0, FALSE)], [], 0),
    ],
)
def test_what_anchors_show(anchors: list[Anchor], expected: Found, anchored: int):
    found, report = check(Store(), anchors)
    assert found == expected
    assert report.anchored_size == anchored


def test_a_tail_that_is_missing_and_rows_that_stop_early():
    found, _ = check(Store(notes={1: head(1), 4: head(4), 9: head(9)}), size=4)
    assert found == [
        ("checkpoint", 4, "a head of size 9 was signed, and the log has 4 entries: the tail is missing", None)
    ]
    store = Store(said=[cosigned(4), cosigned(9)])
    report = LogVerification("ab" * 16, ORIGIN)
    heads = HeadCheck(cast("LogReader", store), ORIGIN, [anchor(9, by="x"), anchor(10, by="y")], report)
    heads.at(1, lambda: ROOTS[1], lambda: KEYS)
    heads.finish(9, KEYS)  # the rows between could not be read
    assert [(str(f.fault), f.index, f.message, f.sizes) for f in report.findings] == [
        ("anchor", None, "x at size 9 cannot be compared: rows are missing", None),
        ("anchor", 9, "the log shrank: y vouches for 10 entries and 9 are there", None),
        ("anchor", None, f"the cosignature of {NAMES[0]} at size 4 cannot be compared: rows are missing", (0, 4)),
    ]


LATER = "and the last one in the store is of size 9"


@pytest.mark.parametrize(
    ("store", "words"),
    [
        (Store(row=None), "the row of the last signed head is gone from the store"),
        (Store(row=SignedHead(4, ROOTS[4])), f"a head of size 4 was signed last, {LATER}"),
        (Store(row=SignedHead(10, FALSE)), f"a head of size 10 was signed last, {LATER}"),
        (Store(row=SignedHead(9, FALSE)), "the row of the last signed head does not fit the head signed at size 9"),
        (Store(notes={}), "no signed head is in the store, and every ledger has one from the start"),
        (Store(), None),
    ],
)
def test_the_row_of_the_last_signed_head(store: Store, words: str | None):
    found, _ = check(store)
    assert found == ([] if words is None else [("checkpoint", None, words, None)])


def test_a_bad_last_head_is_one_finding():
    found, _ = check(Store(notes={1: head(1), 9: b"x"}))
    assert len(found) == 1


@pytest.mark.parametrize("start", [0, 4])
@pytest.mark.parametrize("page", [1, 2, 500])
def test_rows_are_read_in_pages(start: int, page: int, monkeypatch: pytest.MonkeyPatch):
    assert stored._PAGE == 500
    monkeypatch.setattr(stored, "_PAGE", page)
    store = Store(
        notes={size: head(size) for size in (1, 2, 3, 4, 6, 8, 9)},
        said=[cosigned(size, witness=w, time=100 + size) for size in (3, 4, 6, 9) for w in (0, 1)],
    )
    found, report = check(store, start=start)
    assert not found
    assert report.checkpoints == (7 if start == 0 else 3)
    assert report.witnessed == {A: Witnessed(9, 109), B: Witnessed(9, 109)}
    assert {limit for _, limit in store.limits} <= {page, 1, 1_000}
    heads = HeadCheck(cast("LogReader", store), ORIGIN, (), LogVerification("ab" * 16, ORIGIN))
    chain = b""
    for size in sorted(store.notes):
        assert heads.digest(size - 1) == chain
        chain = chained(chain, size, store.notes[size])
        assert heads.digest(size) == chain
    assert heads.digest(END) == chain


# -- cosignatures ----------------------------------------------------------------------------------


def altered(size: int, bound: tuple[int, str] | None, witness: int = 0) -> list[Any]:
    words = f"the cosignature of {NAMES[witness]} at size {size} is not for the root that this log gives there"
    words += ": it was altered"
    more = "" if bound is None else f", or the log was, and then the change lies in {bound[1]}"
    return [(None, words + more, None if bound is None else (bound[0], size))]


def nowhere(size: int) -> list[Any]:
    return [(None, f"a cosignature of {NAMES[0]} is stored at size {size}, where no head can be", None)]


BEYOND = (
    f"the store has a cosignature of {NAMES[0]} on a head of size 10, and the log has 9 entries: the tail is missing"
)


@pytest.mark.parametrize(
    ("said", "expected", "witnessed"),
    [
        ([cosigned(4, FALSE)], altered(4, (0, "entries 0 to 3")), {}),
        ([cosigned(4, FALSE), cosigned(9)], altered(4, (0, "entries 0 to 3")), {A: Witnessed(9, 100)}),
        (
            [cosigned(1), cosigned(4, FALSE), cosigned(9, FALSE)],
            altered(4, (1, "entries 1 to 3")), {A: Witnessed(1, 100)},
        ),
        ([cosigned(4, witness=1), cosigned(4, FALSE)], altered(4, None), {B: Witnessed(4, 100)}),
        ([cosigned(4, about=9)], altered(4, (0, "entries 0 to 3")), {}),
        ([cosigned(0, about=1)], nowhere(0), {}),
        ([cosigned(-1, about=1)], nowhere(-1), {}),
        ([cosigned(10)], [(9, BEYOND, None)], {}),
        ([cosigned(4, time=300), cosigned(4, time=200)], [], {A: Witnessed(4, 300)}),
        ([cosigned(4, time=200), cosigned(4, time=300)], [], {A: Witnessed(4, 300)}),
        ([cosigned(9, time=200), cosigned(4, time=300)], [], {A: Witnessed(9, 200)}),
    ],
)  # fmt: skip
def test_what_cosignatures_show(said: Any, expected: Any, witnessed: Any):
    found, report = check(Store(said=said))
    assert [(index, words, sizes) for _, index, words, sizes in found] == expected
    assert {fault for fault, _, _, _ in found} <= {"anchor"}, "nobody is told twice of what somebody altered"
    assert report.witnessed == witnessed


def test_a_cosigned_head_that_is_gone():
    found, report = check(Store(said=[cosigned(5), cosigned(9)]))
    words = f"the head of size 5 that {NAMES[0]} cosigned is no longer in the store"
    assert found == [("checkpoint", None, words, None)]
    assert report.witnessed == {A: Witnessed(9, 100)}
    again, _ = check(Store(notes={1: head(1), 6: head(6), 9: head(9)}, said=[cosigned(5)]), start=6)
    assert again == [("checkpoint", None, words, None)]


def test_rows_that_are_no_cosignatures_are_left_to_others():
    found, report = check(Store(said=[(4, "x", b"y")], kind="rfc3161"))
    assert (found, report.witnessed) == ([], {})
    found, report = check(Store(said=[(4, "x", b"y")], kind="rfc3161"), start=4)
    assert (found, report.witnessed) == ([], {})


def test_names_of_witnesses_are_shown_in_bounds():
    found, _ = check(Store(said=[(4, f"{'w' * 150}+x", b"y")]))
    assert f"the cosignature of {'w' * 100} at size 4" in found[0][2]


def test_of_what_was_verified_before_the_last_word_of_each_witness_counts():
    said = [cosigned(1, FALSE), cosigned(4, time=7), cosigned(1, FALSE, witness=1), cosigned(9, time=8)]
    store = Store(said=said)
    found, report = check(store, start=4)
    assert [(index, words, sizes) for _, index, words, sizes in found] == altered(1, None, 1)
    assert report.witnessed == {A: Witnessed(9, 8)}
    assert ("before", 1_000) in store.limits


def test_anchors_before_the_mark():
    found, report = check(Store(), [anchor(1, by="a"), anchor(4, by="b"), anchor(9, by="c")], start=4)
    assert (found, report.anchored_size, report.anchored_by, report.signed_size) == ([], 9, "c", 9)
    found, report = check(Store(), [anchor(1, FALSE, by="a")], start=4)
    assert [(words, sizes) for _, _, words, sizes in found] == [
        ("the log is not the one a vouches for at size 1; the change lies in entry 0", (0, 1))
    ]


# -- what the one who signs heads looks at first -----------------------------------------------------


def test_good_cosignatures_of_a_head_and_no_others():
    said = [
        cosigned(4, time=900), cosigned(4, witness=1, time=900), cosigned(4, time=901), cosigned(9, time=100),
        cosigned(9, time=300), cosigned(9, time=200), cosigned(9, about=4, witness=1), cosigned(9, FALSE, witness=1),
        cosigned(3), cosigned(8),
    ]  # fmt: skip
    for kind, expected in (("cosignature", [(A, 300)]), ("rfc3161", []), ("a", []), ("published", [])):
        found = cosignatures_of(cast("SqlRecorder", Store(said=said, kind=kind)), Checkpoint(ORIGIN, 9, ROOTS[9]))
        assert [(one.vkey, one.time) for one in found] == expected
    good = cosignatures_of(cast("SqlRecorder", Store(said=said)), Checkpoint(ORIGIN, 4, ROOTS[4]))
    assert {(one.vkey, one.time) for one in good} == {(A, 901), (B, 900)}


ZERO = "00" * 32


def chain(count: int) -> list[Row]:
    """Rows that follow each other."""
    rows: list[Row] = []
    for index in range(count):
        payload = b"%d" % index
        entry = Entry(
            "a", "e", ZERO, "i", index, 0, (ZERO,), "ab" * 16, hashlib.sha256(payload).hexdigest(),
            rows[-1].leaf_hash.hex() if rows else ZERO, 0, 1, 1, "model:m", "model:m@1", "t",
        )  # fmt: skip
        rows.append(Row(entry, entry_hash(entry), payload, b"[]"))
    return rows


class Rows:
    """The rows of a store."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows_of = rows

    def rows(self, start: int, limit: int) -> list[Row]:
        return self.rows_of[start : start + limit]

    def leaf_hashes(self, start: int, stop: int) -> list[bytes]:
        return [row.leaf_hash for row in self.rows_of[start:stop]]


#: What is done to the row at index 2 of four, and what is said.
SPOILED: dict[str, tuple[Callable[[list[Row]], list[Row]], tuple[str, int, str] | None]] = {
    "nothing": (lambda rows: rows, None),
    "content gone": (lambda rows: [*rows[:2], replace(rows[2], payload=None), rows[3]], None),
    "row gone": (lambda rows: [*rows[:2], rows[3]], ("chain", 2, "entry 2 is missing")),
    "tail gone": (lambda rows: rows[:2], ("chain", 2, "entry 2 is missing")),
    "row twice": (lambda rows: [rows[0], rows[1], rows[1], rows[3]], ("chain", 2, "entry 2 is missing")),
    "leaf": (
        lambda rows: [*rows[:2], replace(rows[2], leaf_hash=FALSE), rows[3]],
        ("header", 2, "entry 2: its columns do not give its leaf hash"),
    ),
    "payload": (
        lambda rows: [*rows[:2], replace(rows[2], payload=b"other"), rows[3]],
        ("payload", 2, "entry 2: the payload is not the one recorded"),
    ),
    **{
        f"prev {prev[:2]}": (
            lambda rows, prev=prev: [*rows[:2], moved(rows[2], prev), rows[3]],  # type: ignore[misc]
            ("chain", 2, "entry 2 does not follow entry 1"),
        )
        for prev in (ZERO, "ff" * 32)
    },
}


def moved(row: Row, prev: str) -> Row:
    entry = replace(row.entry, prev=prev)
    return replace(row, entry=entry, leaf_hash=entry_hash(entry))


@pytest.mark.parametrize("page", [1, 3, 1000])
@pytest.mark.parametrize("case", SPOILED)
def test_what_is_signed_is_read_again_before(case: str, page: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ledger.checkpoints._PAGE", page)
    spoil, expected = SPOILED[case]
    rows = chain(4)
    recorder = cast("SqlRecorder", Rows(spoil(rows)))
    for start in (0, 1, 2):
        grown = CompactRange().extend(row.leaf_hash for row in rows[:start])
        if expected is None:
            assert extend_range(recorder, grown, 4).root() == mth([row.leaf_hash for row in rows])
            assert extend_range(recorder, grown, start) == grown
            continue
        with pytest.raises(VerificationError) as error:
            extend_range(recorder, grown, 4)
        assert (error.value.fault, error.value.index, error.value.message) == expected
