"""Queries for what goes wrong while a version serves: drift, latency, canaries, versions, and life beside the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ledger.domain.lifecycle import rule_for, version_of
from ledger.errors import InputError, PolicyError
from ledger.events.monitors import duration_us
from ledger.names import parse_name
from projections.failures.looking import DAY, Found, Look
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
_LOWER_IS_BETTER: Final = ("loss", "error", "mae", "mse", "rmse", "brier", "ece", "psi", "latency", "_ms")


def _drifts(row: JournalRow) -> bool:
    data = row["data"]
    over = data.get("threshold") is not None and data["value"] >= data["threshold"]
    return (
        bool(data.get("method"))
        and data.get("status") != "resolved"
        and (over or data.get("severity", "info") != "info")
    )


def _reacts(row: JournalRow, names: set[str]) -> bool:
    data = row["data"]
    said = {row["stream"], row["subject"], data.get("deployment"), data.get("model"), data.get("subject")}
    stems = {name.partition("@")[0] for name in said if name}
    return bool(names & stems)


def silent_drift(look: Look) -> Iterator[Found]:
    """Drift that a monitor saw and nobody answered, and monitors of a promise that say nothing any more."""
    reactions = look.of_types(*_REACTIONS)
    for row in look.last("monitor.signal", by=("metric", "deployment", "model")):
        data = row["data"]
        names = {data[name].partition("@")[0] for name in ("deployment", "model") if data.get(name)}
        if not _drifts(row) or any(one["index"] > row["index"] and _reacts(one, names) for one in reactions):
            continue
        words = f"{data['metric']} is {data['value']:g} by {data['method']}, and nothing was done about it"
        yield Found(data.get("deployment") or data.get("model") or row["stream"], words, (row["index"],))
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
    for row in look.of_types("version.aliased", "version.unaliased", "version.promoted"):
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


def _tested(look: Look, model: str) -> list[JournalRow]:
    return [row for row in look.of_types("performance.tested") if model in (row["subject"], row["data"].get("model"))]


def latency_regression(look: Look) -> Iterator[Found]:
    """A version that serves is slower than what it is compared with, or than the one that was live before."""
    for service, tenure in look.serving():
        mine = _tested(look, tenure.model)
        if not mine:
            continue
        row, before = mine[-1], service.before(tenure)
        data, entries = row["data"], [row["index"]]
        baseline = data.get("baseline_p95_ms")
        earlier = [one for one in _tested(look, before) if one["data"].get("p95_ms")] if before else []
        if baseline is None and earlier:
            baseline, entries = earlier[-1]["data"]["p95_ms"], [earlier[-1]["index"], row["index"]]
        p95 = data.get("p95_ms")
        if data.get("verdict") == "fail":
            yield Found(service.name, f"{tenure.model} failed its performance test", (row["index"],))
        elif p95 is not None and baseline and p95 > baseline * (1 + _WORSE):
            words = f"{tenure.model} has a p95 of {p95:g} ms, and {baseline:g} ms is what it is compared with"
            yield Found(service.name, words, tuple(entries))


def _production(look: Look, tenure: Tenure) -> Iterator[tuple[str, float, int]]:
    """Metrics of a version by what came true: name, value, entry."""
    arrived = {row["data"].get("dataset") for row in look.of_types("labels.arrived")} - {None}
    for row in look.evaluations(tenure.model):
        data = row["data"]
        if row["index"] > tenure.index and (data.get("split") == "production" or data.get("dataset") in arrived):
            yield from ((name, value, row["index"]) for name, value in data["metrics"].items())
    for row in look.of_types("monitor.signal"):
        if row["data"].get("model") == tenure.model and row["index"] > tenure.index:
            yield row["data"]["metric"], row["data"]["value"], row["index"]


def _worse(name: str, now: float, then: float) -> bool:
    lower = any(part in name.lower() for part in _LOWER_IS_BETTER)
    loss = now - then if lower else then - now
    return loss > _WORSE * abs(then)


def overfitting(look: Look) -> Iterator[Found]:
    """A version is a tenth worse on what came true in production than when it was tested before."""
    for service, tenure in look.serving():
        tested: dict[str, Any] = {}
        for row in look.evaluations(tenure.model):
            if row["index"] < tenure.index and row["data"].get("split") not in _LEARNT:
                tested |= {name: (value, row["index"]) for name, value in row["data"]["metrics"].items()}
        last = {name: (value, index) for name, value, index in _production(look, tenure)}
        for name in sorted(tested.keys() & last.keys()):
            (then, before), (now, after) = tested[name], last[name]
            if _worse(name, now, then):
                words = f"{tenure.model} has {name} {now:g} in production, and had {then:g} when it was tested"
                yield Found(service.name, words, (before, after))
