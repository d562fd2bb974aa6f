"""Tables that a ledger of sixteen entries leaves empty: cosignatures, tiles, and the note of a store that has moved."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from ledger.verify import LogVerification
from tests.attacks.intruders import Attempts, attempts
from tests.attacks.oracle import Attacker, Row, row_of
from tests.attacks.tamper import ZEROS, _rows, _set, changes
from tests.contract.support import make_cast
from tests.contract.tampering import KEYS, remember_pure_results, remembered, sixteen
from tests.contract.test_copy import copy_of
from tests.contract.test_witnessed import cosign
from tests.faults.scorecard import Result

NewUrl = Callable[[], str]


def _every_change(  # noqa: PLR0917 - an experiment and what it is tried on
    tries: Attempts, table: str, share: float, chance: random.Random, rows: Callable[[str], Row],
    also: Callable[[LogVerification], bool] | None = None,
) -> None:  # fmt: skip
    """Every byte of a table in four ways.

    Args:
        tries: where.
        table: its name.
        share: part of the changes that is tried, beside one of each column.
        chance: chooses them.
        rows: what the oracle says of a column.
        also: what else must hold of a report.
    """
    columns: set[str] = set()
    for key, column, value in _rows(tries.store, table):
        for new in changes(value, chance):
            if column in columns and chance.random() >= share:
                continue

            def deed(key: Any = key, column: str = column, new: Any = new) -> None:
                _set(tries.store, table, column, key, new)

            before = tries.result.n
            what = f"{table}.{column} of row {key}: {value!r} -> {new!r}"
            tries.try_out(what, rows(column), deed, None, kind=f"{table}.{column}", also=also)
            columns |= {column} if tries.result.n > before else set()


def cosignatures(new_url: NewUrl, share: float, seed: int) -> Result:
    """Every byte of what witnesses said: found, or without any say; never more vouched for than was.

    Order, kind and time of a row are the store's own word, on which nothing rests: with another kind a row is no
    cosignature, which makes the log witnessed less far.

    Args:
        new_url: gives an empty store.
        share: part of the changes that is tried.
        seed: of the choice.
    """
    result, chance = Result.counting(*ZEROS), random.Random(seed)
    cast, _ = sixteen(new_url())
    for size, who in ((2, 2), (12, 0), (12, 1), (16, 0)):
        cosign(cast.recorder, size, who)
    with attempts(cast, result, [remembered(cast)]) as tries:
        true = {key: item.size for key, item in tries.store.verify().witnessed.items()}

        def no_more(report: LogVerification) -> bool:
            return all(item.size <= true.get(vkey, 0) for vkey, item in report.witnessed.items())

        said = row_of(Attacker.STORE, "attestation: another cosignature")
        beside = row_of(Attacker.STORE, "attestation: another kind, number or time")
        columns = ("size", "issuer", "body")
        _every_change(
            tries, "attestation", share, chance, lambda column: said if column in columns else beside, no_more
        )
    return result


def tile_bytes(new_url: NewUrl, times: int, seed: int) -> Result:
    """Bytes of the tiles of a ledger of 530 entries: found, in the tile that was changed.

    Args:
        new_url: gives an empty store.
        times: how many.
        seed: of the choice.
    """
    result, chance = Result.counting(*ZEROS), random.Random(seed)
    cast = make_cast(new_url(), actors=("p-author", "trainer"))
    events = [("external.observed", f"external:{number % 7}", {"system": "s"}) for number in range(264)]
    for _ in range(2):
        cast["trainer"].emit_all(events)
    cast.admin.checkpoint()
    with attempts(cast, result, [remembered(cast)]) as tries:
        tiles = [(idx, bytes(hashes), bytes(root)) for idx, hashes, root in
                 tries.store.run("SELECT idx, hashes, root FROM $tile ORDER BY idx")]  # fmt: skip
        result.figures["tiles"] = len(tiles)
        for _ in range(times):
            index, hashes, root = chance.choice(tiles)
            column, data = chance.choice((("hashes", hashes), ("hashes", hashes), ("root", root)))
            place = chance.randrange(len(data))
            new = data[:place] + bytes([data[place] ^ chance.randrange(1, 256)]) + data[place + 1 :]
            tries.try_out(
                f"byte {place} of {column} of tile {index}", row_of(Attacker.STORE, "tile: another byte"),
                lambda: tries.store.run(f"UPDATE $tile SET {column} = ? WHERE idx = ?", (new, index)),  # noqa: B023 - called at once
                256 * index, kind=f"tile.{column}", also=lambda report: len(report.findings) == 1,
            )  # fmt: skip
    return result


def moved_store(new_url: NewUrl, share: float, seed: int) -> Result:
    """Every byte of the note by which a sealed store says where the ledger goes on.

    Args:
        new_url: gives an empty store.
        share: part of the changes that is tried.
        seed: of the choice.
    """
    result, chance = Result.counting(*ZEROS), random.Random(seed)
    cast, _ = sixteen(new_url())
    anchor = remembered(cast)
    moving = copy_of(cast, new_url())
    moving.run([cast.new.checkpoint])
    moving.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KEYS, "successor", "id")
        remember_pure_results(patch)
        with attempts(cast, result, [anchor]) as tries:
            note = row_of(Attacker.STORE, "successor: another note")
            number = row_of(Attacker.STORE, "successor: another number of the row")
            _every_change(tries, "successor", share, chance, lambda column: number if column == "id" else note)
    return result
