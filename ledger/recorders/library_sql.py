"""The abstract recorders of the library `eventsourcing`, over the SQL that both backends share."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
)

from ledger.errors import ConflictError, InputError, LedgerError
from ledger.mapper import SignedStoredEvent
from ledger.recorders.read_sql import FROM, ReadSql
from ledger.recorders.units import StoredAt, Unit

__all__ = ["LibrarySql"]

_POLL_SECONDS = 0.1


class LibrarySql(ReadSql, ProcessRecorder):
    """The part of a recorder that the library asks; it shares rows and positions with the rest."""

    _writing: Callable[[], AbstractContextManager[None]]

    @abstractmethod
    def append_here(self, unit: Unit) -> list[StoredAt] | LedgerError:
        """Append one unit inside the caller's transaction; see `append_units`."""

    def signed(self, event: StoredEvent) -> SignedStoredEvent:
        """The signed form of an event handed to `insert_events`.

        Raises:
            InputError: it carries no header and no signature.
        """
        if not isinstance(event, SignedStoredEvent):
            raise InputError("only signed events can be stored: map them with ledger.mapper.EventMapper")
        return event

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Store events at their own revisions, with an optional ``tracking`` in the same transaction.

        Raises:
            IntegrityError: a revision, an id or the tracking position is taken.
        """
        tracking: Tracking | None = kwargs.get("tracking")
        with self._writing():
            positions: list[int] = []
            if stored_events:
                unit = Unit(tuple(self.signed(event) for event in stored_events), fixed=True)
                outcome = self.append_here(unit)
                if isinstance(outcome, ConflictError):
                    raise IntegrityError(outcome.message)
                if isinstance(outcome, LedgerError):
                    raise outcome
                positions = [stored.index + 1 for stored in outcome]
            if tracking is not None:
                self._track(tracking)
        return positions or None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Events of one stream by revision."""
        where, parameters = ["e.stream = ?"], [str(originator_id)]
        for condition, bound in (("e.revision > ?", gt), ("e.revision <= ?", lte)):
            if bound is not None:
                where.append(condition)
                parameters.append(bound)  # type: ignore[arg-type]
        order = "DESC" if desc else "ASC"
        sql = f"SELECT e.stream, e.revision, e.type, c.payload {FROM} WHERE {' AND '.join(where)} ORDER BY e.revision {order}"  # noqa: E501 - constants
        if limit is not None:
            sql += " LIMIT ?"
            parameters.append(limit)  # type: ignore[arg-type]
        return [StoredEvent(*fields) for fields in self._run(sql, tuple(parameters))]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Events of the whole log by position (leaf index + 1)."""
        where, parameters = ["1 = 1"], []
        if start is not None:
            where.append("e.position >= ?" if inclusive_of_start else "e.position > ?")
            parameters.append(start)
        if stop is not None:
            where.append("e.position <= ?")
            parameters.append(stop)
        if topics:
            where.append(f"e.type IN ({', '.join('?' for _ in topics)})")
            parameters.extend(topics)  # type: ignore[arg-type]
        sql = f"SELECT e.stream, e.revision, e.type, c.payload, e.position {FROM} WHERE {' AND '.join(where)} ORDER BY e.position LIMIT ?"  # noqa: E501 - constants
        return [Notification(*fields) for fields in self._run(sql, (*parameters, limit))]

    def max_notification_id(self) -> int | None:
        """Position of the last event."""
        found = self._run("SELECT max(position) FROM $entry")
        return found[0][0]  # type: ignore[no-any-return]

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        """Iterate over events as they are recorded, by polling."""
        return _PollingSubscription(self, gt=gt, topics=topics)

    def insert_tracking(self, tracking: Tracking) -> None:
        """Record how far an upstream was processed."""
        with self._writing():
            self._track(tracking)

    def _track(self, tracking: Tracking) -> None:
        last = self.max_tracking_id(tracking.application_name)
        if last is not None and tracking.notification_id <= last:
            raise IntegrityError(f"{tracking.application_name} was already processed up to {last}")
        name, position = tracking.application_name, tracking.notification_id
        if last is None:
            self._run("INSERT INTO $tracking (name, position) VALUES (?, ?)", (name, position))
        else:
            self._run("UPDATE $tracking SET position = ? WHERE name = ?", (position, name))

    def max_tracking_id(self, application_name: str) -> int | None:
        """How far an upstream was processed."""
        found = self._run("SELECT position FROM $tracking WHERE name = ?", (application_name,))
        return found[0][0] if found else None


class _PollingSubscription(Subscription[ApplicationRecorder]):
    """New events in pages of 500, polled ten times a second."""

    def __init__(self, recorder: LibrarySql, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder, gt=gt, topics=topics)
        self._page: Iterator[Notification] = iter(())

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            for notification in self._page:
                self._last_notification_id = notification.id
                return notification
            found = self._recorder.select_notifications(
                self._last_notification_id, 500, topics=self._topics, inclusive_of_start=False
            )
            self._page = iter(found)
            if not found:
                time.sleep(_POLL_SECONDS)
        raise StopIteration
