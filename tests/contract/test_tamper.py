"""Whatever is changed in a store that somebody else remembers the head of is found, and found where it is."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ledger.application import Ledger
from ledger.checkpoint import verify_checkpoint
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import LedgerError, VerificationError
from ledger.recorders import open_recorder
from ledger.verify import Anchor, verify_log
from tests.attacks.oracle import Attacker, changed_value, row_of
from tests.contract.support import make_cast, raw
from tests.contract.tampering import KEYS, Forger, Victim, changed, remembered, seen, sixteen, victim


@contextmanager
def on_sqlite(path: Path) -> Iterator[Victim]:
    cast, _ = sixteen(f"sqlite:///{path / 'ledger.db'}")
    with victim(cast, [remembered(cast)]) as found:
        assert found.verify().ok
        yield found


@contextmanager
def on_postgres(url: str) -> Iterator[Victim]:
    cast, _ = sixteen(url)
    with victim(cast, [remembered(cast)]) as found:
        assert found.verify().ok
        yield found


def judge_change(store: Victim, table: str, column: str, key: Any, *, old: Any, new: Any) -> None:
    """One column of one row gets another value: it must be found, and where it is."""
    what = f"{table}.{column} of row {key}: {old!r} -> {new!r}"
    with store.trial():
        store.run(f"UPDATE ${table} SET {column} = ? WHERE {KEYS[table]} = ?", (new, key))
        seen(store, what, *changed_value(table, column, key, new))


def rows_of(store: Victim, table: str) -> Iterator[tuple[Any, str, Any]]:
    """(key, column, value) of everything a table holds."""
    columns = store.columns(table)
    for row in store.run(f"SELECT * FROM ${table} ORDER BY {KEYS[table]}"):
        key = row[columns.index(KEYS[table])]
        for column, value in zip(columns, row, strict=True):
            yield key, column, value


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("table", ["entry", "content", "head", "checkpoint", "log", "signed_head"])
def test_every_single_byte_on_sqlite(memory_path: Path, table: str):
    """Of entries and contents every twentieth byte, beginning anywhere: `tamper-bytes` of `make campaign` takes all of
    them, in four ways."""
    tried, chance = 0, random.Random(7)
    with on_sqlite(memory_path) as store:
        for key, column, value in list(rows_of(store, table)):
            every = list(changed(value))
            if table in ("entry", "content") and len(every) > 8:
                every = every[chance.randrange(min(20, len(every))) :: 20]
            for other in every:
                judge_change(store, table, column, key, old=value, new=other)
                tried += 1
        assert store.verify().ok, "every trial was undone"
    assert tried > {"entry": 400, "content": 550, "head": 70, "checkpoint": 500, "log": 50, "signed_head": 35}[table]


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("table", ["entry", "log"])
def test_text_that_is_not_utf8_on_sqlite(memory_path: Path, table: str):
    with on_sqlite(memory_path) as store:
        for key, column, value in list(rows_of(store, table)):
            if not isinstance(value, str):
                continue
            for place in (0, len(value) // 2, len(value) - 1):
                data = value.encode()
                data = data[:place] + b"\xff" + data[place + 1 :]
                with store.trial():
                    store.run(f"UPDATE {table} SET {column} = CAST(? AS TEXT) WHERE {KEYS[table]} = ?", (data, key))
                    first = store.first(f"{table}.{column} of row {key}, byte {place}")
                assert table == "log" or (first.fault, first.index) == ("header", key - 1), (column, first)


@pytest.mark.usefixtures("memory")
def test_values_of_another_length_or_kind(quick_url: str):
    """Cut, emptied, lengthened, far out of range: a finding each time, never another error.

    Each column in every fifth row of entries and contents, beginning anywhere: `tamper-random` of `make campaign` cuts
    and exchanges values of all rows of larger ledgers.
    """
    chance = random.Random(7)
    with on_sqlite_or_postgres(quick_url) as store:
        for table in ("entry", "content", "head", "checkpoint", "signed_head"):
            begin = {column: chance.randrange(5) for column in store.columns(table)}
            for key, column, value in list(rows_of(store, table)):
                if column == KEYS[table] or (table in ("entry", "content") and key % 5 != begin[column]):
                    continue
                wide = column not in ("item", "id")  # these are 32 bits wide in PostgreSQL
                others: dict[type, list[Any]] = {
                    int: [-1, -5, 2**53, 2**62] if wide else [-1, 2**31 - 1],
                    str: ["", value[:-1] if isinstance(value, str) else "", f"{value} ", f"{value}é"],
                    bytes: [b"", value[:-1], value + b"\0"] if isinstance(value, bytes) else [],
                }
                for other in others[type(value)]:
                    if other != value:
                        judge_change(store, table, column, key, old=value, new=other)


@contextmanager
def on_sqlite_or_postgres(url: str) -> Iterator[Victim]:
    if url.startswith("sqlite"):
        with on_sqlite(Path(url.removeprefix("sqlite:///")).parent) as found:
            yield found
    else:
        with on_postgres(url) as found:
            yield found


@pytest.mark.usefixtures("memory")
def test_every_column_of_every_row_and_a_sample_of_bytes_on_postgres(postgres_url: str):
    chance, tried = random.Random(7), 0
    with on_postgres(postgres_url) as store:
        for table in ("entry", "content", "head", "checkpoint", "log"):
            for key, column, value in list(rows_of(store, table)):
                judge_change(store, table, column, key, old=value, new=chance.choice(list(changed(value))))
                tried += 1
        assert store.verify().ok
    assert tried > 300


# -- rows ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("memory")
def test_every_deleted_row(quick_url: str):
    with on_sqlite_or_postgres(quick_url) as store:
        for index in range(16):
            for tables in (("entry",), ("content",), ("entry", "content")):
                what = f"{' and '.join(tables)} {index}"
                with store.trial():
                    for table in tables:
                        store.run(f"DELETE FROM ${table} WHERE position = ?", (index + 1,))
                    lost = "contents deleted" if tables == ("content",) else "entries deleted"
                    seen(store, what, row_of(Attacker.STORE, lost), index)
        for table in ("log", "head"):
            with store.trial():
                store.run(f"DELETE FROM ${table}")
                with pytest.raises(LedgerError):
                    store.verify()
        with store.trial():
            store.run("DELETE FROM $checkpoint WHERE size = 16")
            seen(store, "the remembered head's row", row_of(Attacker.STORE, "the last signed head deleted"), None)
        for table in ("entry", "content", "checkpoint"):
            with store.trial():
                store.run(f"DELETE FROM ${table}")
                store.first(f"all of {table}")


@pytest.mark.usefixtures("memory")
def test_deleted_heads_are_found_by_whoever_remembers_them(quick_url: str):
    with on_sqlite_or_postgres(quick_url) as store:
        notes = {size: bytes(note) for size, note in store.run("SELECT * FROM $checkpoint")}
        for size, note in notes.items():
            anchor = Anchor("a witness", verify_checkpoint(note, store.trust.vkeys))
            with store.trial():
                store.run("DELETE FROM $checkpoint WHERE size = ?", (size,))
                first = store.first(f"checkpoint {size}", [anchor, *store.anchors])
            assert first.fault == "checkpoint"
            assert str(size) in first.message


@pytest.mark.usefixtures("memory")
def test_every_pair_of_neighbours_swapped(quick_url: str):
    with on_sqlite_or_postgres(quick_url) as store:
        for position in range(1, 16):
            for tables in (("entry",), ("content",), ("entry", "content")):
                what = f"{' and '.join(tables)} {position - 1} and {position}"
                with store.trial():
                    for table in tables:
                        for old, new in ((position, -1), (position + 1, position), (-1, position + 1)):
                            store.run(f"UPDATE ${table} SET position = ? WHERE position = ?", (new, old))
                    swap = "contents swapped" if tables == ("content",) else "entries swapped"
                    seen(store, what, row_of(Attacker.STORE, swap), position - 1)
        for pair in ((2, 12), (12, 16)):
            with store.trial():
                for old, new in ((pair[0], -1), (pair[1], pair[0]), (-1, pair[1])):
                    store.run("UPDATE $checkpoint SET size = ? WHERE size = ?", (new, old))
                assert store.first(f"checkpoints {pair}").fault == "checkpoint"


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("tables", [("entry",), ("content",), ("entry", "content")], ids=" and ".join)
def test_every_row_duplicated(quick_url: str, tables: tuple[str, ...]):
    """At the end, behind itself with the others moved up, and at its own place."""
    with on_sqlite_or_postgres(quick_url) as store:
        for position in range(1, 17):
            for name, at in (("at the end", 17), ("behind itself", position + 1), ("in its place", position)):
                what = f"{' and '.join(tables)} {position - 1} {name}"
                with store.trial():
                    for table in tables:
                        columns = [column for column in store.columns(table) if column != "position"]
                        if name == "behind itself":
                            store.run(f"UPDATE ${table} SET position = position + 1 WHERE position > ?", (position,))
                        store.run(
                            f"INSERT INTO ${table} (position, {', '.join(columns)}) "
                            f"SELECT ?, {', '.join(columns)} FROM ${table} WHERE position = ?",
                            (at, position),
                        )
                    first = store.first(what)
                if name == "in its place":
                    assert first.index in (None, position - 1, position), (what, first)
                elif tables != ("content",) or at != 17:
                    assert first.index == at - 1, (what, first)
                else:
                    assert first.fault == "payload", "a content without an entry has no index"


@pytest.mark.usefixtures("memory")
def test_further_rows_where_there_is_one(quick_url: str):
    with on_sqlite_or_postgres(quick_url) as store:
        for table in ("log", "head"):
            columns = store.columns(table)
            for number in (1, 2):
                values = ", ".join(str(number) if column == "id" else column for column in columns)
                with store.trial():
                    store.run(f"INSERT INTO ${table} SELECT {values} FROM ${table}")
                    store.first(f"a second row of {table} with id {number}")
        for size in (1, 15, 17, -3):
            with store.trial():
                store.run("INSERT INTO $checkpoint SELECT ?, note FROM $checkpoint WHERE size = 16", (size,))
                assert store.first(f"a checkpoint of size {size}").fault == "checkpoint"
        with store.trial():
            store.run("INSERT INTO $tile VALUES (0, 0, ?, ?)", (bytes(256 * 32), bytes(32)))
            assert store.first("a tile that cannot be full yet").fault == "tree"
        for position in (0, -7, 18, 10**15):
            with store.trial():
                columns = [column for column in store.columns("entry") if column not in ("position", "id")]
                store.run(
                    f"INSERT INTO $entry (position, id, {', '.join(columns)}) "
                    f"SELECT ?, 'new', {', '.join(columns)} FROM $entry WHERE position = 16", (position,)
                )  # fmt: skip
                store.first(f"an entry at position {position}")
                if position > 0:
                    continue
                # Nothing else about it is wrong, and reading from the first entry on never meets it.
                store.run(
                    "UPDATE $entry SET stream = 'external:new', revision = 1, emitter = ?, sequence = 1 "
                    "WHERE position = ?", ("0" * 8 + "-0000-4000-8000-" + "0" * 12, position)
                )  # fmt: skip
                assert "17 rows of entries, and 16 of them follow" in store.first("a row in front of all").message


@pytest.mark.usefixtures("memory")
def test_a_row_far_away_that_cannot_be_read_does_not_hold_verification_up(memory_path: Path):
    with on_sqlite(memory_path) as store:
        with store.trial():
            store.run("UPDATE entry SET position = 1000000000000, actor = CAST(x'ff' AS TEXT) WHERE position = 16")
            started = time.monotonic()
            first = store.first("an unreadable row far away")
            assert time.monotonic() - started < 60, "a step for each of 10**12 positions would take days"
        assert first.index == 15, first


# -- the tables themselves ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE INDEX theirs ON entry (actor)"],
        ["CREATE TABLE theirs (x)"],
        ["CREATE VIEW theirs AS SELECT * FROM entry"],
        ["ALTER TABLE entry ADD COLUMN theirs TEXT"],
        ["ALTER TABLE tile RENAME TO tiles", "CREATE VIEW tile AS SELECT * FROM tiles"],
        ["CREATE TABLE loose AS SELECT * FROM entry", "DROP TABLE entry", "ALTER TABLE loose RENAME TO entry"],
        ["CREATE TABLE loose AS SELECT * FROM head", "DROP TABLE head", "ALTER TABLE loose RENAME TO head"],
        ["CREATE TRIGGER theirs BEFORE INSERT ON content BEGIN SELECT RAISE(IGNORE); END"],
        ["CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry BEGIN SELECT 1; END"],
    ],
    ids=lambda statements: statements[0],
)
def test_tables_that_are_not_ours_are_said(memory_path: Path, statements: list[str]):
    """An index or a view of somebody else's making could show one thing to one question and another to the next."""
    cast, _ = sixteen(f"sqlite:///{memory_path / 'ledger.db'}")
    anchor = remembered(cast)
    cast.recorder.close()
    with raw(cast.url) as store:
        store.unprotect()
        assert verify_log(open_recorder(cast.url), cast.new.trust, [anchor]).ok, "triggers are only a courtesy"
        for statement in statements:
            store.run(statement)
    report = verify_log(open_recorder(cast.url), cast.new.trust, [anchor])
    assert not report.ok
    assert "damaged" in report.findings[0].message


