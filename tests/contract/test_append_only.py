"""Nothing recorded is changed, deleted or replaced by plain SQL, and heads go only forward."""

from __future__ import annotations

import re
from pathlib import Path

import apsw
import psycopg
import pytest

from ledger.application import Ledger
from ledger.errors import ConfigurationError, VerificationError
from ledger.keys import Ed25519Signer
from ledger.stored import SignedHead
from ledger.verify import verify_log
from tests.contract.support import audit, fill, make_cast, raw


def changes(table: str, column: str) -> list[str]:
    return [
        f"UPDATE ${table} SET {column} = {column}",
        f"DELETE FROM ${table}",
        f"DELETE FROM ${table} WHERE 1 = 0 OR {column} = (SELECT min({column}) FROM ${table})",
    ]


@pytest.mark.parametrize(
    ("table", "column"),
    [("log", "origin"), ("entry", "actor"), ("content", "payload"), ("tile", "root"), ("checkpoint", "note"),
     ("head", "id"), ("signed_head", "id"), ("attestation", "body")],
)  # fmt: skip
def test_nothing_is_changed_or_deleted_by_plain_sql(quick_url: str, table: str, column: str):
    cast = make_cast(quick_url, actors=())
    fill(cast.recorder, 256)
    cast.admin.checkpoint()
    cast.recorder.add_attestation(258, "published", "somewhere", b"that it was")
    statements = changes(table, column) if table != "head" else changes(table, column)[1:]
    with raw(quick_url) as store:
        if not store.sqlite:
            statements.append(f"TRUNCATE ${table}")
        before = store.run(f"SELECT * FROM ${table} ORDER BY 1")
        assert before
        for statement in statements:
            with pytest.raises((apsw.Error, psycopg.Error), match="append-only"):
                store.run(statement)
        assert store.run(f"SELECT * FROM ${table} ORDER BY 1") == before
    audit(quick_url)


@pytest.mark.parametrize(
    "table", ["log", "entry", "content", "tile", "checkpoint", "head", "signed_head", "attestation"]
)
def test_an_insert_replaces_nothing(quick_url: str, table: str):
    """SQLite's REPLACE deletes without firing DELETE triggers; PostgreSQL's ON CONFLICT is an UPDATE."""
    cast = make_cast(quick_url, actors=())
    fill(cast.recorder, 256)
    cast.admin.checkpoint()
    cast.recorder.add_attestation(258, "published", "somewhere", b"that it was")
    with raw(quick_url) as store:
        columns = store.columns(table)
        before = store.run(f"SELECT * FROM ${table} ORDER BY 1")
        if store.sqlite:
            verb, tail = "INSERT OR REPLACE", ""
        else:
            key = {"tile": "level, idx", "entry": "position", "content": "position", "checkpoint": "size",
                   "attestation": "number"}  # fmt: skip
            target, changed = key.get(table, "id"), "size" if "head" in table else columns[-1]
            verb, tail = "INSERT", f" ON CONFLICT ({target}) DO UPDATE SET {changed} = EXCLUDED.{changed}"
        row = list(before[0])
        row[-1] = 0 if isinstance(row[-1], int) else bytes(32)
        if "head" in table:
            row[columns.index("size")] = 1
        marks = ", ".join("?" for _ in columns)
        with pytest.raises((apsw.Error, psycopg.Error), match="append-only"):
            store.run(f"{verb} INTO ${table} ({', '.join(columns)}) VALUES ({marks}){tail}", row)
        assert store.run(f"SELECT * FROM ${table} ORDER BY 1") == before
    audit(quick_url)


@pytest.mark.parametrize("column", ["(stream, revision)", "(id, actor)", "(emitter, sequence, actor)"])
def test_an_insert_replaces_no_row_of_another_position(tmp_path: Path, column: str):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    make_cast(url, actors=())
    with raw(url) as store:
        columns = store.columns("entry")
        before = store.run("SELECT * FROM $entry ORDER BY 1")
        row = dict(zip(columns, before[1], strict=True))
        fresh = {"position": 900, "stream": "run:x", "id": "x", "emitter": "x"}
        kept = set(re.findall(r"\w+", column))
        row.update({name: value for name, value in fresh.items() if name not in kept})
        with pytest.raises(apsw.Error, match="append-only"):
            store.run(
                f"INSERT OR REPLACE INTO entry ({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)})",
                [row[name] for name in columns],
            )
        assert store.run("SELECT * FROM $entry ORDER BY 1") == before


def test_the_head_goes_only_forward(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    size = cast.recorder.head().size
    with raw(quick_url) as store:
        for statement in (f"UPDATE $head SET size = {size - 1}", "UPDATE $head SET size = 0, authority = -1"):
            with pytest.raises((apsw.Error, psycopg.Error), match="append-only"):
                store.run(statement)
        assert store.run("SELECT size FROM $head") == [(size,)]
        store.run(f"UPDATE $head SET size = {size}")


def test_signed_heads_go_only_forward(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    note = cast.admin.checkpoint()
    size = cast.recorder.head().size
    assert cast.admin.checkpoint() == note
    last = cast.recorder.signed_head()
    assert last is not None
    assert last.size == size
    for new, previous in (
        (SignedHead(size, last.root), last),
        (SignedHead(size - 1, last.root), last),
        (SignedHead(size + 5, last.root), last),
        (SignedHead(size + 5, last.root), SignedHead(size - 1, last.root)),
        (SignedHead(size + 5, last.root), SignedHead(size, bytes(32))),
    ):
        assert not cast.recorder.add_checkpoint(new, b"a note", previous)
    assert cast.recorder.signed_head() == last
    assert cast.recorder.last_checkpoint().note == note


def test_a_head_is_signed_only_over_what_was_read_again(quick_url: str):
    cast = make_cast(quick_url, actors=("p-author",))
    cast["p-author"].emit("run.started", "run:r")
    signed_before = cast.recorder.last_checkpoint()
    with raw(quick_url) as store:
        store.unprotect()
        position = cast.recorder.head().size
        store.run("UPDATE $entry SET recorded_at = recorded_at + 1 WHERE position = ?", (position,))
    with pytest.raises(VerificationError) as caught:
        cast.admin.checkpoint()
    assert (caught.value.fault, caught.value.index) == ("header", position - 1)
    assert cast.recorder.last_checkpoint() == signed_before


def test_a_head_is_not_signed_with_another_key(quick_url: str):
    cast = make_cast(quick_url, actors=())
    wrong = Ledger(
        cast.recorder, actor="p-admin", signers=[cast.new.admin_key], checkpoint_signer=Ed25519Signer.generate()
    )
    wrong.emit("incident.opened", "incident:1", title="x")
    before = cast.recorder.last_checkpoint()
    with pytest.raises(ConfigurationError, match="checkpoint key"):
        wrong.checkpoint()
    assert cast.recorder.last_checkpoint() == before
    cast.admin.checkpoint()
    assert verify_log(cast.recorder, cast.new.trust).ok
