"""The tests' oracle: who damages what, how much is known outside, and what a verification must then say.

Data only. docs/reference/verdicts.md is made of it; `tests.attacks.deeds` does each deed of the table once, and the
campaigns (`tamper`, `tables`, `intruders`, `keepsakes`) judge thousands of random ones by the same rows. A deed without
a row ends with a `KeyError`, and a row that no test judges by fails one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ledger.verdicts import Fault

__all__ = ["ROWS", "Attacker", "Known", "Outcome", "Row", "Said", "Where", "changed_value", "row_of", "watching"]


class Attacker(StrEnum):
    """What somebody has."""

    STORE = "the store, no key"
    CHECKPOINT_KEY = "the store and the key that signs heads"
    FORMER_KEY = "the store and a replaced key that signed heads"
    NO_RIGHT = "the store and a key of somebody who may not sign this"
    COURIER = "a file that is handed over"
    VERIFIER = "the verifier's own files"


class Known(StrEnum):
    """What is known outside, at least."""

    NOTHING = "nothing"
    HEAD = "a head over the place"
    WITNESSED = "that witnesses vouch for the place"


class Outcome(StrEnum):
    """What comes of it."""

    BAD = "bad"
    UNVERIFIED = "unverified"
    NOTHING = "nothing fails"
    PERHAPS = "bad, or no say at all"


class Where(StrEnum):
    """How exactly the place is told."""

    INDEX = "the first bad index"
    BOUND = "the sizes around it"
    BOTH = "the first bad index, and the sizes around it"
    NONE = "no place"


class Said(Protocol):
    """A finding."""

    @property
    def fault(self) -> str:
        """Class."""

    @property
    def index(self) -> int | None:
        """Leaf index."""

    @property
    def sizes(self) -> tuple[int, int] | None:
        """Between which sizes."""


_EXITS = {
    Outcome.BAD: (1,), Outcome.UNVERIFIED: (3,), Outcome.NOTHING: (0,), Outcome.PERHAPS: (0, 1),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        attacker: who.
        damage: what is done.
        known: what is known outside, at least; who knows more sees no less.
        outcome: what comes of it.
        faults: of which classes what is found at the place may be.
        where: how exactly the place is told.
        exits: exit codes of the command.
        remark: what the table should say besides.
    """

    attacker: Attacker
    damage: str
    known: Known
    outcome: Outcome
    faults: frozenset[Fault]
    where: Where
    exits: tuple[int, ...]
    remark: str = ""

    @property
    def key(self) -> tuple[Attacker, str, Known]:
        """By which it is looked up."""
        return self.attacker, self.damage, self.known

    def judge(self, found: Sequence[Said], place: int | None, *, ended: bool = False) -> str:
        """What is wrong with what was found; empty when nothing is.

        Args:
            found: the findings.
            place: leaf index of the damage.
            ended: whether the verification ended with an error instead: that is said, and nothing is called good.
        """
        for used in _WATCHING:
            used.add(self)
        if not found and not ended:
            return "undetected" if self.outcome is Outcome.BAD else ""
        if self.outcome in (Outcome.NOTHING, Outcome.UNVERIFIED):
            return "false alarm"
        return "" if ended or self._located(found, place) else "wrong place"

    def _located(self, found: Sequence[Said], place: int | None) -> bool:
        if self.where is Where.NONE or place is None:
            return found[0].fault in self.faults
        fit = [item for item in found if item.fault in self.faults]
        first = min((item.index for item in found if item.index is not None), default=None)
        at = first == place and any(item.index == place for item in fit)
        if self.where is Where.INDEX:
            return at
        if self.where is Where.BOTH:
            return at and any(lies_around(item, place) for item in found)
        return any(item.index == place or lies_around(item, place) for item in fit)


def lies_around(finding: Said, place: int) -> bool:
    """Whether a finding says that a change lies at a place: between two sizes, or from a size on."""
    if finding.sizes is not None:
        return finding.sizes[0] <= place < finding.sizes[1]
    return finding.fault in (Fault.ANCHOR, Fault.CHECKPOINT) and (finding.index is None or finding.index >= place)


