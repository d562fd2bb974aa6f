"""Queries for what goes wrong around a version: contracts, access, fairness, poisoned data, credentials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ledger.domain.states import DatasetState, ModelState
from ledger.entry import format_time
from ledger.names import parse_name, stream_of
from ledger.payload import parse_moment
from projections.failures.looking import DAY, Found, Look
from projections.journal import JournalRow
from projections.lineage import digests_read, upstream

__all__ = ["bias_regression", "poisoning", "schema_mismatch", "secret_expiry", "unauthorised_access"]

_RECENT: Final = 30 * DAY
_SOON: Final = 14 * DAY
#: How much worse a subgroup may do without an interval that says how sure that is.
_TOLERANCE: Final = 0.05


def schema_mismatch(look: Look) -> Iterator[Found]:
    """A version serves whose contract is another one than that of the deployment."""
    contracts = {row["subject"]: row for row in look.of_types("contract.defined")}
    for service, tenure in look.serving():
        mine = contracts.get(tenure.model) or contracts.get(stream_of(tenure.model))
        theirs = contracts.get(service.name)
        if mine is None or theirs is None:
            continue
        for side in ("input_schema", "output_schema"):
            if mine["data"][side] != theirs["data"][side]:
                words = f"the {side.replace('_', ' ')} of {tenure.model} is another one than that of the deployment"
                yield Found(service.name, words, (mine["index"], theirs["index"]))


def unauthorised_access(look: Look) -> Iterator[Found]:
    """Access that was refused of late, and what serves without an authorisation."""
    denied: dict[tuple[str, ...], list[JournalRow]] = {}
    for row in look.of_types("access.denied"):
        if row["recorded_at"] > look.now - _RECENT:
            data = row["data"]
            denied.setdefault((row["subject"], str(data["principal"]), data["action"]), []).append(row)
    for (subject, principal, action), rows in denied.items():
        times = sum(row["data"].get("count", 1) for row in rows)
        words = f"{principal} was refused {action} {times} times"
        yield Found(subject, words, tuple(row["index"] for row in rows))
    for service, tenure in look.serving():
        (row,) = look.rows(("position", "=", tenure.index + 1))
        if "unauthorised" in row["marks"]:
            yield Found(service.name, f"{tenure.model} serves and nobody authorised it", (tenure.index,))


def _measured(look: Look, model: str) -> tuple[dict[tuple[str, str], tuple[Any, int]], dict[str, tuple[float, int]]]:
    """Measurements of subgroups by name and slice, and the widest gap between subgroups by metric."""
    single: dict[tuple[str, str], tuple[Any, int]] = {}
    gaps: dict[str, tuple[float, int]] = {}
    for row in look.evaluations(model):
        for one in row["data"].get("measurements", ()):
            if one.get("slice"):
                single[one["name"], one["slice"]] = (one, row["index"])
        values: dict[str, list[float]] = {}
        for part in row["data"].get("slices", ()):
            for name, value in part["metrics"].items():
                values.setdefault(name, []).append(value)
        gaps |= {name: (max(found) - min(found), row["index"]) for name, found in values.items() if len(found) > 1}
    return single, gaps


def _worse(new: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether a subgroup does worse, where it is said which way is better."""
    better = new.get("better") or old.get("better")
    if better is None:
        return False
    sign = 1 if better == "higher" else -1
    edges = ("ci_high", "ci_low") if better == "higher" else ("ci_low", "ci_high")
    mine, theirs = new.get(edges[0]), old.get(edges[1])
    if mine is not None and theirs is not None:
        return bool(sign * mine < sign * theirs)  # the intervals do not even touch
    return bool(sign * (old["value"] - new["value"]) > _TOLERANCE * abs(old["value"]))


def bias_regression(look: Look) -> Iterator[Found]:
    """A subgroup fails, or does worse under a version that serves than under the one before, or the gap grew."""
    for service, tenure in look.serving():
        single, gaps = _measured(look, tenure.model)
        before = service.before(tenure)
        old, old_gaps = _measured(look, before) if before is not None else ({}, {})
        for (name, part), (one, index) in single.items():
            earlier = old.get((name, part))
            if one.get("verdict") == "fail":
                yield Found(tenure.model, f"{name} of {part} is {one['value']:g}, which fails", (index,))
            elif earlier is not None and _worse(one, earlier[0]):
                words = f"{name} of {part} is {one['value']:g}, and was {earlier[0]['value']:g} with {before}"
                yield Found(tenure.model, words, (earlier[1], index))
        for name, (gap, index) in gaps.items():
            if name in old_gaps and gap > old_gaps[name][0] + _TOLERANCE:
                then, earlier_index = old_gaps[name]
                words = f"the gap in {name} between subgroups is {gap:.3g}, and was {then:.3g} with {before}"
                yield Found(tenure.model, words, (earlier_index, index))


def _quarantined(look: Look, subject: str) -> Iterator[tuple[str, int]]:
    state = look.world.state(stream_of(subject))
    for one in state.quarantines if isinstance(state, DatasetState | ModelState) else ():
        if one.version in ("", parse_name(subject).version):
            yield f"{subject} is in quarantine: {one.reason}", one.signed.index


def _other_bytes(look: Look, subject: str, digests: set[str]) -> Iterator[str]:
    state, version = look.world.state(stream_of(subject)), parse_name(subject).version or ""
    known = state.versions.get(version) if isinstance(state, DatasetState) else None
    if known is not None and digests - {known}:
        yield f"{subject} was read with other bytes than it is registered with"


def poisoning(look: Look) -> Iterator[Found]:
    """A version serves that was made from data in quarantine or from other bytes, or whose files fail their check."""
    for service, tenure in look.serving():
        made_from = upstream(look.views, tenure.model, size=look.size)
        for subject in made_from:
            for words, index in _quarantined(look, subject):
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
