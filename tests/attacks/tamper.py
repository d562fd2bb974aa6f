"""Damage done to a store by somebody who owns it, at full size: every byte, and thousands of random deeds.

All of it lies at or below a signed head that somebody else remembers, so all of it must be found.
"""

from __future__ import annotations

import random
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from ledger.errors import LedgerError
from ledger.verify import Finding, verify_log
from tests.attacks.lives import LedgerLife
from tests.attacks.oracle import Attacker, Known, Row, changed_value, row_of
from tests.contract.histories import History
from tests.contract.tampering import (
    KEYS,
    Forger,
    Seen,
    Victim,
    other_nonce,
    remember_pure_results,
    remembered,
    sixteen,
    victim,
)
from tests.faults.scorecard import Result

#: Tables of which every byte is vouched for by the remembered head, by the keys or by what was computed from them.
TABLES = ("entry", "content", "head", "checkpoint", "log", "signed_head")
#: Table, key of the row, column, value.
Cell = tuple[str, Any, str, Any]
#: What happens in clean ledgers, for the scorecard.
KINDS_OF_LIFE = (
    "retried", "refused", "marked", "do_rotate", "do_compromise", "do_reaffirm", "do_offboard", "roots changed",
    "checkpoint key changed", "cosigned", "erased", "held", "restored",
)  # fmt: skip
ZEROS = ("undetected", "wrong place", "crashed", "not undone")


def four_ways(value: bytes, place: int, chance: random.Random) -> Iterator[bytes]:
    """Each byte: its lowest bit flipped, its highest bit flipped, nought, and any other value."""
    old = value[place]
    others = [old ^ 1, old ^ 0x80, 0, chance.randrange(256)]
    for other in dict.fromkeys(others):
        if other != old:
            yield value[:place] + bytes([other]) + value[place + 1 :]


def changes(value: Any, chance: random.Random) -> Iterator[Any]:
    """Every byte of a column's value in four ways; numbers by their eight bytes."""
    if isinstance(value, int):
        data = value.to_bytes(8, "big", signed=True)
        for place in range(8):
            for other in four_ways(data, place, chance):
                yield int.from_bytes(other, "big", signed=True)
        return
    data = value.encode() if isinstance(value, str) else value
    for place in range(len(data)):
        yield from four_ways(data, place, chance)


class Trials:
    """Damages a store, verifies, undoes, and counts.

    Args:
        store: the victim.
        result: where it is counted.
    """

    def __init__(self, store: Victim, result: Result) -> None:
        self.store, self.result = store, result

    def try_out(self, what: str, row: Row, deed: Callable[[], None], place: int | None = None) -> None:
        """Do one damage inside a transaction and see what verification says.

        Args:
            what: in words, for the scorecard.
            row: what the oracle says of it.
            deed: the damage; what the database itself refuses does not count.
            place: leaf index of the damage, None when it has none.
        """
        with self.store.trial():
            try:
                deed()
            except (apsw.Error, psycopg.Error):
                self.result.figures["refused by the database"] = (
                    self.result.figures.get("refused by the database", 0) + 1
                )
                return
            self.result.n += 1
            self._look(what, row, place)

    def _look(self, what: str, row: Row, place: int | None) -> None:
        findings: list[Finding] = []
        ended = None
        try:
            findings = self.store.verify().findings
        except LedgerError as error:
            ended = error
        except Exception as error:
            self.result.failed("crashed", f"{what}: {error!r}")
            return
        for first in [ended] if ended is not None else findings[:1]:
            fault = Seen.of(first).fault
            self.result.figures[fault] = self.result.figures.get(fault, 0) + 1
        if wrong := row.judge(findings, place, ended=ended is not None):
            self.result.failed(wrong, f"{what}: {findings[:3]}")


def _set(store: Victim, table: str, column: str, key: Any, value: Any) -> None:
    mark = "?"
    if isinstance(value, bytes) and column in TEXTS:
        if store.sqlite:
            mark = "CAST(? AS TEXT)"
        else:
            try:
                value = value.decode()
            except UnicodeDecodeError as error:
                raise psycopg.DataError("PostgreSQL keeps no text that is not UTF-8") from error
    store.run(f"UPDATE ${table} SET {column} = {mark} WHERE {KEYS[table]} = ?", (value, key))


#: Columns that hold text; filled in from what a store gives back.
TEXTS: set[str] = set()


def _rows(store: Victim, table: str) -> list[tuple[Any, str, Any]]:
    columns = store.columns(table)
    found = []
    for row in store.run(f"SELECT * FROM ${table} ORDER BY {KEYS[table]}"):
        key = row[columns.index(KEYS[table])]
        for column, value in zip(columns, row, strict=True):
            if isinstance(value, str):
                TEXTS.add(column)
            found.append((key, column, bytes(value) if isinstance(value, memoryview) else value))
    return found


