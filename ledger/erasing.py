"""Erasing what is recorded about a data subject: first the signed record, then the destruction it allows.

The order makes every death harmless. The record comes first, in one transaction: from then on nothing new is sealed
with the keys it names, and missing content is excused. Then keys and contents go, each step repeatable, driven by what
the log says and not by what this process remembers. So the same command finishes what was begun, and whoever reads
meanwhile is told that the erasure is recorded and not finished.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger.application import Ledger, Receipt
from ledger.crashpoints import crashpoint
from ledger.datakeys import DataKeys
from ledger.domain.erasure import covering_hold, withheld_by
from ledger.domain.ledgerstate import Erasure, LedgerState
from ledger.entry import Entry
from ledger.errors import InputError, PolicyError
from ledger.events import Erasable, known_event_type
from ledger.events.subjects import MAX_ERASED
from ledger.names import parse_name, stream_of
from ledger.payload import Payload, parse_payload
from ledger.sealing import MARK, find_sealed
from ledger.stored import Row

__all__ = ["Erased", "Plan", "erase_subject", "plan_erasure"]

_PAGE = 500


@dataclass(slots=True)
class Plan:
    """What an erasure would record, and what earlier records already say.

    Attributes:
        subject: the data subject.
        data_keys: data keys here that no record names yet.
        entries: entries affected by what no record names yet, as `SubjectErased.entries` takes them.
        recorded: leaf indexes of earlier records about the subject.
        begun: streams in which sealed fields still open by keys that those records name.
    """

    subject: str
    data_keys: list[str] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    recorded: list[int] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)

    @property
    def is_new(self) -> bool:
        """Whether there is anything to record."""
        return bool(self.data_keys or self.entries or not self.recorded)


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did.

    Attributes:
        receipts: of the records it appended.
        records: leaf indexes of all records about the subject.
        data_keys: data keys it destroyed.
        contents: contents it withheld.
        horizons: where what was erased is kept nevertheless, and for how long, for people.
    """

    receipts: tuple[Receipt, ...]
    records: tuple[int, ...]
    data_keys: int
    contents: int
    horizons: tuple[str, ...]


def _about(payload: Payload, subject: str) -> bool:
    refs = payload.data.get("refs")
    named = [ref.get("subject") for ref in refs if isinstance(ref, dict)] if isinstance(refs, list) else []
    return any(isinstance(name, str) and name.partition("@")[0] == subject for name in (payload.subject, *named))


def _affected(row: Row, subject: str, data_keys: Collection[str], chosen: Collection[int]) -> str | None:
    """How an erasure affects an entry whose content is there: ``whole``, ``fields`` or not at all."""
    kind = known_event_type(row.entry.type)
    if row.payload is None:
        return None
    sealed = data_keys and MARK in row.payload
    if row.entry.index not in chosen and not sealed and subject.encode() not in row.payload:
        return None
    try:
        payload = parse_payload(row.payload)
    except InputError:
        return None  # it is void, and holds nothing that was sealed here
    if kind is not None and kind.erasable is Erasable.WHOLE:
        if row.entry.index in chosen or _about(payload, subject):
            return "whole"
    elif row.entry.index in chosen:
        raise PolicyError(
            f"entry {row.entry.index} is of the type {kind.name if kind else row.entry.type}, on which others rest: "
            "its content is never withheld as a whole",
            hint="Only sealed fields of it can be erased; `muniment emit --list` shows what may be.",
        )
    if sealed and any(found.data_key in data_keys for found in find_sealed(payload.data)):
        return "fields"
    return None


def _rows(ledger: Ledger, size: int) -> Iterator[Row]:
    place = 0
    while place < size:
        rows = ledger.recorder.rows(place, min(_PAGE, size - place))
        yield from rows
        place = rows[-1].entry.index + 1 if rows else size


def plan_erasure(ledger: Ledger, keys: DataKeys, subject: str, chosen: Collection[int] = ()) -> Plan:
    """Find what there is about a data subject; reads the whole log.

    Args:
        ledger: the log.
        keys: its data keys.
        subject: the data subject.
        chosen: further entries whose content is to be withheld.

    Raises:
        InputError: the subject has a version, or an entry is not there.
        PolicyError: an entry may not be withheld.
    """
    if parse_name(subject).version is not None:
        raise InputError("a data subject is named without a version: person:p-7f3a")
    size = ledger.world.refresh()
    if beyond := [index for index in chosen if index >= size]:
        raise InputError(f"there is no entry {beyond[0]}", hint=f"The log has {size} entries: muniment log")
    state = ledger.ledger_state()
    plan = Plan(subject, recorded=[record.index for record in state.erasures if record.subject == subject])
    here = keys.of_subject(subject)
    plan.data_keys = [key for key in here if key not in state.erased_keys]
    begun = [key for key in here if key in state.erased_keys]
    for row in _rows(ledger, size):
        if begun and _affected(row, subject, begun, ()) == "fields":
            plan.begun.add(row.entry.stream)
        scope = _affected(row, subject, plan.data_keys, chosen)
        if scope is not None and (row.entry.index, row.entry.stream) not in state.withheld:
            plan.entries.append(
                {
                    "index": row.entry.index,
                    "leaf_hash": row.leaf_hash.hex(),
                    "stream": row.entry.stream,
                    "scope": scope,
                }
            )
    return plan