_WATCHING: list[set[Row]] = []


@contextmanager
def watching() -> Iterator[set[Row]]:
    """Collects the rows that were judged by inside."""
    used: set[Row] = set()
    _WATCHING.append(used)
    try:
        yield used
    finally:
        _WATCHING.remove(used)


def _row(  # noqa: PLR0917 - the columns of the table
    attacker: Attacker, damage: str, known: Known, outcome: Outcome, faults: Collection[Fault] = (),
    where: Where = Where.NONE, *, exits: tuple[int, ...] = (), remark: str = "",
) -> Row:  # fmt: skip
    return Row(attacker, damage, known, outcome, frozenset(faults), where, exits or _EXITS[outcome], remark)


_A, _F, _K, _O, _W = Attacker, Fault, Known, Outcome, Where
_REWRITTEN = (_F.ANCHOR, _F.CHECKPOINT)

#: What is done to rows and bytes, and nothing else is made to fit; found by whoever has the store alone.
_STORE = (
    _row(_A.STORE, "entry: another value in a column", _K.NOTHING, _O.BAD, (_F.HEADER, _F.CHAIN, _F.HEAD), _W.INDEX),
    _row(_A.STORE, "entry: another position", _K.NOTHING, _O.BAD, (_F.HEADER, _F.CHAIN, _F.HEAD, _F.PAYLOAD), _W.INDEX),
    _row(_A.STORE, "content: another payload or signature", _K.NOTHING, _O.BAD, (_F.PAYLOAD, _F.SIGNATURE), _W.INDEX),
    _row(_A.STORE, "content: another position", _K.NOTHING, _O.BAD, (_F.PAYLOAD,), _W.INDEX),
    _row(_A.STORE, "head: another value", _K.NOTHING, _O.BAD, (_F.HEAD,)),
    _row(_A.STORE, "checkpoint: another size or note", _K.NOTHING, _O.BAD, (_F.CHECKPOINT,)),
    _row(_A.STORE, "signed_head: another value", _K.NOTHING, _O.BAD, (_F.CHECKPOINT,)),
    _row(_A.STORE, "log: another name or id", _K.NOTHING, _O.BAD, (_F.ANCHOR, _F.HEAD, _F.HEADER)),
    _row(_A.STORE, "tile: another byte", _K.NOTHING, _O.BAD, (_F.TREE,), _W.INDEX, remark="the tile's first entry"),
    _row(_A.STORE, "attestation: another cosignature", _K.NOTHING, _O.BAD, (_F.ANCHOR,)),
    _row(_A.STORE, "attestation: another kind, number or time", _K.NOTHING, _O.PERHAPS, (_F.ANCHOR,),
         remark="never vouches for more than before"),
    _row(_A.STORE, "successor: another note", _K.NOTHING, _O.BAD, (_F.CHECKPOINT,)),
    _row(_A.STORE, "successor: another number of the row", _K.NOTHING, _O.PERHAPS, (_F.CHECKPOINT,)),
    _row(_A.STORE, "entries deleted", _K.NOTHING, _O.BAD, (_F.CHAIN, _F.HEAD), _W.INDEX),
    _row(_A.STORE, "contents deleted", _K.NOTHING, _O.BAD, (_F.PAYLOAD,), _W.INDEX),
    _row(_A.STORE, "the last signed head deleted", _K.NOTHING, _O.BAD, (_F.CHECKPOINT,)),
    _row(_A.STORE, "entries swapped", _K.NOTHING, _O.BAD, (_F.HEADER, _F.CHAIN, _F.PAYLOAD, _F.SIGNATURE), _W.INDEX),
    _row(_A.STORE, "contents swapped", _K.NOTHING, _O.BAD, (_F.PAYLOAD, _F.SIGNATURE), _W.INDEX),
    _row(_A.STORE, "an entry put in again", _K.NOTHING, _O.BAD, (_F.CHAIN, _F.HEADER, _F.SEQUENCE), _W.INDEX),
)  # fmt: skip


