"""The world that verification judges against: it keeps little, and looks up the rest in the checked part of the log."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from ledger.domain import RecordedEvent, State, evolve
from ledger.domain.actors import ActorState
from ledger.domain.judge import KEPT
from ledger.domain.world import LogView
from ledger.events.quarantine import QuarantinePlaced
from ledger.replay import Judged
from ledger.stored import Head, LogReader, Row
from ledger.worlds import StoreWorld

__all__ = ["AuditWorld"]


class _Fixed:
    """A log whose head row is not believed: its size is what was counted, and actors may have changed at any place."""

    def __init__(self, log: LogReader, size: int) -> None:
        self._log = log
        self._head = Head(size, b"", b"", 0, size)

    def head(self) -> Head:
        return self._head

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class AuditWorld:
    """`World` folded event by event in log order.

    Only states that judging may ask for again and again are kept: they grow with actors, models and their versions, and
    not with the log. Of data sets these are the ones some version of which is registered more than once, or that were
    in quarantine. A run, or another data set, is asked for when a version that was made by or from it is to be approved
    or authorised, so its stream is folded then, from rows that are checked and judged again. So is, when verification
    does not begin with entry 0, whatever lies before its beginning.

    Args:
        log: the store.
        ledgerid: of the log.
        view: the log's hashes, as far as they were checked.
        start: index of the first event that will be applied.
        size: number of entries in the store.
        datasets: streams of data sets to keep.
    """

    def __init__(
        self, log: LogReader, ledgerid: str, view: LogView, *, start: int, size: int, datasets: Collection[str]
    ) -> None:
        self._datasets = datasets
        self.ledgerid = ledgerid
        self.index = start
        self._view = view
        self._start = start
        self._past = StoreWorld(cast("LogReader", _Fixed(log, size)))
        self._states: dict[str, State | None] = {}
        self._holders: dict[str, str] = {}
        self._admins: frozenset[str] = frozenset()
        self._quarantined: dict[str, None] = {}

    def state(self, stream: str) -> State | None:
        """See `World.state`; of a stream that is not kept, as of ``index``."""
        if stream in self._states:
            return self._states[stream]
        if stream.partition(":")[0] not in KEPT:
            return self._past.state_before(stream, self.index)
        if stream.startswith("dataset:") and stream not in self._datasets:
            # Whatever is behind the start says nothing that is asked; before it there may be a quarantine.
            return self._past.state_before(stream, self._start) if self._start else None
        if self._start:
            self._states[stream] = self._past.state_before(stream, self._start)
        return self._states.get(stream)

    def looked_up(self, stream: str) -> State | None:
        """See `World.looked_up`."""
        if stream.startswith("dataset:") and stream not in self._datasets:
            return self._past.state_before(stream, self.index)
        return self.state(stream)

    def folded(self, stream: str, index: int) -> State | None:
        """State of a stream before ``index``, from its own rows, each checked and judged."""
        return self._past.state_before(stream, index)

    def judged(self, row: Row) -> Judged:
        """A row of the checked part of the log, judged again at its own index."""
        return self._past.judge_row(row)

    def key_holder(self, keyid: str) -> str | None:
        """See `World.key_holder`."""
        holder = self._holders.get(keyid)
        if holder is None and self._start:
            return self._past.key_holder_before(keyid, self._start)
        return holder

    def admins(self) -> frozenset[str]:
        """See `World.admins`."""
        return self._admins | (self._past.admins_before(self._start) if self._start else frozenset())

    def quarantined(self) -> tuple[str, ...]:
        """See `World.quarantined`."""
        before = self._past.quarantined_before(self._start) if self._start else ()
        return tuple(dict.fromkeys((*before, *self._quarantined)))

    def leaf_hash(self, index: int) -> bytes | None:
        """See `World.leaf_hash`."""
        return self._view.leaf_hash(index)

    def root_hash(self, size: int) -> bytes | None:
        """See `World.root_hash`."""
        return self._view.root_hash(size)

    def apply(self, event: RecordedEvent) -> None:
        """Fold one valid event."""
        if event.subject.kind not in KEPT:
            return
        if event.subject.kind == "dataset" and event.stream not in self._datasets:
            return  # nothing will ask for its digest, and it was never in quarantine
        if isinstance(event.body, QuarantinePlaced):
            self._quarantined.setdefault(event.stream)
        state = evolve(self.state(event.stream), event)
        if state is not None:
            self._states[event.stream] = state
        if isinstance(state, ActorState):
            for keyid in state.keys:
                self._holders.setdefault(keyid, state.actor)
            if state.is_admin:
                self._admins |= {state.actor}
