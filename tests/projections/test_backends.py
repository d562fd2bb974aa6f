"""The same log gives the same answers, whichever backend holds it and its views."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ledger.application import Ledger
from projections.catalogue import PROJECTIONS, open_runner
from tests.contract.support import digest
from tests.projections.support import INCIDENT, PROD, Book, Reader, copy_log, tell


@pytest.fixture
def both(sqlite_url: str, postgres_url: str, make_book: Callable[..., Book]) -> Iterator[tuple[Reader, Reader]]:
    """Readers of one log in SQLite and in PostgreSQL, byte for byte the same."""
    book = make_book(sqlite_url)
    tell(book)
    other = {"environment": "prod", "digest": digest("x"), "request": "0" * 8 + "-0000-7000-8000-" + "0" * 12}
    book.force("p-author", "approval.granted", "model:scoring@4", {**other, "rationale": "by myself"}, at=22)
    copy_log(book.cast.recorder, postgres_url)
    with Ledger.open(postgres_url) as copy:
        runner = open_runner(copy, postgres_url)
        yield book.reader(), Reader(copy, runner, runner.catch_up())
        runner.views.close()


def test_the_two_logs_are_the_same(both: tuple[Reader, Reader]):
    one, other = (reader.ledger.recorder for reader in both)
    assert one.rows(0, 1000) == other.rows(0, 1000)
    assert one.head() == other.head()
    assert {one.backend, other.backend} == {"sqlite", "postgres"}


def test_state_timeline_and_report_are_equal(both: tuple[Reader, Reader]):
    one, other = both
    assert one.size == other.size > 40
    assert one.answers() == other.answers()
    for at in (None, 3.4, 14.6, 17.5):
        for known in (33, one.size - 1, one.size):
            assert one.answers(at=at, known=known) == other.answers(at=at, known=known), (at, known)


def test_what_the_reading_commands_say_is_equal(both: tuple[Reader, Reader]):
    one, other = both
    names = ("model:scoring", "model:scoring@2", "dataset:base@1", "run:scoring-2", PROD, INCIDENT)
    for at in (None, 14.6):
        for known in (33, one.size):
            told = one.told(names, at=at, known=known)
            assert told == other.told(names, at=at, known=known), (at, known)
    assert sum(isinstance(answer, str) for answer in told.values()) < len(told) / 2, "most are answered"


def test_views_hold_the_same_rows(both: tuple[Reader, Reader]):
    one, other = (reader.runner.views for reader in both)
    digests = [one.digest(projection) for projection in PROJECTIONS]
    assert digests == [other.digest(projection) for projection in PROJECTIONS]
    assert len(set(digests)) == len(PROJECTIONS)


def test_rows_come_in_the_order_of_bytes_on_every_backend(both: tuple[Reader, Reader]):
    """PostgreSQL would sort text by the language of its database."""
    from projections.lineage import EDGE

    one, other = (reader.runner.views.select(EDGE) for reader in both)
    assert one == other
    keys = [(row["position"], row["downstream"], row["relation"], row["upstream"]) for row in one]
    assert keys == sorted(keys)