def _bodies(plan: Plan, basis: str, reason: str) -> list[dict[str, Any]]:
    pages = max(1, -(-max(len(plan.entries), len(plan.data_keys)) // MAX_ERASED))
    slices = [slice(page * MAX_ERASED, (page + 1) * MAX_ERASED) for page in range(pages)]
    return [
        {
            "subject": plan.subject, "basis": basis, "reason": reason, "data_keys": plan.data_keys[part],
            "entries": plan.entries[part],
        }
        for part in slices
    ]  # fmt: skip


def _there(ledger: Ledger, records: Collection[Erasure]) -> Iterator[Entry]:
    """Entries that records name as withheld, and whose content is still there."""
    for index in sorted({index for record in records for index in record.withheld}):
        rows = ledger.recorder.rows(index, 1)
        if rows and rows[0].entry.index == index and rows[0].payload is not None:
            yield rows[0].entry


def _allowed(ledger: Ledger, records: Collection[Erasure]) -> list[int]:
    """Contents that may go: a record signed with a stolen key may name what is never withheld, or a false stream."""
    state = ledger.ledger_state()
    return [entry.index for entry in _there(ledger, records) if withheld_by(state, entry) is not None]


def _check_holds(ledger: Ledger, plan: Plan) -> None:
    """What a hold covers is not touched, also when an earlier record allows it and was not carried out."""
    state = ledger.ledger_state()
    mine = [record for record in state.erasures if record.subject == plan.subject]
    for stream in (stream_of(plan.subject), *sorted(plan.begun), *(entry.stream for entry in _there(ledger, mine))):
        _check_hold(state, stream)


def _check_hold(state: LedgerState, stream: str) -> None:
    hold = covering_hold(state, stream)
    if hold is not None:
        raise PolicyError(
            f"{stream} is under the legal hold {hold.id} of the matter {hold.matter}: nothing about it is erased",
            hint=f"When the matter has ended: muniment hold release {hold.id} --reason …",
        )


def erase_subject(
    ledger: Ledger,
    keys: DataKeys,
    plan: Plan,
    *,
    basis: str,
    reason: str,
    purge: Sequence[Callable[[], str]] = (),
) -> Erased:
    """Record an erasure and carry out it and every earlier one about the subject.

    Args:
        ledger: open for writing as an eraser.
        keys: the data keys.
        plan: what `plan_erasure` found.
        basis: legal or contractual basis.
        reason: in words.
        purge: remove what else is kept locally (views, names); each may be repeated and returns what is left.

    Returns:
        What was done; only when this returns is everything erased that is said to be.

    Raises:
        LedgerError: refused; or a step failed, and the same again goes on from there.
    """
    _check_holds(ledger, plan)
    receipts: list[Receipt] = []
    if plan.is_new:
        subject = f"ledger:{ledger.ledgerid}"
        receipts = ledger.emit_all([("subject.erased", subject, body) for body in _bodies(plan, basis, reason)])
    crashpoint("erase.recorded")
    # A field that was sealed while the record was on its way is in no plan yet, and a hold may stand by now. Behind the
    # record nothing more is sealed with these keys (`domain.erasure.check_sealed`), so this finds all there is.
    _check_holds(ledger, plan_erasure(ledger, keys, plan.subject))
    mine = [record for record in ledger.ledger_state().erasures if record.subject == plan.subject]
    destroyed = keys.destroy(key for record in mine for key in record.data_keys)
    crashpoint("erase.keys_deleted")
    ledger.world.refresh()
    _check_holds(ledger, Plan(plan.subject))
    withheld = ledger.recorder.withhold(_allowed(ledger, mine))
    crashpoint("erase.withheld")
    horizons = [words for step in purge if (words := step())]
    crashpoint("erase.purged")
    if any(record.data_keys for record in mine) and (words := keys.scrub()):
        horizons.append(
            f"of the data keys, wrapped: {words}; `muniment subject rotate` makes such copies useless by destroying "
            "the wrapping key here"
        )
    if any(record.withheld for record in mine):
        horizons.append(f"of withheld contents: {ledger.recorder.scrub()}")
    crashpoint("erase.scrubbed")
    return Erased(tuple(receipts), tuple(record.index for record in mine), destroyed, withheld, tuple(horizons))