_FUNCTION = "CREATE FUNCTION pg_temp.forbid() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
_THEIRS = "CREATE OR REPLACE TRIGGER"


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("ALTER TABLE $entry ENABLE ROW LEVEL SECURITY", "entry"),
        ("CREATE RULE theirs AS ON INSERT TO $content DO INSTEAD NOTHING", "content"),
        ("CREATE TABLE $theirs () INHERITS ($attestation)", "attestation"),
        ("ALTER TABLE $tile RENAME TO tiles; CREATE VIEW $tile AS SELECT * FROM $tiles", "tile"),
        (f"{_THEIRS} theirs BEFORE INSERT ON $content FOR EACH ROW EXECUTE FUNCTION $head_moved()", "content.theirs"),
        (f"{_FUNCTION}; {_THEIRS} append_only BEFORE INSERT ON $content FOR EACH ROW EXECUTE FUNCTION pg_temp.forbid()",
         "content.append_only"),
    ],
)  # fmt: skip
def test_what_is_not_ours_in_a_schema_is_said(postgres_url: str, statement: str, named: str):
    cast, _ = sixteen(postgres_url)
    anchor = remembered(cast)
    with raw(postgres_url) as store:
        for one in statement.split("; C"):
            store.run(one if one.startswith(("C", "A")) else f"C{one}")
        report = verify_log(cast.recorder, cast.new.trust, [anchor])
        assert [(item.fault, item.index) for item in report.findings][:1] == [("head", None)]
        assert any(f"damaged: {named} is not as Muniment makes it" in item.message for item in report.findings)
    cast.recorder.close()


