"""Queries for what goes wrong while a version serves: drift, latency, canaries, versions, and life beside the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ledger.domain.lifecycle import rule_for, version_of
from ledger.errors import InputError, PolicyError
from ledger.events.monitors import duration_us
from ledger.names import parse_name
from projections.failures.looking import DAY, Found, Look, by_time, time_of
from projections.failures.measured import (
    Direction,
    Measured,
    drift_direction,
    failed_assessments,
    measured_in,
    much_worse,
    signalled,
)
from projections.journal import JournalRow
from projections.remarks import registered
from projections.service import Service, Tenure
from projections.serving import read_serving
from projections.slo.watching import look as assessments

__all__ = ["canary_bloat", "latency_regression", "overfitting", "silent_drift", "version_confusion"]

#: What people or rules do about drift.
_REACTIONS: Final = (
    "retrain.requested", "incident.opened", "incident.linked", "deployment.held", "rollback.authorised",
    "rollback.completed", "canary.aborted", "quarantine.placed", "version.retired",
    "model.decommissioned",
)  # fmt: skip
#: A canary decides something, or it is a second production.
_LONGEST_CANARY: Final = 14 * DAY
#: How much worse is worse: a tenth.
_WORSE: Final = 0.1
#: Aliases that platforms of registries serve by, besides the names of environments.
_SERVED: Final = frozenset({"champion", "live", "prod", "production"})
#: What it learnt from says nothing of how it does elsewhere.
_LEARNT: Final = ("train", "training")


def _drifts(row: JournalRow) -> Direction | None:
    """Which way of a signal is better, when it says that something drifts."""
    data = row["data"]
    if not data.get("method") or data.get("status") == "resolved":
        return None
    way, edge = drift_direction(data), data.get("threshold")
    if edge is not None and (data["value"] == edge or way.beyond(data["value"], edge)):
        return way
    return Direction(way.better) if data.get("severity", "info") != "info" else None


def _reacts(row: JournalRow, names: set[str]) -> bool:
    data = row["data"]
    said = {row["stream"], row["subject"], data.get("deployment"), data.get("model"), data.get("subject")}
    stems = {name.partition("@")[0] for name in said if name}
    return bool(names & stems)


def _after(row: JournalRow, tenure: Tenure) -> bool:
    """Whether something happened while a version served; what was measured before may be reported afterwards."""
    return time_of(row) > (tenure.since, tenure.index)


def _seen(look: Look) -> Iterator[tuple[str, str, JournalRow, set[str]]]:
    """Drift that was seen: where, what, the entry, and the streams of what it is about."""
    for row in look.last("monitor.signal", by=("metric", "deployment", "model")):
        data, way = row["data"], _drifts(row)
        if way is not None:
            names = {data[name].partition("@")[0] for name in ("deployment", "model") if data.get(name)}
            words = f"{data['metric']} is {data['value']:g} by {data['method']}{way.remark}"
            yield data.get("deployment") or data.get("model") or row["stream"], words, row, names
    for service, tenure in look.serving():
        for row in failed_assessments(look.evaluations(tenure.model), "drift"):
            if _after(row, tenure):
                words = f"{tenure.model} failed its assessment of drift"
                yield service.name, words, row, {service.name, row["stream"]}


def silent_drift(look: Look) -> Iterator[Found]:
    """Drift that was measured and nobody answered, and monitors of a promise that say nothing any more."""
    reactions = look.of_types(*_REACTIONS)
    for subject, words, row, names in _seen(look):
        if not any(time_of(one) > time_of(row) and _reacts(one, names) for one in reactions):
            yield Found(subject, f"{words}, and nothing was done about it", (row["index"],))
    for service in look.services:
        for found in assessments(look.ledger, look.views, look.as_of, service, now=look.now):
            rules = found.promise.body.rules
            longest = max((duration_us(rule.long) for rule in rules), default=None)
            mine = found.tenure is service.newest and longest is not None and found.tenure.since <= look.now - longest
            if longest is not None and mine and (found.at is None or found.at <= look.now - longest):
                words = f"no window of {found.promise.monitor} for the promise {found.promise.name} of late"
                yield Found(service.name, words, (found.promise.index,))


def canary_bloat(look: Look) -> Iterator[Found]:
    """Canaries that go on for weeks, several at once, and canaries that get more than their share."""
    for service in look.services:
        canaries = list(service.canaries.values())
        if len(canaries) > 1:
            names = ", ".join(canary.model for canary in canaries)
            yield Found(service.name, f"{len(canaries)} canaries at once: {names}", tuple(c.index for c in canaries))
        for canary in canaries:
            days = (look.now - canary.since) // DAY
            if look.now - canary.since > _LONGEST_CANARY:
                words = f"{canary.model} is a canary since {days} days, neither promoted nor stopped"
                yield Found(service.name, words, (canary.index,))
        yield from _loaded(look, service, ("above its share",))


def version_confusion(look: Look) -> Iterator[Found]:
    """Something else is loaded than is live; what serves was retired or has other bytes; a registry names another."""
    for service, tenure in look.serving():
        version = registered(look.world, tenure.model)
        if version is not None and version.retired is not None:
            yield Found(service.name, f"{tenure.model} serves, and was retired", (tenure.index, version.retired.index))
        if version is not None and version.digest != tenure.digest:
            words = f"{tenure.model} serves with other bytes than it is registered with"
            yield Found(service.name, words, (tenure.index, version.index))
    for service in look.services:
        yield from _loaded(look, service, ("former version", "unknown version", "wrong name", "not loaded"))
    yield from _handed_out(look)


def _handed_out(look: Look) -> Iterator[Found]:
    """Versions that the registry's word for production names, and that serve nowhere and nobody authorised."""
    environments = {parse_name(service.name).namespace or "" for service in look.services}
    named: dict[tuple[str, str], JournalRow] = {}
    for row in by_time(look.of_types("version.aliased", "version.unaliased", "version.promoted")):
        words = {row["data"].get("alias"), row["data"].get("environment")} - {None}
        for word in words & (environments | _SERVED):
            key = (row["stream"], word)
            if row["type"] != "version.unaliased":
                named[key] = row
            elif key in named and named[key]["subject"] == row["subject"]:
                del named[key]
    leave = {row["data"]["model"] for row in look.of_types("deployment.authorised", "rollback.authorised")}
    leave |= {tenure.model for _, tenure in look.serving()}
    for (_, word), row in sorted(named.items()):
        if row["subject"] not in leave and _asks(look, row["subject"], word):
            says = f"the registry names {row['subject']} as {word}, and it serves nowhere and nobody authorised it"
            yield Found(row["subject"], says, (row["index"],))


