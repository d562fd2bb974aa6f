"""Stretches of the log that the store reads while others are looked at: the same rows, of the same moment."""

from __future__ import annotations

import psycopg
import pytest

from ledger.errors import StorageError
from ledger.recorders.postgres import PostgresRecorder
from ledger.segment import spans
from tests.contract.support import fill, make_cast, raw

SIZE = 2_000


@pytest.mark.parametrize("contents", [False, True])
def test_the_rows_are_those_that_are_read_one_stretch_after_another(quick_url: str, contents: bool):
    recorder = make_cast(quick_url).recorder
    fill(recorder, SIZE)
    wanted = list(spans(0, recorder.head().size))
    with recorder.snapshot():
        ahead = recorder.spans(iter(wanted), contents=contents)
        for (start, stop), found in zip(wanted, ahead, strict=True):
            assert recorder.span(start, stop, contents=contents) == found, "the store is asked other things meanwhile"


def test_what_is_read_ahead_is_of_the_moment_of_the_transaction(quick_url: str):
    recorder = make_cast(quick_url).recorder
    fill(recorder, SIZE)
    size = recorder.head().size
    with raw(quick_url) as other:
        other.unprotect("content")
        with recorder.snapshot():
            assert recorder.head().size == size
            other.run("DELETE FROM $content WHERE position = ?", (size,))
            (*_, last) = recorder.spans(spans(0, size), contents=True)
            assert last[-1][16] is not None
        with recorder.snapshot():
            (*_, last) = recorder.spans(spans(0, size), contents=True)
            assert last[-1][16] is None


def test_a_server_that_goes_away_meanwhile_is_an_error_of_the_store(postgres_url: str, postgres_dsn: str):
    recorder = make_cast(postgres_url).recorder
    fill(recorder, SIZE)
    size = recorder.head().size
    assert isinstance(recorder, PostgresRecorder)
    mine = recorder.store.connect().info.backend_pid
    ours = f"SELECT e.position%{recorder.schema}.entry e %"
    with recorder.snapshot(), psycopg.connect(postgres_dsn, autocommit=True) as other:
        ahead = recorder.spans(spans(0, size), contents=True)
        next(ahead)
        ended = other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE query LIKE %s AND pid NOT IN (pg_backend_pid(), %s)", (ours, mine),
        ).fetchall()  # fmt: skip
        assert ended == [(True,)]
        with pytest.raises(StorageError):
            list(ahead)