def test_guards_that_are_gone_are_named(store_url: str):
    """They are a courtesy, on which no verdict rests."""
    cast, _ = sixteen(store_url)
    assert cast.recorder.missing_guards() == []
    with raw(store_url) as store:
        store.unprotect("entry")
    missing = cast.recorder.missing_guards()
    assert {"entry.append_only", "entry_no_update"} & set(missing), missing
    assert verify_log(cast.recorder, cast.new.trust, [remembered(cast)]).ok
    cast.recorder.close()


@pytest.mark.parametrize("table", ["checkpoint", "attestation", "log"])
def test_a_view_that_never_ends_is_not_read(memory_path: Path, table: str):
    url = f"sqlite:///{memory_path / 'ledger.db'}"
    cast, _ = sixteen(url)
    cast.recorder.close()
    with raw(url) as store:
        columns = ", ".join(f"n AS {name}" for _, name, *_ in store.run(f"PRAGMA table_info({table})"))
        store.unprotect()
        store.run(f"DROP TABLE {table}")
        endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT 1 FROM t)"
        store.run(f"CREATE VIEW {table} AS {endless} SELECT {columns} FROM t")
    with pytest.raises(VerificationError, match=f"damaged: {table} is not as Muniment makes it"):
        Ledger.open(url)
    with pytest.raises(VerificationError):
        open_recorder(url).identity()


