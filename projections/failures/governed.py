"""Queries for what goes wrong around a version: contracts, access, fairness, poisoned data, credentials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ledger.domain.ancestry import held_by
from ledger.domain.states import DatasetState, ModelState
from ledger.entry import format_time
from ledger.names import parse_name, stream_of
from ledger.payload import parse_moment
from projections.failures.looking import DAY, Found, Look
from projections.failures.measured import Measured, failed_assessments, measured_in, worse
from projections.journal import JournalRow
from projections.lineage import digests_read, upstream
from projections.remarks import canaries_of
from projections.service import Tenure

__all__ = ["bias_regression", "poisoning", "schema_mismatch", "secret_expiry", "unauthorised_access"]

_Numbers = Mapping[tuple[str, str], Measured]

_RECENT: Final = 30 * DAY
_SOON: Final = 14 * DAY
#: What nobody's leave covers, by the marks that `muniment state` shows.
_WITHOUT_LEAVE: Final = {
    "unauthorised": "serves and nobody authorised it",
    "unauthorised-at-first": "serves, and nobody had authorised it when it went live",
    "emergency-unjustified": "serves by an emergency that was found unjustified",
    "emergency-overdue": "serves by an emergency that nobody has reviewed in time",
    "rests-on-suspect": "serves by a decision that may be a stolen key's",
}  # fmt: skip
#: How much worse a subgroup may do without an interval that says how sure that is.
_TOLERANCE: Final = 0.05


def _contract(rows: list[JournalRow], model: str, before: int | None = None) -> JournalRow | None:
    """The contract of a version; that of its model, as it was by an entry, where it has none of its own."""
    own = [row for row in rows if row["subject"] == model]
    shared = [row for row in rows if row["subject"] == stream_of(model) and (before is None or row["index"] < before)]
    return next(reversed(own or shared), None)


def _sides(mine: JournalRow, theirs: JournalRow) -> list[str]:
    return [side for side in ("input_schema", "output_schema") if mine["data"][side] != theirs["data"][side]]


def schema_mismatch(look: Look) -> Iterator[Found]:
    """A version serves whose contract is not that of the deployment, or breaks that of the version live before it."""
    rows = look.of_types("contract.defined")
    for service, tenure in look.serving():
        mine, before = _contract(rows, tenure.model), service.before(tenure)
        promised = next((row for row in reversed(rows) if row["subject"] == service.name), None)
        theirs, whose = promised, "the deployment"
        if promised is None and before is not None:
            theirs, whose = _contract(rows, before, tenure.index), f"{before}, which was live before it"
        if mine is None or theirs is None or mine is theirs:
            continue
        entries = (theirs["index"], mine["index"])
        says = mine["data"].get("breaking")
        if promised is None and says:
            yield Found(service.name, f"the contract of {tenure.model} breaks that of {whose}", entries)
        for side in _sides(mine, theirs) if says is None or promised is not None else ():
            words = f"the {side.replace('_', ' ')} of {tenure.model} is another one than that of {whose}"
            yield Found(service.name, words, entries)


def unauthorised_access(look: Look) -> Iterator[Found]:
    """Access that was refused of late, and what serves without an authorisation, or by one that does not hold."""
    denied: dict[tuple[str, ...], list[JournalRow]] = {}
    for row in look.of_types("access.denied"):
        if row["recorded_at"] > look.now - _RECENT:
            data = row["data"]
            denied.setdefault((row["subject"], str(data["principal"]), data["action"]), []).append(row)
    for (subject, principal, action), rows in denied.items():
        times = sum(row["data"].get("count", 1) for row in rows)
        words = f"{principal} was refused {action} {times} times"
        yield Found(subject, words, tuple(row["index"] for row in rows))
    yield from _without_leave(look)


def _without_leave(look: Look) -> Iterator[Found]:
    for service, tenure in look.serving():
        state = look.states[service.name]
        serving = [state["live"], *canaries_of(state)]
        shown = [one for one in serving if one is not None and (one["model"], one["digest"]) == tenure.key]
        urgent = [one["index"] for one in state["emergencies"] if (one["model"], one["digest"]) == tenure.key]
        for one in shown:
            for mark in (mark for mark in one["marks"] if mark in _WITHOUT_LEAVE):
                decided = urgent[-1:] if mark.startswith("emergency-") else []
                entries = tuple(sorted({tenure.index, one["index"], *decided}))
                yield Found(service.name, f"{tenure.model} {_WITHOUT_LEAVE[mark]}", entries)


def _gaps(new: _Numbers, old: _Numbers) -> Iterator[tuple[str, float, float, tuple[int, ...]]]:
    """Metrics of which the gap between subgroups grew: name, gap now and then, entries; over those in both."""
    common: dict[str, list[str]] = {}
    for name, part in new.keys() & old.keys():
        if part:
            common.setdefault(name, []).append(part)
    for name, parts in sorted(common.items()):
        ends = []
        for numbers in (old, new):
            values = sorted((numbers[name, part] for part in parts), key=lambda one: one.value)
            ends.append((values[0], values[-1]))
        then, now = (high.value - low.value for low, high in ends)
        if now > then + _TOLERANCE:
            yield name, now, then, tuple(sorted({one.index for pair in ends for one in pair}))


def bias_regression(look: Look) -> Iterator[Found]:
    """Fairness or a subgroup fails, a subgroup does worse than under the version before, or the gap grew."""
    for service, tenure in look.serving():
        rows, before = look.evaluations(tenure.model), service.before(tenure)
        new = measured_in(rows)
        old = measured_in(look.evaluations(before)) if before is not None else {}
        for row in failed_assessments(rows, "fairness"):
            yield Found(tenure.model, f"{tenure.model} failed its assessment of fairness", (row["index"],))
        for (name, part), one in ((key, one) for key, one in new.items() if key[1]):
            earlier = old.get((name, part))
            way = worse(one, earlier, _TOLERANCE) if earlier is not None else None
            if one.failed:
                yield Found(tenure.model, f"{name} of {part} is {one.value:g}, which fails", (one.index,))
            elif earlier is not None and way is not None:
                words = f"{name} of {part} is {one.value:g}, and was {earlier.value:g} with {before}{way.remark}"
                yield Found(tenure.model, words, (earlier.index, one.index))
        for name, now, then, entries in _gaps(new, old):
            words = f"the gap in {name} between subgroups is {now:.3g}, and was {then:.3g} with {before}"
            yield Found(tenure.model, words, entries)


def _quarantined(look: Look, tenure: Tenure, made_from: Iterable[str]) -> Iterator[tuple[str, int]]:
    """What `muniment state` marks, and what a run wrote that read something in quarantine: no rule follows that."""
    told = set[int]()
    for held in held_by(look.world, tenure.model, tenure.digest):
        told.add(held.index)
        yield held.words, held.index
    for subject in made_from:
        state = look.world.state(stream_of(subject))
        for one in state.quarantines if isinstance(state, DatasetState | ModelState) else ():
            if one.version in ("", parse_name(subject).version) and one.signed.index not in told:
                told.add(one.signed.index)
                words = f"{subject} is in quarantine since entry {one.signed.index}: {one.reason}"
                yield f"{words} (the way there: muniment lineage {tenure.model} --up)", one.signed.index


def _other_bytes(look: Look, subject: str, digests: set[str]) -> Iterator[str]:
    state, version = look.world.state(stream_of(subject)), parse_name(subject).version or ""
    known = state.versions.get(version) if isinstance(state, DatasetState) else None
    if known is not None and digests - {known}:
        yield f"{subject} was read with other bytes than it is registered with"


def poisoning(look: Look) -> Iterator[Found]:
    """A version serves that was made from, or measured on, what is in quarantine, or other bytes, or fails a check."""
    for service, tenure in look.serving():
        made_from = upstream(look.views, tenure.model, size=look.size, previous=False)
        for words, index in _quarantined(look, tenure, made_from):
            yield Found(service.name, f"{tenure.model} serves, and {words}", (tenure.index, index))
        for subject, digests in digests_read(look.views, made_from, size=look.size).items():
            for words in _other_bytes(look, subject, digests):
                yield Found(service.name, f"{tenure.model} serves, and {words}", (tenure.index,))
        for row in look.about(tenure.model, "artifact.verified", "artifact.scanned"):
            if row["data"]["verdict"] == "fail" and row["data"]["digest"] == tenure.digest:
                yield Found(service.name, f"{tenure.model} serves, and its files failed a check", (row["index"],))


def secret_expiry(look: Look) -> Iterator[Found]:
    """Credentials that ended, or end within two weeks, and were not replaced."""
    for row in look.last("credential.rotated", "credential.expired", by=("credential",)):
        data = row["data"]
        if row["type"] == "credential.expired":
            yield Found(row["subject"], f"the credential {data['credential']} has expired", (row["index"],))
            continue
        end = None if data.get("expires_at") is None else parse_moment(data["expires_at"])
        if end is not None and end <= look.now + _SOON:
            when = f"{'ended' if end <= look.now else 'ends'} on {format_time(end)[:10]}"
            yield Found(row["subject"], f"the credential {data['credential']} {when}", (row["index"],))
