"""Commands that are refused, and stores that somebody cut: what several tests of the command line do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.support import DIGEST, Result, Shop, run
from tests.contract.support import peaks, raw
from tests.unit.reference_merkle import mth

EVENT = ("emit", "dataset.registered", "dataset:tx", "-d", f"digest={DIGEST}")


@contextmanager
def unchanged(shop: Shop) -> Iterator[None]:
    """The log afterwards is the log before, to the last column."""
    before = shop.fingerprint()
    yield
    assert shop.fingerprint() == before


def refused(shop: Shop, code: int, *arguments: object, words: tuple[str, ...] = (), stdin: bytes = b"") -> Result:
    with unchanged(shop):
        return run(*arguments, stdin=stdin).refused(code, *words)


def refused_decision(shop: Shop, code: int, *arguments: object, words: tuple[str, ...]) -> None:
    """Refused, and nothing but that is recorded, once for the same one."""
    size = shop.size()
    for _ in range(2):
        run(*arguments).refused(code, *words)
    found = run("log", "-o", "json").good().json[size:]
    assert [entry["entry"]["type"] for entry in found] == ["muniment.decision.refused.v1"]
    assert found[0]["event"]["data"]["reason"] in run(*arguments).err


def head_file(home: Path) -> Path:
    (path,) = (home / ".local" / "state").rglob("*.checkpoint")
    return path


def cut_tail(shop: Shop, size: int) -> None:
    """Forget everything from an entry on, tidily: what is left is a good log."""
    with raw(shop.url) as store:
        leaves = [bytes(leaf) for (leaf,) in store.run("SELECT leaf_hash FROM $entry ORDER BY position")][:size]
        ((recorded_at,),) = store.run("SELECT recorded_at FROM $entry WHERE position = ?", (size,))
        store.unprotect()
        for table in ("entry", "content"):
            store.run(f"DELETE FROM ${table} WHERE position > ?", (size,))
        store.run("DELETE FROM $checkpoint WHERE size > ?", (size,))
        ((signed,),) = store.run("SELECT max(size) FROM $checkpoint")
        store.run("UPDATE $signed_head SET size = ?, root = ?", (signed, mth(leaves[:signed])))
        store.run(
            "UPDATE $head SET size = ?, last_leaf = ?, peaks = ?, recorded_at = ?, authority = 1",
            (size, leaves[-1], peaks(leaves), recorded_at),
        )