_ENDLESS = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT 1 FROM t)"


@pytest.mark.parametrize(
    "statements",
    [
        *(
            [f"DROP TABLE $TABLE{table}", f"CREATE VIEW $TABLE{table} AS {_ENDLESS} SELECT n AS size, n AS id FROM t"]
            for table in ("checkpoint", "attestation", "log", "head", "content")
        ),
        ["CREATE POLICY theirs ON $tile USING (pg_sleep(600) IS NULL)", "ALTER TABLE $tile ENABLE ROW LEVEL SECURITY"],
        ["CREATE TABLE $theirs () INHERITS ($entry)"],
        ["CREATE MATERIALIZED VIEW $more AS SELECT 1", "ALTER TABLE $signed_head RENAME TO gone",
         "ALTER MATERIALIZED VIEW $more RENAME TO signed_head"],
        ["ALTER TABLE $content ADD COLUMN theirs integer GENERATED ALWAYS AS (position::integer) STORED"],
    ],
    ids=str,
)  # fmt: skip
def test_what_may_never_end_is_not_read_on_postgresql(postgres_url: str, statements: list[str]):
    cast, _ = sixteen(postgres_url)
    cast.recorder.close()
    with raw(postgres_url) as store:
        for statement in statements:
            store.run(statement.replace("$TABLE", "$"))
    with pytest.raises(VerificationError, match=r"damaged: \w+ is not as Muniment makes it"):
        Ledger.open(postgres_url)
    with pytest.raises(VerificationError, match="damaged"):
        open_recorder(postgres_url).identity()