def every_byte(new_url: Callable[[], str], share: float, seed: int) -> Result:
    """Every byte of every committed column of a ledger of sixteen entries, in four ways.

    Args:
        new_url: gives an empty store.
        share: part of the changes that is tried.
        seed: of the choice and of the fourth way.
    """
    result, chance = Result.counting(*ZEROS), random.Random(seed)
    with pytest.MonkeyPatch.context() as memory:
        remember_pure_results(memory)
        cast, _ = sixteen(new_url())
        with victim(cast, [remembered(cast)]) as store:
            trials = Trials(store, result)
            for table in TABLES:
                for key, column, value in _rows(store, table):
                    for other in changes(value, chance):
                        if chance.random() < share:
                            _try_value(trials, (table, key, column, value), other)
            if not store.verify().ok:
                result.failed("not undone", "the store does not verify after the last trial")
    return result


def _try_value(trials: Trials, cell: Cell, new: Any) -> None:
    table, key, column, old = cell
    row, place = changed_value(table, column, key, new)
    what = f"{table}.{column} of row {key}: {old!r} -> {new!r}"
    trials.try_out(what, row, lambda: _set(trials.store, table, column, key, new), place)


# -- random damages --------------------------------------------------------------------------------


class Vandal:
    """Does random damage to a ledger of some length.

    Args:
        trials: where to.
        seed: of everything random.
        checkpoint_key: the log's own, which one of the attackers has.
    """

    def __init__(self, trials: Trials, seed: int, checkpoint_key: Any) -> None:
        self.trials, self.store = trials, trials.store
        self.chance, self.key = random.Random(seed), checkpoint_key
        self.rows = {table: _rows(self.store, table) for table in TABLES}
        ((self.size,),) = self.store.run("SELECT size FROM $head")
        self.deeds: list[Callable[[], None]] = [
            self.value, self.value, self.value, self.value, self.exchanged_values, self.deleted, self.swapped,
            self.duplicated, self.cut, self.forged,
        ]  # fmt: skip

    def run(self, times: int) -> None:
        """Do so many damages, each undone before the next."""
        for _ in range(times):
            self.chance.choice(self.deeds)()

    def _index(self) -> int:
        return self.chance.randrange(self.size)

    def value(self) -> None:
        """A column's value: a byte, the length, the sign, another number."""
        table = self.chance.choice(TABLES)
        key, column, value = self.chance.choice(self.rows[table])
        if isinstance(value, int):
            new: Any = self.chance.choice((value + 1, value - 1, -value - 1, value ^ (1 << self.chance.randrange(62))))
        else:
            data = value.encode() if isinstance(value, str) else value
            place = self.chance.randrange(max(1, len(data)))
            new = self.chance.choice(
                [*four_ways(data, place, self.chance), data[:place], data + b"x", data[:place] + data[place + 1 :]]
                if data
                else [b"x"]
            )
            if new == data:
                return
        _try_value(self.trials, (table, key, column, value), new)

    def exchanged_values(self) -> None:
        """The values of one column of two rows."""
        table = self.chance.choice(("entry", "content", "checkpoint"))
        key, column, value = self.chance.choice(self.rows[table])
        other, _, theirs = self.chance.choice([row for row in self.rows[table] if row[1] == column])
        if value == theirs or column == KEYS[table]:
            return

        def deed() -> None:
            for at, new in ((key, theirs), (other, value)):
                _set(self.store, table, column, at, new.encode() if isinstance(new, str) else new)

        row, place = changed_value(table, column, min(key, other), None)
        self.trials.try_out(f"{table}.{column} of rows {key} and {other} exchanged", row, deed, place)

    def _tables(self) -> tuple[str, ...]:
        return self.chance.choice((("entry",), ("content",), ("entry", "content")))

    def deleted(self) -> None:
        """A row or several in a row."""
        index, tables = self._index(), self._tables()
        count = self.chance.choice((1, 1, 1, 2, 7))

        def deed() -> None:
            for table in tables:
                self.store.run(f"DELETE FROM ${table} WHERE position BETWEEN ? AND ?", (index + 1, index + count))

        row = row_of(Attacker.STORE, "contents deleted" if tables == ("content",) else "entries deleted")
        self.trials.try_out(f"{tables} {index}, {count} deleted", row, deed, index)

    def swapped(self) -> None:
        """Two rows anywhere."""
        (one, other), tables = sorted(self.chance.sample(range(1, self.size + 1), 2)), self._tables()

        def deed() -> None:
            for table in tables:
                for old, new in ((one, -1), (other, one), (-1, other)):
                    self.store.run(f"UPDATE ${table} SET position = ? WHERE position = ?", (new, old))

        row = row_of(Attacker.STORE, "contents swapped" if tables == ("content",) else "entries swapped")
        self.trials.try_out(f"{tables} {one - 1} and {other - 1} swapped", row, deed, one - 1)

    def duplicated(self) -> None:
        """An entry put in again somewhere, the others moved up."""
        position, at = self._index() + 1, self._index() + 1

        def deed() -> None:
            for table in ("entry", "content"):
                columns = ", ".join(column for column in self.store.columns(table) if column != "position")
                self.store.run(f"UPDATE ${table} SET position = -position WHERE position > ?", (at,))
                self.store.run(f"UPDATE ${table} SET position = 1 - position WHERE position < 0")
                source = position if position <= at else position + 1
                self.store.run(
                    f"INSERT INTO ${table} (position, {columns}) SELECT ?, {columns} FROM ${table} WHERE position = ?",
                    (at + 1, source),
                )

        # Put in before itself, it is the original that stands at the wrong place.
        place = at + 1 if at == position - 1 else at
        row = row_of(Attacker.STORE, "an entry put in again")
        self.trials.try_out(f"entry {position - 1} again at {at}", row, deed, place)

    def cut(self) -> None:
        """The tail, with the head row and the signed heads made to fit, and the checkpoint key maybe."""
        forger, index = Forger(self.store), self._index()
        del forger.rows[index:]
        key = self.chance.choice((None, self.key))
        row = row_of(_holder(key), "rewritten: the tail cut", Known.HEAD)
        self.trials.try_out(f"cut to {index}", row, lambda: forger.write(key, keep_checkpoints=False), index)

    def forged(self) -> None:
        """An entry left out, put elsewhere or with another payload; every hash made to fit, and maybe every head."""
        forger, index = Forger(self.store), self.chance.randrange(2, self.size)
        how = self.chance.choice(("an entry left out", "an entry moved", "a payload altered", "an entry dated anew"))
        place = index
        if how == "an entry left out":
            del forger.rows[index]
        elif how == "an entry moved":
            to = self.chance.randrange(2, self.size)
            forger.rows.insert(to, forger.rows.pop(index))
            place = min(index, to)
            if to == index:
                return  # put back where it was
        elif how == "a payload altered":
            forger.alter(index, other_nonce)
        else:
            forger.rows[index]["recorded_at"] += self.chance.choice((1, -1))
        key = self.chance.choice((None, self.key))
        what = f"entry {index}: {how}, {'with' if key else 'without'} the checkpoint key"
        row = row_of(_holder(key), f"rewritten: {how}", Known.HEAD)
        self.trials.try_out(what, row, lambda: forger.write(key), place)


