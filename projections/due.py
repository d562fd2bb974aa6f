"""What is about to end or overdue: folded from the journal and asked of the states at its size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ledger.domain.actors import FOREVER
from ledger.domain.deployed import WaiverState
from ledger.domain.lifecycle import Named
from ledger.domain.standing import approval_trouble, approval_until
from ledger.domain.states import Approval
from ledger.domain.waiving import uses_of, waiver_trouble, waiver_until
from ledger.domain.world import actor_of
from ledger.entry import format_time
from ledger.errors import InputError
from ledger.names import parse_name
from ledger.payload import parse_moment
from projections.journal import JournalRow
from projections.pending import Asked, actions, assignments, decided, emergencies, erasures, named_by, rule_at

__all__ = ["due"]

#: Facts with a time at which something ends or is due: the field, types that settle it, and the fields that tell which
#: of several things of one subject is meant.
_DATED: Final[dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    "validation.completed": ("valid_until", ("validation.completed",), ()),
    "documentation.attached": ("expires_at", ("documentation.attached",), ("kind",)),
    "credential.rotated": ("expires_at", ("credential.rotated", "credential.expired"), ("credential",)),
    "model.on_call_assigned": ("until", ("model.on_call_assigned",), ()),
    "finding.disposed": ("due_at", ("finding.disposed",), ("validation", "finding")),
}


def _item(what: str, subject: str, at: int, index: int, words: str) -> dict[str, Any]:
    return {"what": what, "subject": subject, "at": at, "index": index, "words": words}


def _approvals(asked: Asked) -> Iterator[dict[str, Any]]:
    """Approvals that begin or end, and conditions that are of no use once they are met later than that."""
    for named in named_by(asked, "approval.granted"):
        for one in named.version.approvals:
            rule, _ = rule_at(asked, named, one.environment)
            until = approval_until(asked.world, named, one, rule)
            trouble = approval_trouble(asked.world, named, one, rule, min(asked.now, until - 1))
            kind = None if trouble is None else trouble.kind
            if kind == "upcoming":
                words = f"for {one.environment}, by {one.actor}; it stands from then on"
                yield _item("approval begins", named.subject, one.since, one.index, words)
            if until < FOREVER and kind in (None, "conditional", "upcoming"):
                words = f"for {one.environment}, by {one.actor}{_with(named, one, until)}"
                words += "" if trouble is None else f"; {trouble.text}"
                what = "condition" if kind == "conditional" else "approval"
                yield _item(what, named.subject, until, one.index, words)


def _with(named: Named, approval: Approval, until: int) -> str:
    """What an approval ends with, where that is no end of its own."""
    ends = [i for i, e in named.model.ends.items() if i in approval.grounds.seen and e.until == until == approval.until]
    return f", with entry {ends[0]} on which it rests" if ends else ""


def _granted_waivers(asked: Asked) -> Iterator[dict[str, Any]]:
    for row in asked.of_types("waiver.granted"):
        state = asked.world.state(row["stream"])
        until = waiver_until(asked.world, state) if isinstance(state, WaiverState) else 0
        if isinstance(state, WaiverState) and waiver_trouble(asked.world, state, min(asked.now, until - 1)) is None:
            words = f"{state.check} of {state.model} in {state.environment}; {state.owner} carries the risk"
            if state.max_uses is not None:
                words += f"; {state.max_uses - len(uses_of(asked.world, state))} of {state.max_uses} use(s) left"
            yield _item("waiver", row["subject"], until, row["index"], words)


def _roles(asked: Asked) -> Iterator[dict[str, Any]]:
    for row in asked.of_types("role.granted", "approval.delegated"):
        state = actor_of(asked.world, parse_name(row["subject"]).name)
        for grant in state.grants if state is not None and state.revoked is None else ():
            if grant.id == row["id"] and grant.ended is None and row["data"].get("until"):
                yield _item("role", row["subject"], grant.until, row["index"], grant.role)


def _keys(asked: Asked) -> Iterator[dict[str, Any]]:
    """Keys that were replaced and may still sign: they end at an index, so there is no time at which they do."""
    for row in {row["data"]["keyid"]: row for row in asked.of_types("key.rotated")}.values():
        state = actor_of(asked.world, parse_name(row["subject"]).name)
        held = None if state is None or state.revoked is not None else state.keys.get(row["data"]["keyid"])
        if held is not None and held.ends is not None and held.ends > asked.size:
            left = f"it ends at index {held.ends}, {held.ends - asked.size} from here"
            words = f"{row['data']['keyid'][:16]} was replaced; {left}"
            yield {"what": "key", "subject": row["subject"], "at": None, "index": row["index"], "words": words}


def _moment(text: Any) -> int | None:
    if not isinstance(text, str):
        return None
    try:
        return parse_moment(text if "T" in text else f"{text}T23:59:59Z")
    except InputError:
        return None  # a fact may have a field of that name that is no time


def _dated(asked: Asked) -> Iterator[dict[str, Any]]:
    open_ones: dict[tuple[str, ...], dict[str, Any]] = {}

    def key(kind: str, row: JournalRow) -> tuple[str, ...]:
        return kind, row["subject"], *(str(row["data"].get(name, "")) for name in _DATED[kind][2])

    gone = {row["data"]["validation"] for row in asked.of_types("validation.withdrawn")}
    for row in asked.of_types(*_DATED, *(kind for _, kinds, _ in _DATED.values() for kind in kinds)):
        for kind, (_, settling, _) in _DATED.items():
            if row["type"] in settling:
                open_ones.pop(key(kind, row), None)
        at = _moment(row["data"].get(_DATED[row["type"]][0])) if row["type"] in _DATED else None
        if at is not None and row["id"] not in gone:
            data = row["data"]
            names = ("title", "kind", "credential", "finding", "on_call")
            words = next((str(data[name]) for name in names if data.get(name)), row["type"])
            open_ones[key(row["type"], row)] = _item(row["type"], row["subject"], at, row["index"], words)
    yield from open_ones.values()


def _work(asked: Asked) -> Iterator[dict[str, Any]]:
    """What somebody is to do by a time: validations, action items, training again."""
    for row in assignments(asked):
        at = _moment(row["data"].get("due_at"))
        if at is not None:
            yield _item(row["type"], row["subject"], at, row["index"], f"by {row['data']['validator']}")
    for row in erasures(asked):
        at = _moment(row["data"].get("due_at"))
        if at is not None:
            yield _item(row["type"], row["subject"], at, row["index"], "to be erased, or refused with a reason")
    for row, owner, day in actions(asked):
        at = _moment(day)
        if at is not None:
            by = "" if owner is None else f", by {owner}"
            yield _item(row["type"], row["subject"], at, row["index"], f"{row['data']['title']}{by}")
    resolved = {row["data"]["request"] for row in asked.of_types("retrain.resolved")}
    for row in asked.of_types("retrain.requested"):
        at = _moment(row["data"].get("due_at"))
        if at is not None and row["id"] not in resolved:
            yield _item(row["type"], row["subject"], at, row["index"], row["type"])


def _reviews(asked: Asked) -> Iterator[dict[str, Any]]:
    for row, one in emergencies(asked):
        yield _item("emergency", row["subject"], one.review_by, row["index"], "to be reviewed")


def _reports(asked: Asked) -> Iterator[dict[str, Any]]:
    """Incidents of which an authority must have been told by a time, and was not."""
    told = {row["subject"]: row["index"] for row in asked.of_types("notification.sent")
            if row["data"]["recipient_class"] == "regulator"}  # fmt: skip
    for row in asked.of_types("incident.opened"):
        at = _moment(row["data"].get("report_by"))
        if at is not None and told.get(row["subject"], -1) < row["index"]:
            yield _item(
                "report", row["subject"], at, row["index"], f"{row['data']['title']}: the authority is to be told"
            )


def _undone(asked: Asked) -> Iterator[dict[str, Any]]:
    for service, decision in decided(asked):
        words = f"{decision.action} {'to' if decision.action == 'rollback' else 'of'} {decision.key[0]}"
        yield _item("decision", service.name, decision.due_at or 0, decision.row["index"], words)


def due(asked: Asked, within: int) -> list[dict[str, Any]]:
    """What ends or is due soon, and what is overdue.

    Args:
        asked: of which ledger, as it was known when.
        within: how far ahead to look, in microseconds.

    Returns:
        Soonest first, each with ``state`` overdue or due; keys, which end at an index and have no ``at``, come last.
    """
    sources = (_approvals, _granted_waivers, _roles, _dated, _work, _reviews, _reports, _undone)
    found = [item for source in sources for item in source(asked) if item["at"] <= asked.now + within]
    timed = [
        {**item, "at": format_time(item["at"]), "state": "overdue" if item["at"] <= asked.now else "due"}
        for item in sorted(found, key=lambda item: (item["at"], item["index"]))
    ]
    return timed + [{**item, "state": "due"} for item in _keys(asked)]
