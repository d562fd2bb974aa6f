"""Group commit: appends that are asked for at the same time share one transaction, each with its own outcome.

There is no thread of its own. Whoever waits first while nobody leads becomes the leader: it makes and appends what is
waiting, its own unit among it, and then hands the lead to the next one who waits. While a commit is on its way to the
disk the next group gathers, so a group is as large as the disk is slow, and nobody waits for company. That the leader
also makes the others' units (signs and judges them) saves them from taking turns at the interpreter's lock.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from ledger.errors import LedgerError, StorageError
from ledger.forks import renew_in_child
from ledger.recorders.units import StoredAt, Unit

__all__ = ["MAX_GROUP", "MAX_WAITING", "GroupCommit", "Outcome", "Ticket"]

#: Events after which no more units are taken into a transaction: this caps how long a commit takes.
MAX_GROUP = 256
#: Units that may wait; whoever comes then waits for a place, and is refused after a time.
MAX_WAITING = 4096
_PATIENCE_SECONDS = 30.0

Outcome = list[StoredAt] | LedgerError


class Ticket:
    """A unit on its way.

    Args:
        make: makes the unit, or None when there is nothing to append; called by the leader.
        stored: called by the leader, in log order, when the unit was appended.
    """

    __slots__ = ("make", "outcome", "sleeps", "stored", "turn")

    def __init__(self, make: Callable[[], Unit | None], stored: Callable[[Sequence[StoredAt]], None]) -> None:
        self.make = make
        self.stored = stored
        self.outcome: Outcome | Exception | None = None
        self.sleeps = False
        self.turn = threading.Lock()  # held but while its thread is to wake
        self.turn.acquire()


class UnitStore(Protocol):
    """What stands behind the queue."""

    def append(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        """Append units in one durable transaction; see `append_units`."""


class GroupCommit:
    """The queue in front of a store.

    Args:
        store: appends units in one durable transaction and returns an outcome for each.
        max_waiting: units that may wait.
        patience: seconds after which a unit that found no place is refused.
    """

    def __init__(
        self,
        store: UnitStore,
        *,
        max_waiting: int = MAX_WAITING,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._store = store
        self._max_waiting = max_waiting
        self._patience = patience
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """See `forks.Renewed`: what waits, waits in the parent."""
        # Always taken by its own name: an interrupt inside a Condition's `__enter__` would leave it locked.
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._waiting: deque[Ticket] = deque()
        self._leader: Ticket | None = None
        self._in_hand: list[Ticket] = []  # the leader's group, so that no interrupt can lose a ticket of it

    def enqueue(self, make: Callable[[], Unit | None], stored: Callable[[Sequence[StoredAt]], None]) -> Ticket:
        """Take a place in the queue; the caller must then `wait` for the ticket.

        Args:
            make: see `Ticket`.
            stored: see `Ticket`.

        Raises:
            StorageError: the queue stayed full; nothing was appended.
        """
        ticket = Ticket(make, stored)
        with self._lock:
            if len(self._waiting) >= self._max_waiting and not self._room.wait_for(self._has_room, self._patience):
                raise StorageError(
                    f"{self._max_waiting:,} appends wait for the store already, which does not keep up",
                    hint="Nothing was appended. Retry later, send less at once, or send batches.",
                )
            self._waiting.append(ticket)
        return ticket

    def _has_room(self) -> bool:
        return len(self._waiting) < self._max_waiting

    def wait(self, ticket: Ticket) -> Outcome:
        """Wait until a ticket's unit was appended or refused, doing the work when nobody else does.

        Returns:
            Where the unit's events stand (nothing when there was no unit), or why it was refused.

        Raises:
            StorageError: the store failed; see its ``outcome_unknown``.
        """
        try:
            while ticket.outcome is None:
                if self._leads(ticket):
                    self._append_group()
                else:
                    ticket.turn.acquire()
            self._leave(ticket)
        except BaseException as error:
            self._leave(ticket, error)
            raise
        if isinstance(ticket.outcome, Exception) and (
            isinstance(ticket.outcome, StorageError) or not isinstance(ticket.outcome, LedgerError)
        ):
            raise ticket.outcome
        return ticket.outcome

    def _leads(self, ticket: Ticket) -> bool:
        with self._lock:
            if self._leader is None:
                self._leader = ticket
            leads = self._leader is ticket
            ticket.sleeps = not leads and ticket.outcome is None
            if not leads and not ticket.sleeps:
                self._wake(ticket)  # its outcome came this very moment
            return leads

    def _leave(self, ticket: Ticket, error: BaseException | None = None) -> None:
        """Its thread goes, be it for an interrupt at any moment: nobody may wait for what it had in hand."""
        with self._lock:
            ticket.sleeps = False
            if self._leader is ticket:
                self._settle(self._in_hand, _cut_short(error))
                self._leader = None
            if self._leader is None:
                self._wake_next()

    def _wake_next(self) -> None:
        for ticket in self._waiting:
            if ticket.sleeps:
                self._wake(ticket)
                return

    @staticmethod
    def _wake(ticket: Ticket) -> None:
        if ticket.turn.locked():  # only who holds our lock releases it
            ticket.turn.release()
        ticket.sleeps = False

    def _append_group(self) -> None:
        group = self._in_hand = []
        try:
            units = self._make_units(group)
            outcomes = self._store.append([unit for _, unit in units]) if units else ()
            for (ticket, _), outcome in zip(units, outcomes, strict=True):
                self._tell(ticket, outcome)
        except LedgerError as error:  # the store failed, or the ledger has moved to another one
            self._fail(group, error)
        except BaseException as error:
            # An interrupt of the leader, or a bug: the others' appends may or may not have been recorded.
            self._fail(group, _cut_short(error))
            raise
        with self._lock:
            self._settle(group, _cut_short(None))

    @staticmethod
    def _tell(ticket: Ticket, outcome: Outcome) -> None:
        if not isinstance(outcome, LedgerError):
            # What was appended stays appended: who cannot follow it now reads it again.
            with suppress(LedgerError):
                ticket.stored(outcome)
        ticket.outcome = outcome

    def _settle(self, group: Sequence[Ticket], error: LedgerError) -> None:
        """Wake whoever sleeps; what was left without an outcome is unknown."""
        self._fail(group, error)
        for ticket in group:
            if ticket.sleeps:
                self._wake(ticket)

    def _make_units(self, group: list[Ticket]) -> list[tuple[Ticket, Unit]]:
        """Take tickets into the group and make their units; what cannot be made has its outcome at once."""
        units: list[tuple[Ticket, Unit]] = []
        events = 0
        while events < MAX_GROUP and (ticket := self._next(group)) is not None:
            try:
                unit = ticket.make()
            except Exception as error:  # noqa: BLE001 - it belongs to the thread that waits for this ticket
                ticket.outcome = error
                continue
            if unit is None:
                ticket.outcome = []
                continue
            events += len(unit.events)
            units.append((ticket, unit))
        return units

    def _next(self, group: list[Ticket]) -> Ticket | None:
        with self._lock:
            if not self._waiting:
                return None
            group.append(self._waiting[0])
            self._waiting.popleft()
            self._room.notify()
            return group[-1]

    @staticmethod
    def _fail(group: Sequence[Ticket], error: LedgerError) -> None:
        for ticket in group:
            if ticket.outcome is None:
                ticket.outcome = copy.copy(error)  # a traceback belongs to one thread


def _cut_short(error: BaseException | None) -> StorageError:
    return StorageError(
        f"the append was cut short: {error!r}", outcome_unknown=True, hint="Retrying with the same event is safe."
    )
