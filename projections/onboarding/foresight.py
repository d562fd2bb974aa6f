"""A ledger as it would be known if some events were recorded: nothing is signed or stored, and the rules are asked."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import uuid4

from ledger.application import Ledger
from ledger.domain import RecordedEvent, judge, make_event
from ledger.domain.decisions import marks_of
from ledger.domain.evolution import evolve
from ledger.domain.states import State
from ledger.domain.world import World
from ledger.emission import build_payload
from ledger.entry import ZERO_HASH, Entry
from ledger.errors import LedgerError
from ledger.names import stream_of
from ledger.replay import Judged
from ledger.stored import Row
from projections.base import Selection, Table, ViewReader
from projections.catalogue import PROJECTIONS
from projections.known import Known
from projections.onboarding.sheet import Step

__all__ = ["Foreseen"]


class _World:
    """The world behind the last entry, and events on top of it."""

    def __init__(self, base: World) -> None:
        self._base, self.ledgerid = base, base.ledgerid
        self._states: dict[str, State | None] = {}

    def state(self, stream: str) -> State | None:
        """See `World.state`."""
        return self._states[stream] if stream in self._states else self._base.state(stream)

    def key_holder(self, keyid: str) -> str | None:
        """See `World.key_holder`."""
        return self._base.key_holder(keyid)

    def admins(self) -> frozenset[str]:
        """See `World.admins`."""
        return self._base.admins()

    def looked_up(self, stream: str) -> State | None:
        """See `World.looked_up`."""
        return self._states[stream] if stream in self._states else self._base.looked_up(stream)

    def quarantined(self) -> tuple[str, ...]:
        """See `World.quarantined`; what is foreseen places none."""
        return self._base.quarantined()

    def leaf_hash(self, index: int) -> bytes | None:
        """See `World.leaf_hash`."""
        return self._base.leaf_hash(index)

    def root_hash(self, size: int) -> bytes | None:
        """See `World.root_hash`."""
        return self._base.root_hash(size)

    def apply(self, event: RecordedEvent) -> None:
        self._states[event.stream] = evolve(self.state(event.stream), event)


_HOLDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "IN": lambda found, value: found in value,
}  # fmt: skip


class _Views:
    """The views, and rows on top of them."""

    def __init__(self, base: ViewReader) -> None:
        self._base = base
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def select(self, table: Table, where: Selection = (), *, limit: int | None = None) -> list[dict[str, Any]]:
        """See `ViewReader.select`."""
        more = [
            dict(row) for row in self._rows.get(table.name, ())
            if all(_HOLDS[sign](row[column], value) for column, sign, value in where)
        ]  # fmt: skip
        return [*self._base.select(table, where, limit=limit), *more][:limit]

    def apply(self, judged: Judged) -> None:
        for projection in PROJECTIONS:
            for table, values in projection.rows(judged):
                names = (column.name for column in table.columns)
                self._rows.setdefault(table.name, []).append(dict(zip(names, values, strict=True)))


@dataclass(frozen=True)
class Foreseen(Known):
    """What would be known.

    Attributes:
        foreseen: the states as they would be.
        overlay: the views as they would be.
    """

    foreseen: _World
    overlay: _Views

    @classmethod
    def of(cls, known: Known) -> Foreseen:
        """Begin with what is known at the head."""
        views = _Views(known.views)
        return cls(known.ledger, views, known.size, _World(known.world), views)

    @property
    def world(self) -> World:
        """See `Known.world`."""
        return self.foreseen

    def after(self, step: Step, now: int) -> Foreseen | LedgerError:
        """What would be known after one more event, or why it would be refused.

        Args:
            step: the event.
            now: when it would be recorded, microseconds since the Unix epoch.
        """
        judged = _judged(self.ledger, self.foreseen, step, self.size, now)
        if judged.verdict.error is not None or judged.event is None:
            return judged.verdict.error or LedgerError("it cannot be read")
        self.foreseen.apply(judged.event)
        self.overlay.apply(judged)
        return replace(self, size=self.size + 1)


def _judged(ledger: Ledger, world: World, step: Step, index: int, now: int) -> Judged:
    keys: Sequence[str] = sorted(signer.public.keyid for signer in ledger.signers)
    _, payload = build_payload(
        ledgerid=ledger.ledgerid, actor=str(ledger.actor), type=step.type, subject=step.subject, data=step.body,
        emitter=str(uuid4()), sequence=1, occurred_at=step.occurred_at, strength=step.strength, event_id=step.id,
    )  # fmt: skip
    event = make_event(index, payload, tuple(keys), now)
    verdict = judge(world, event)
    if verdict.kind == "valid":
        verdict = replace(verdict, marks=marks_of(world, event))
    entry = Entry(
        actor=payload.actor, emitter=payload.emitter, envelope="0" * 64, id=payload.id, index=index, item=0,
        keys=tuple(keys), ledgerid=ledger.ledgerid, payload="0" * 64, prev=ZERO_HASH, recorded_at=now, revision=1,
        sequence=1, stream=stream_of(step.subject), subject=step.subject, type=payload.type,
    )  # fmt: skip
    return Judged(Row(entry, bytes(32), None, None), event, verdict)