def test_what_else_somebody_keeps_in_the_schema_is_read_past(postgres_url: str):
    """A report's view is a finding of verification, and no reason to read nothing."""
    cast, _ = sixteen(postgres_url)
    cast.recorder.close()
    with raw(postgres_url) as store:
        store.run("CREATE VIEW $theirs AS SELECT * FROM $entry")
    recorder = open_recorder(postgres_url)
    assert recorder.identity().origin
    assert any("theirs is not as" in words for words in recorder.structure_faults())
    recorder.close()


def test_an_id_recorded_twice_by_its_author_is_found(quick_url: str):
    """The uniqueness of ids does not rest on an index that can be dropped."""
    cast, steps = sixteen(quick_url)
    with victim(cast, []) as store:
        forger = Forger(store)
        mine = forger.rows[steps["note"]]
        key = cast.keys[mine["actor"]]
        twin = {**json.loads(mine["content"]), "sequence": "0000000000000000099"}
        envelope = format_envelope(sign_payload(json.dumps(twin).encode(), [key]))
        with store.trial():
            index = forger.add(envelope)
            forger.write(cast.new.checkpoint)
            first = store.first("an id twice")
            assert (first.index, first.fault) == (index, "header")


# -- tiles -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("memory")
def test_changes_of_tiles(quick_url: str):
    """Some bytes: `tamper-tiles` of `make campaign` takes 2,000."""
    cast = make_cast(quick_url, actors=("p-author", "trainer"))
    for number in range(530 - cast.recorder.head().size):
        cast["trainer"].emit("external.observed", f"external:{number % 7}", system="s")
    cast.admin.checkpoint()
    chance = random.Random(3)

    def flip(column: str, place: int) -> Callable[[Victim, int], None]:
        def apply(store: Victim, index: int) -> None:
            ((value,),) = store.run(f"SELECT {column} FROM $tile WHERE idx = ?", (index,))
            data = bytearray(value)
            data[place] ^= 1 << chance.randrange(8)
            store.run(f"UPDATE $tile SET {column} = ? WHERE idx = ?", (bytes(data), index))

        return apply

    def sql(text: str) -> Callable[[Victim, int], None]:
        def apply(store: Victim, index: int) -> None:
            store.run(text, (index,))

        return apply

    changes: list[tuple[str, Callable[[Victim, int], None]]] = [
        *((f"hashes byte {place}", flip("hashes", place)) for place in range(170, 8192, 512)),
        *((f"root byte {place}", flip("root", place)) for place in range(0, 32, 8)),
        ("deleted", sql("DELETE FROM $tile WHERE idx = ?")),
        ("level", sql("UPDATE $tile SET level = 1 WHERE idx = ?")),
        ("index", sql("UPDATE $tile SET idx = idx + 5 WHERE idx = ?")),
        ("cut", sql("UPDATE $tile SET hashes = substr(hashes, 1, 8160) WHERE idx = ?")),
        ("emptied", sql("UPDATE $tile SET root = substr(root, 1, 0) WHERE idx = ?")),
    ]
    with victim(cast, [remembered(cast)]) as store:
        assert store.verify().ok
        for index in (0, 1):
            for name, change in changes:
                with store.trial():
                    change(store, index)
                    first = store.first(f"tile {index} {name}")
                assert (first.fault, first.index) == ("tree", 256 * index), (name, first)
        with store.trial():
            store.run("UPDATE $tile SET idx = 1 - idx")
            assert store.first("swapped").fault == "tree"
        for level, index in ((0, 2), (1, 0), (8, 0), (-1, 0), (0, -1)):
            with store.trial():
                store.run("INSERT INTO $tile SELECT ?, ?, hashes, root FROM $tile WHERE idx = 0", (level, index))
                assert store.first(f"one tile more, {level}/{index}").fault == "tree"
        assert store.verify().ok
