"""One deed for each row of the oracle that is about a store, small enough to be tried on every change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from ledger.envelope import format_envelope, sign_payload
from ledger.findings import LogVerification
from ledger.keys import Ed25519Signer
from tests.attacks.oracle import Attacker, Known
from tests.contract.support import Cast
from tests.contract.tampering import (
    KEYS,
    Forger,
    Victim,
    other_nonce,
    remember_pure_results,
    remembered,
    sixteen,
    victim,
)
from tests.contract.test_witnessed import cosign

__all__ = ["DEEDS", "Bench", "bench"]


@dataclass
class Bench:
    """A ledger of sixteen entries in its owner's hands.

    Attributes:
        store: the victim.
        cast: everybody, with their keys.
        steps: which entry is what.
    """

    store: Victim
    cast: Cast
    steps: dict[str, int]

    def verify(self, known: Known) -> LogVerification:
        """Verify, knowing so much."""
        return self.store.verify(self.store.anchors if known is Known.HEAD else [])


@contextmanager
def bench(url: str, *, witnessed: bool) -> Iterator[Bench]:
    """The ledger of `sixteen`, and whether two of three witnesses cosigned its last head."""
    cast, steps = sixteen(url)
    for who in (0, 1) if witnessed else ():
        cosign(cast.recorder, 16, who)
    with pytest.MonkeyPatch.context() as memory:
        remember_pure_results(memory)
        with victim(cast, [remembered(cast)]) as store:
            yield Bench(store, cast, steps)


# -- rows and bytes --------------------------------------------------------------------------------


def _value(table: str, column: str, key: Any, change: Callable[[Any], Any], place: int | None) -> Deed:
    def deed(at: Bench) -> int | None:
        ((old,),) = at.store.run(f"SELECT {column} FROM ${table} WHERE {KEYS[table]} = ?", (key,))
        new = change(bytes(old) if isinstance(old, memoryview) else old)
        at.store.run(f"UPDATE ${table} SET {column} = ? WHERE {KEYS[table]} = ?", (new, key))
        return place

    return deed


def _other(value: Any) -> Any:
    """A number one more, bytes and texts with another last character."""
    if isinstance(value, int):
        return value + 1
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1])
    return value[:-1] + ("x" if value[-1] != "x" else "y")


def _sql(place: int | None, *statements: str) -> Deed:
    def deed(at: Bench) -> int | None:
        for statement in statements:
            at.store.run(statement)
        return place

    return deed


def _swapped(table: str) -> Deed:
    moves = ((6, -1), (9, 6), (-1, 9))
    return _sql(5, *(f"UPDATE ${table} SET position = {new} WHERE position = {old}" for old, new in moves))


def _again(at: Bench) -> int:
    for table in ("entry", "content"):
        columns = ", ".join(column for column in at.store.columns(table) if column != "position")
        at.store.run(
            f"INSERT INTO ${table} (position, {columns}) SELECT 17, {columns} FROM ${table} WHERE position = 9"
        )
    return 16


# -- everything made to fit ------------------------------------------------------------------------


def _rewrite(change: Callable[[Bench, Forger], int], *, key: bool, heads: bool = True) -> Deed:
    def deed(at: Bench) -> int:
        forger = Forger(at.store)
        place = change(at, forger)
        forger.write(at.cast.new.checkpoint if key else None, keep_checkpoints=key or heads)
        if not heads:
            at.store.run("DELETE FROM $checkpoint WHERE size > ?", (place,))
            ((size, note),) = at.store.run("SELECT size, note FROM $checkpoint ORDER BY size DESC LIMIT 1")
            root = at.cast.new.trust.verify_head(bytes(note)).root
            at.store.run("UPDATE $signed_head SET size = ?, root = ?", (size, root))
        return place

    return deed


def _left_out(at: Bench, forger: Forger) -> int:
    del forger.rows[at.steps["incident"]]
    return at.steps["incident"]


def _moved(at: Bench, forger: Forger) -> int:
    place = at.steps["incident"]
    forger.rows.insert(place + 1, forger.rows.pop(place))
    return place


def _dated(at: Bench, forger: Forger) -> int:
    place = at.steps["incident"]
    forger.rows[place]["recorded_at"] = forger.rows[place - 1]["recorded_at"]
    return place


def _twice(at: Bench, forger: Forger) -> int:
    place = at.steps["incident"]
    forger.rows.insert(place + 1, dict(forger.rows[place]))
    return place + 1


def _altered(at: Bench, forger: Forger) -> int:
    forger.alter(at.steps["incident"], other_nonce)
    return at.steps["incident"]


def _cut(at: Bench, forger: Forger) -> int:
    del forger.rows[at.steps["incident"] :]
    return at.steps["incident"]


def _ground(at: Bench, forger: Forger) -> int:
    index = next(n for n, row in enumerate(forger.rows) if row["type"] == "muniment.evaluation.completed.v1")
    del forger.rows[index]
    return at.steps["approval"] - 1


# -- consistent entries that are not good ----------------------------------------------------------


def _forced(name: str, **columns: Any) -> Deed:
    def change(at: Bench, forger: Forger) -> int:
        forger.forced[at.steps[name]] = columns
        return at.steps[name]

    return _rewrite(change, key=True)


def _header(at: Bench, forger: Forger) -> int:
    forger.rows[at.steps["incident"]]["actor"] = "p-other"
    return at.steps["incident"]


def _signed_again(at: Bench, forger: Forger, index: int, key: Any, **members: Any) -> int:
    event = {**json.loads(forger.rows[index]["content"]), **members}
    del forger.rows[index]
    return forger.add(format_envelope(sign_payload(json.dumps(event).encode(), [key])), index)


def _same_id(at: Bench, forger: Forger) -> int:
    mine = forger.rows[at.steps["note"]]
    twin = {**json.loads(mine["content"]), "sequence": "0000000000000000099"}
    return forger.add(format_envelope(sign_payload(json.dumps(twin).encode(), [at.cast.keys[mine["actor"]]])))


def _same_number(at: Bench, forger: Forger) -> int:
    first, index = json.loads(forger.rows[at.steps["authorisation"]]["content"]), at.steps["deployment"]
    key = at.cast.keys[forger.rows[index]["actor"]]
    return _signed_again(at, forger, index, key, emitter=first["emitter"], sequence=first["sequence"])


def _stranger(at: Bench, forger: Forger) -> int:
    return _signed_again(at, forger, at.steps["note"], Ed25519Signer.generate(), nonce="0" * 32)


def _exchanged(at: Bench, forger: Forger) -> int:
    forger.rows[at.steps["deployment"]]["signatures"] = forger.rows[at.steps["authorisation"]]["signatures"]
    return at.steps["deployment"]


def _hidden(at: Bench) -> int:
    place = _rewrite(_left_out, key=True)(at)
    at.store.run("DELETE FROM $attestation")
    assert place is not None
    return place


Deed = Callable[[Bench], int | None]

_STORE: dict[str, Deed] = {
    "entry: another value in a column": _value("entry", "subject", 9, _other, 8),
    "entry: another position": _value("entry", "position", 9, lambda _: 40, 8),
    "content: another payload or signature": _value("content", "payload", 9, _other, 8),
    "content: another position": _value("content", "position", 9, lambda _: 40, 8),
    "head: another value": _value("head", "recorded_at", 1, _other, None),
    "checkpoint: another size or note": _value("checkpoint", "note", 12, _other, None),
    "signed_head: another value": _value("signed_head", "root", 1, _other, None),
    "log: another name or id": _value("log", "origin", 1, _other, None),
    "entries deleted": _sql(5, "DELETE FROM $entry WHERE position = 6", "DELETE FROM $content WHERE position = 6"),
    "contents deleted": _sql(5, "DELETE FROM $content WHERE position = 6"),
    "the last signed head deleted": _sql(None, "DELETE FROM $checkpoint WHERE size = 16"),
    "entries swapped": _swapped("entry"),
    "contents swapped": _swapped("content"),
    "an entry put in again": _again,
}
_WAYS = {
    "an entry left out": _left_out, "an entry moved": _moved, "an entry dated anew": _dated,
    "an entry put in twice": _twice, "a payload altered": _altered, "the tail cut": _cut,
}  # fmt: skip

#: What is done, by attacker and damage.
DEEDS: dict[tuple[Attacker, str], Deed] = {
    **{(Attacker.STORE, damage): deed for damage, deed in _STORE.items()},
    **{(Attacker.STORE, f"rewritten: {way}"): _rewrite(change, key=False) for way, change in _WAYS.items()},
    **{(Attacker.CHECKPOINT_KEY, f"rewritten: {way}"): _rewrite(change, key=True) for way, change in _WAYS.items()},
    **{
        (Attacker.CHECKPOINT_KEY, f"entry: {what}, re-hashed and signed"): deed
        for what, deed in {
            "a header that says something else than was signed": _rewrite(_header, key=True),
            "another entry before it": _forced("authorisation", prev=bytes(32)),
            "a revision that does not follow": _forced("authorisation", revision=9),
            "a time before the entry in front": _forced("authorisation", recorded_at=10**15),
            "an id that its author used before": _rewrite(_same_id, key=True),
            "a number that its emitter used before": _rewrite(_same_number, key=True),
            "a payload with the signature of another": _rewrite(_exchanged, key=True),
            "a payload that a stranger signed": _rewrite(_stranger, key=True),
        }.items()
    },
    (Attacker.CHECKPOINT_KEY, "rewritten: a fact left out, on which nothing rests"): _rewrite(_left_out, key=True),
    (Attacker.CHECKPOINT_KEY, "rewritten: a fact dated anew, on which nothing rests"): _rewrite(_dated, key=True),
    (Attacker.CHECKPOINT_KEY, "rewritten: what a decision rests on left out"): _rewrite(_ground, key=True),
    (Attacker.STORE, "rewritten: a fact left out, and every head from there on"): _rewrite(
        _left_out, key=False, heads=False
    ),
    (Attacker.STORE, "rewritten: the tail cut, and its heads"): _rewrite(_cut, key=False, heads=False),
    (Attacker.CHECKPOINT_KEY, "rewritten, and every cosignature hidden"): _hidden,
}
