"""The suites that the event-store library ships, run against our recorders; after each test the store is audited."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.tests import persistence as suites

from ledger.mapper import SignedStoredEvent
from ledger.recorders.postgres import PostgresRecorder
from ledger.recorders.sql import SqlRecorder
from ledger.recorders.sqlite import SqliteRecorder
from ledger.stored import LogIdentity
from tests.contract.support import ORIGIN, audit


class SyntheticHeaders(SqlRecorder):
    """Gives the suites' bare events the header that our events carry."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._numbers = itertools.count(1)
        self._emitter = str(uuid.uuid4())

    def signed(self, event: StoredEvent) -> SignedStoredEvent:
        number = next(self._numbers)
        event_id = str(uuid.uuid4())
        return SignedStoredEvent(
            originator_id=event.originator_id,
            originator_version=event.originator_version,
            topic=event.topic,
            state=event.state,
            actor="suite",
            emitter=self._emitter,
            envelope=hashlib.sha256(event_id.encode()).hexdigest(),
            id=event_id,
            item=0,
            keys=(hashlib.sha256(b"suite").hexdigest(),),
            payload=hashlib.sha256(event.state).hexdigest(),
            sequence=number,
            subject=str(event.originator_id),
            signatures=b"[]",
            authority=False,
        )


class SyntheticSqlite(SyntheticHeaders, SqliteRecorder):
    pass


class SyntheticPostgres(SyntheticHeaders, PostgresRecorder):
    pass


class Store:
    """A new store for each test, audited afterwards; `open_store` is a backend's own."""

    recorder: SyntheticHeaders

    def used(self, url: str) -> Iterator[None]:
        self.recorder.create(LogIdentity("0" * 32, ORIGIN))
        try:
            yield
        finally:
            self.recorder.close()
        audit(url, first_revision=None)  # the suites begin their streams anywhere

    def create_recorder(self) -> Any:
        return self.recorder

    def new_originator_id(self) -> str:
        return f"suite:{uuid.uuid4()}"

    test_performance: Any = None  # left out: it prints and asserts nothing


class OnSqlite(Store):
    """On a file."""

    @pytest.fixture(autouse=True)
    def open_store(self, tmp_path: Path) -> Iterator[None]:
        path = tmp_path / "suite.db"
        self.recorder = SyntheticSqlite(path)
        yield from self.used(f"sqlite:///{path}")


class OnPostgres(Store):
    """In a schema."""

    @pytest.fixture(autouse=True)
    def open_store(self, postgres_url: str) -> Iterator[None]:
        self.recorder = SyntheticPostgres(postgres_url)
        yield from self.used(postgres_url)


class WithSubscriptions(suites.ApplicationRecorderTestCase):
    """The suite, with the test it calls optional."""

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestApplicationOnSqlite(OnSqlite, WithSubscriptions):
    pass


class TestApplicationOnPostgres(OnPostgres, WithSubscriptions):
    pass


class TestNonInterleavingOnSqlite(OnSqlite, suites.NonInterleavingNotificationIDsBaseCase):
    pass


class TestNonInterleavingOnPostgres(OnPostgres, suites.NonInterleavingNotificationIDsBaseCase):
    pass


class TestTrackingOnSqlite(OnSqlite, suites.TrackingRecorderTestCase):
    pass


class TestTrackingOnPostgres(OnPostgres, suites.TrackingRecorderTestCase):
    pass


class TestProcessOnSqlite(OnSqlite, suites.ProcessRecorderTestCase):
    pass


class TestProcessOnPostgres(OnPostgres, suites.ProcessRecorderTestCase):
    pass