def _holder(key: Any) -> Attacker:
    return Attacker.STORE if key is None else Attacker.CHECKPOINT_KEY


def random_damages(new_url: Callable[[], str], times: int, seed: int, events: int = 200) -> Result:
    """Random damages to a random ledger of at least 200 events, whose last head somebody remembers.

    Args:
        new_url: gives an empty store.
        times: how many.
        seed: of the ledger and of the damages.
        events: how long the ledger is at least.
    """
    result = Result.counting(*ZEROS)
    history = History(new_url(), seed)
    while history.cast.recorder.head().size < events:
        history.run(20)
    history.cast.admin.checkpoint()
    with pytest.MonkeyPatch.context() as memory:
        remember_pure_results(memory)
        with victim(history.cast, [remembered(history.cast)]) as store:
            result.figures["events"] = store.recorder.head().size
            if not store.verify().ok:
                result.failed("not undone", "the ledger was not good to begin with")
            Vandal(Trials(store, result), seed, history.cast.new.checkpoint).run(times)
            if not store.verify().ok:
                result.failed("not undone", "the store does not verify after the last trial")
    return result


# -- no false alarm --------------------------------------------------------------------------------


def clean_ledgers(new_url: Callable[[], str], ledgers: int, seed: int) -> Result:
    """Random ledgers that nobody touched, in which everything happens that may happen to one; see `LedgerLife`.

    Args:
        new_url: gives an empty store.
        ledgers: how many.
        seed: of the first one; each has its own.
    """
    result = Result.counting("false alarms", "crashed")
    with tempfile.TemporaryDirectory(prefix="muniment-clean-") as name:
        for number in range(seed, seed + ledgers):
            result.n += 1
            life = LedgerLife(new_url(), number, Path(name) / str(number))
            try:
                life.run(random.Random(number).randrange(10, 130))
                life.do_checkpoint()
                report = verify_log(life.cast.recorder, life.trust(), life.anchors())
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                result.failed("crashed", f"seed {number}: {error!r} at {last.filename}:{last.lineno}")
                continue
            finally:
                life.cast.recorder.close()
            for kind in KINDS_OF_LIFE:
                result.figures[kind] = result.figures.get(kind, 0) + life.counts[kind]
            result.figures["suspect"] = result.figures.get("suspect", 0) + report.suspects.count
            if not report.ok or report.acknowledged:
                result.failed("false alarms", f"seed {number}: {report.findings}")
    return result