def _asks(look: Look, model: str, environment: str) -> bool:
    """Whether the rules ask for an authorisation there; of a version that nobody registered nothing is known."""
    try:
        return rule_for(look.world, environment, version_of(look.world, model).tier).authorisation
    except (PolicyError, InputError):
        return True


def _loaded(look: Look, service: Service, kinds: tuple[str, ...]) -> Iterator[Found]:
    serving = read_serving(look.views, look.as_of, service.name)
    for finding in serving.findings:
        if finding["kind"] in kinds and serving.index is not None:
            yield Found(service.name, finding["words"], (serving.index,))


def _tested(look: Look, model: str, place: str) -> list[JournalRow]:
    """Performance tests of a version, by its name or in a deployment: another one may be of other machines."""
    rows = by_time(look.of_types("performance.tested"))
    return [row for row in rows if row["subject"] in (model, place) and (row["data"].get("model") or model) == model]


def _baselines(look: Look, row: JournalRow, before: str | None, place: str) -> Iterator[tuple[float, str, int]]:
    """What a performance test is to be compared with: p95, whose it is, entry.

    A test that measured the version before under its own load is no matter of older tests, which had another load.
    """
    data = row["data"]
    named, p95 = data.get("baseline"), data.get("baseline_p95_ms")
    if p95 is not None:
        yield p95, named or "its baseline", row["index"]
    for model in dict.fromkeys((named, before)):
        tests = [one for one in _tested(look, model, place) if one["data"].get("p95_ms")] if model else []
        if tests and model and (p95 is None or model != named):
            yield tests[-1]["data"]["p95_ms"], model, tests[-1]["index"]


def latency_regression(look: Look) -> Iterator[Found]:
    """A version that serves failed its performance test, or is slower than its baseline or the version before."""
    for service, tenure in look.serving():
        tests = _tested(look, tenure.model, service.name)
        if not tests:
            continue
        row = tests[-1]
        p95 = row["data"].get("p95_ms")
        if row["data"].get("verdict") == "fail":
            yield Found(service.name, f"{tenure.model} failed its performance test", (row["index"],))
            continue
        for then, whose, index in _baselines(look, row, service.before(tenure), service.name) if p95 else ():
            if then and p95 > then * (1 + _WORSE):
                words = f"{tenure.model} has a p95 of {p95:g} ms, and that of {whose} is {then:g} ms"
                yield Found(service.name, words, tuple(sorted({index, row["index"]})))


def _production(look: Look, tenure: Tenure) -> dict[str, Measured]:
    """The last number of each metric of a version by what came true."""
    arrived = {row["data"].get("dataset") for row in look.of_types("labels.arrived")} - {None}
    rows = [
        row for row in look.evaluations(tenure.model) if _after(row, tenure)
        and (row["data"].get("split") == "production" or row["data"].get("dataset") in arrived)
    ]  # fmt: skip
    # With a method, it is how much the metric drifts, and not the metric.
    signals = [
        row for row in look.of_types("monitor.signal")
        if row["data"].get("model") == tenure.model and _after(row, tenure) and not row["data"].get("method")
    ]  # fmt: skip
    place = {row["index"]: time_of(row) for row in (*rows, *signals)}
    found = [*(one for one in measured_in(rows).values() if not one.part), *map(signalled, signals)]
    return {one.name: one for one in sorted(found, key=lambda one: place[one.index])}


def overfitting(look: Look) -> Iterator[Found]:
    """A version is a tenth worse on what came true in production than when it was tested before."""
    for service, tenure in look.serving():
        rows = [row for row in look.evaluations(tenure.model) if not _after(row, tenure)]
        tested = measured_in(row for row in rows if row["data"].get("split") not in _LEARNT)
        for name, now in sorted(_production(look, tenure).items()):
            then = tested.get((name, ""))
            way = None if then is None else much_worse(now, then, _WORSE)
            if then is not None and way is not None:
                words = f"{tenure.model} has {name} {now.value:g} in production, and had {then.value:g} when it was "
                yield Found(service.name, f"{words}tested{way.remark}", (then.index, now.index))