def _rewrites() -> Iterator[Row]:
    """Entries changed and everything made to fit that can be made to fit."""
    authors = (_F.SIGNATURE, _F.SCHEMA, _F.PAYLOAD)
    for way in ("left out", "moved", "dated anew", "put in twice"):
        damage = f"rewritten: an entry {way}"
        yield _row(_A.STORE, damage, _K.NOTHING, _O.BAD, _REWRITTEN, _W.BOUND, remark="the heads are still there")
        yield _row(_A.STORE, damage, _K.HEAD, _O.BAD, _REWRITTEN, _W.BOUND)
        yield _row(_A.CHECKPOINT_KEY, damage, _K.HEAD, _O.BAD, _REWRITTEN, _W.BOUND)
        yield _row(_A.CHECKPOINT_KEY, damage, _K.WITNESSED, _O.BAD, _REWRITTEN, _W.BOUND)
        yield _row(_A.FORMER_KEY, damage, _K.HEAD, _O.BAD, _REWRITTEN, _W.BOUND)
    for who in (_A.STORE, _A.CHECKPOINT_KEY, _A.FORMER_KEY):
        yield _row(who, "rewritten: a payload altered", _K.HEAD, _O.BAD, authors, _W.BOTH)
        yield _row(who, "rewritten: the tail cut", _K.HEAD, _O.BAD, _REWRITTEN, _W.BOUND)
    altered = "rewritten: a payload altered"
    yield _row(_A.STORE, altered, _K.NOTHING, _O.BAD, authors, _W.INDEX)
    yield _row(_A.CHECKPOINT_KEY, altered, _K.NOTHING, _O.BAD, authors, _W.INDEX)
    yield _row(_A.CHECKPOINT_KEY, altered, _K.WITNESSED, _O.BAD, authors, _W.BOTH)
    yield _row(_A.CHECKPOINT_KEY, "rewritten: the tail cut", _K.WITNESSED, _O.BAD, _REWRITTEN, _W.BOUND)
    for way in ("left out", "dated anew"):
        damage = f"rewritten: a fact {way}, on which nothing rests"
        yield _row(_A.CHECKPOINT_KEY, damage, _K.NOTHING, _O.NOTHING)
    yield _row(_A.CHECKPOINT_KEY, "rewritten: what a decision rests on left out", _K.NOTHING, _O.BAD, (_F.LEGALITY,),
               _W.NONE, remark="at the decision")  # fmt: skip
    yield _row(_A.STORE, "rewritten: a fact left out, and every head from there on", _K.NOTHING, _O.NOTHING,
               remark="called unsigned and unanchored")  # fmt: skip
    yield _row(_A.STORE, "rewritten: the tail cut, and its heads", _K.NOTHING, _O.NOTHING,
               remark="what is left is a good log")  # fmt: skip
    yield _row(_A.STORE, "rewritten: the tail cut, and its heads", _K.HEAD, _O.BAD, (_F.ANCHOR,), _W.INDEX)
    yield _row(_A.CHECKPOINT_KEY, "rewritten, and every cosignature hidden", _K.WITNESSED, _O.UNVERIFIED,
               remark="with --require-witnesses")  # fmt: skip
    yield _row(_A.CHECKPOINT_KEY, "rewritten where no cosignature is left", _K.WITNESSED, _O.PERHAPS,
               tuple(_F), exits=(1, 3), remark="with --require-witnesses")  # fmt: skip


_CONSISTENT = tuple(
    _row(_A.CHECKPOINT_KEY, f"entry: {what}, re-hashed and signed", _K.NOTHING, _O.BAD, (fault,), _W.INDEX)
    for what, fault in (
        ("a header that says something else than was signed", _F.HEADER),
        ("another entry before it", _F.CHAIN),
        ("a revision that does not follow", _F.HEADER),
        ("a time before the entry in front", _F.HEADER),
        ("an id that its author used before", _F.HEADER),
        ("a number that its emitter used before", _F.SEQUENCE),
        ("a payload with the signature of another", _F.SIGNATURE),
        ("a payload that a stranger signed", _F.KEY),
    )
)

#: Whose event that is put in by SQL, with everything made to fit: the class at its entry.
_MAY_NOT = {
    "not enrolled": _F.KEY,
    "in another's name": _F.KEY,
    "revoked": _F.KEY,
    "rotated": _F.KEY,
    "stolen": _F.KEY,
    "offboarded": _F.KEY,
    "without the role": _F.LEGALITY,
    "role expired": _F.LEGALITY,
    "role revoked": _F.LEGALITY,
    "outside the scope": _F.LEGALITY,
}
_UNAUTHORISED = (
    *(_row(_A.NO_RIGHT, f"an event behind the last: {who}", _K.NOTHING, _O.BAD, (fault,), _W.INDEX)
      for who, fault in _MAY_NOT.items()),
    *(_row(_A.NO_RIGHT, f"an event inside: {who}", _K.HEAD, _O.BAD, (fault,), _W.BOTH)
      for who, fault in _MAY_NOT.items()),
)  # fmt: skip

#: Files that are handed over, and those by which this machine knows a ledger.
_FILES = (
    _row(_A.COURIER, "bundle: any byte", _K.HEAD, _O.BAD, tuple(_F), remark="verify.py says the same"),
    _row(_A.COURIER, "evidence: any byte", _K.HEAD, _O.BAD, exits=(1, 2, 3, 4), remark="never proves something else"),
    _row(_A.COURIER, "proof file: any byte", _K.HEAD, _O.BAD, exits=(1, 2, 4)),
    _row(_A.VERIFIER, "trust.json: any byte", _K.NOTHING, _O.BAD, exits=(1, 7)),
    _row(_A.VERIFIER, "the note about trust.json: any byte", _K.NOTHING, _O.BAD, exits=(0, 1, 7),
         remark="0 when only the path differs that is shown to people"),
    _row(_A.VERIFIER, "the remembered head: any byte", _K.NOTHING, _O.BAD, exits=(1, 7)),
    _row(_A.VERIFIER, "the mark of the last verification: any byte", _K.NOTHING, _O.BAD, exits=(0, 1, 7),
         remark="0 when nothing rested on it, and all was judged again"),
)  # fmt: skip

#: The whole table.
ROWS: tuple[Row, ...] = (*_STORE, *_rewrites(), *_CONSISTENT, *_UNAUTHORISED, *_FILES)
_BY_KEY = {row.key: row for row in ROWS}


def row_of(attacker: Attacker, damage: str, known: Known = Known.NOTHING) -> Row:
    """The row of a deed.

    Raises:
        KeyError: the table says nothing of it.
    """
    return _BY_KEY[attacker, damage, known]


_CHANGED = {
    "entry": "entry: another value in a column",
    "content": "content: another payload or signature",
    "head": "head: another value",
    "checkpoint": "checkpoint: another size or note",
    "signed_head": "signed_head: another value",
    "log": "log: another name or id",
}


def changed_value(table: str, column: str, key: int, value: object) -> tuple[Row, int | None]:
    """What the table says when a column of a row gets a value, and where the damage is.

    Args:
        table: of the store.
        column: of the table.
        key: by which the row is looked up; of entries and contents the position.
        value: the new one.
    """
    if table not in ("entry", "content"):
        return row_of(Attacker.STORE, _CHANGED[table]), None
    if column != "position":
        return row_of(Attacker.STORE, _CHANGED[table]), key - 1
    # A row that is moved in front of others changes their place as well as its own.
    place = min(key, value) if isinstance(value, int) and value > 0 else key
    return row_of(Attacker.STORE, f"{table}: another position"), place - 1
