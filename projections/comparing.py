"""What differs between two versions of a model: data, code, parameters, metrics, environment, approvers, status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ledger.application import Ledger
from ledger.domain.grounds import Word, last_word
from ledger.errors import InputError
from ledger.events.evaluations import verdict_of
from ledger.names import parse_name
from projections.asof import AsOf
from projections.base import ViewReader
from projections.diff import diff
from projections.gatelive import unit_of
from projections.groups import RUNS
from projections.journal import JournalRow, journal_rows
from projections.lineage_nodes import Described
from projections.tracing import trace

__all__ = ["compare", "last_metrics"]

_RUN: Final = ("job", "code", "parameters", "environment", "seed", "hardware", "cost", "energy_kwh", "metrics")
#: In the order in which people ask; the first part of each field's name.
_SECTIONS: Final = (
    "data", "parents", "code", "parameters", "environment", "contract", "seed", "hardware", "metrics", "slices",
    "verdicts", "performance", "training", "cost", "energy_kwh", "job", "run", "artifacts", "digest", "status", "tier",
    "owner", "approvers", "marks",
)  # fmt: skip


def _rows(views: ViewReader, as_of: AsOf, subject: str) -> list[JournalRow]:
    """Valid entries about exactly this thing."""
    where = [("stream", "=", subject.partition("@")[0]), ("subject", "=", subject), ("verdict", "=", "valid")]
    return journal_rows(views, [*where, ("occurred_at", "<=", as_of.bound)], size=as_of.size)


def last_metrics(views: ViewReader, as_of: AsOf, subject: str) -> dict[str, dict[str, Any]]:
    """What stands of each suite, or kind where it names none, of evaluations that were not invalidated.

    Args:
        views: the views.
        as_of: both clocks.
        subject: the version.

    Returns:
        Suite or kind (``evaluation`` where it says neither) to the body of the evaluation.
    """
    rows = _rows(views, as_of, subject)
    gone = {row["data"]["evaluation"] for row in rows if row["type"] == "evaluation.invalidated"}
    standing = [row for row in rows if row["type"] == "evaluation.completed" and row["id"] not in gone]
    said: dict[str, list[Word[dict[str, Any]]]] = {}
    for row in standing:
        suite = row["data"].get("suite") or row["data"].get("kind") or "evaluation"
        said.setdefault(suite, []).append((row["occurred_at"], verdict_of(row["data"]), row["data"]))
    return {suite: last[2] for suite, words in said.items() if (last := last_word(words)) is not None}


_CONTRACT: Final = ("input_schema", "output_schema", "inputs", "outputs", "breaking")


def _contract(views: ViewReader, as_of: AsOf, subject: str) -> dict[str, Any]:
    """The last contract of a version; that of its model where it has none of its own."""
    for name in (subject, subject.partition("@")[0]):
        said = [row["data"] for row in _rows(views, as_of, name) if row["type"] == "contract.defined"]
        if said:
            return {member: said[-1][member] for member in _CONTRACT if said[-1].get(member) not in (None, {})}
    return {}


_TESTED: Final = ("p50_ms", "p95_ms", "p99_ms", "throughput", "error_rate", "verdict")


def _performance(views: ViewReader, as_of: AsOf, subject: str, digest: str) -> dict[str, Any]:
    """What was last measured of its speed and its cost, on its own or in a deployment; costs by what they are for."""
    where = [("type", "=", "performance.tested"), ("verdict", "=", "valid"), ("occurred_at", "<=", as_of.bound)]
    said: dict[str, Any] = {}
    rows = journal_rows(views, where, size=as_of.size)
    for row in sorted(rows, key=lambda row: (row["occurred_at"], row["index"])):
        data = row["data"]
        if (data.get("model") or row["subject"]) != subject or data.get("digest") not in (None, digest):
            continue
        said |= {name: data[name] for name in _TESTED if data.get(name) is not None}
        if data.get("cost") is not None:
            said["cost"] = {unit_of(data["cost"]): data["cost"]["amount"]}
    return said


def _run(views: ViewReader, as_of: AsOf, run: str | None) -> dict[str, Any] | None:
    """What is said of a run, by its start and its end together; None when it is not recorded."""
    rows = [] if run is None else [row for row in _rows(views, as_of, run) if row["type"] in RUNS]
    if not rows:
        return None
    said: dict[str, Any] = {}
    for row in rows:
        said |= {name: value for name, value in row["data"].items() if name in _RUN and value is not None}
    if "metrics" in said:
        said["training"] = said.pop("metrics")
    return said


class _Versions:
    """Documents of versions, as of both clocks."""

    def __init__(self, ledger: Ledger, views: ViewReader, as_of: AsOf) -> None:
        self._views = views
        self._as_of = as_of
        self._described = Described(ledger, views, as_of)

    def document(self, subject: str) -> dict[str, Any]:
        name = parse_name(subject)
        version = self._described.version(subject) if name.kind == "model" and name.version is not None else None
        if version is None:
            hint = "Name two versions: muniment diff model:tx@1 model:tx@2; `muniment state` shows them."
            raise InputError(f"{subject} is no version that was registered as of then", hint=hint)
        measured = last_metrics(self._views, self._as_of, subject)
        data, parents, artifacts = self._upstream(subject)
        run = _run(self._views, self._as_of, version["run"])
        said: dict[str, Any] = {
            **(run or {}),
            "data": data,
            "parents": parents,
            "artifacts": artifacts,
            "metrics": {suite: body["metrics"] for suite, body in measured.items()},
            "slices": {suite: parts for suite, body in measured.items() if (parts := _slices(body))},
            "verdicts": {suite: verdict_of(body) for suite, body in measured.items()},
            "contract": _contract(self._views, self._as_of, subject),
            "performance": _performance(self._views, self._as_of, subject, version["digest"]),
            "approvers": self._approvers(version),
            **{member: version[member] for member in ("digest", "status", "tier", "owner", "run")},
            "marks": ", ".join(self._described.node(subject)["marks"]) or None,
        }
        missing = [f"no run is recorded for {subject}"] if run is None else []
        missing += [f"{version['run']} says nothing of code, parameters or environment"] if run == {} else []
        missing += [] if data else [f"no data set is recorded upstream of {subject}"]
        missing += [] if measured else [f"no standing evaluation of {subject}"]
        return {"said": said, "missing": missing}

    def _upstream(self, subject: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Data and feature sets it was made from, models likewise, and its artefacts, each with the digests named."""
        found = trace(self._views, self._as_of, subject, down=False)
        digests: dict[str, set[str]] = {}
        for link in found.links.values():
            digests.setdefault(link.upstream, set()).update(e["digest"] for e in link.entries if e["digest"])
        sources: dict[str, dict[str, Any]] = {"data": {}, "model": {}}
        artifacts: dict[str, Any] = {}
        for node in sorted(digests):
            stem, _, version = node.partition("@")
            kind = parse_name(stem).kind if " " not in node else ""
            if kind in ("dataset", "featureset", "model") and node != subject:
                of = sources["model" if kind == "model" else "data"].setdefault(stem, {"version": [], "digest": []})
                of["version"] += [version] if version else []
                of["digest"] += sorted(digests[node])
            elif kind == "artifact":
                artifacts[node] = ", ".join(sorted(digests[node]))
        data, parents = (
            {stem: {name: ", ".join(values) for name, values in of.items()} for stem, of in named.items()}
            for named in sources.values()
        )
        return data, parents, artifacts

    def _approvers(self, version: dict[str, Any]) -> dict[str, str]:
        by: dict[str, dict[str, None]] = {}
        for approval in version["approvals"]:
            standing = {grant["actor"]: None for grant in approval["grants"] if grant["trouble"] is None}
            if approval["status"] == "approved":
                by.setdefault(approval["environment"], {}).update(standing)
        return {environment: ", ".join(actors) for environment, actors in by.items()}


def _slices(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What an evaluation measured of parts of the data: by slice, then by name."""
    found: dict[str, dict[str, Any]] = {}
    for one in body.get("slices") or []:
        found.setdefault(one["slice"], {}).update(one["metrics"])
    for one in body.get("measurements") or []:
        if one.get("slice"):
            found.setdefault(one["slice"], {})[one["name"]] = one["value"]
    return found


def _delta(before: Any, after: Any) -> float | None:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (before, after))
    return after - before if numbers else None


def _section(field: str) -> str:
    return next((name for name in _SECTIONS if field == name or field.startswith((f"{name}.", f"{name}["))), field)


def compare(ledger: Ledger, views: ViewReader, as_of: AsOf, before: str, after: str) -> dict[str, Any]:
    """What differs between two versions.

    Args:
        ledger: the log.
        views: the views.
        as_of: both clocks.
        before: a version.
        after: another one, of the same model or not.

    Returns:
        Plain values: ``changed``, by section, with ``before``, ``after``, and for numbers ``delta`` and ``ratio``;
        ``same``, the sections in which nothing differs; and ``missing``, what is not on record.

    Raises:
        InputError: one of them was not registered.
    """
    versions = _Versions(ledger, views, as_of)
    old, new = versions.document(before), versions.document(after)
    changed = []
    for change in diff(old["said"], new["said"]):
        section = _section(change["field"])
        changed.append({"section": section, **change, "delta": _delta(change["before"], change["after"])})
    order = {name: place for place, name in enumerate(_SECTIONS)}
    changed.sort(key=lambda change: order.get(change["section"], len(order)))  # within one, as `diff` has them
    touched = {change["section"] for change in changed}
    known = {name for said in (old["said"], new["said"]) for name, value in said.items() if _holds(value)}
    untested = [
        f"no performance test of {name}" for name, one in ((before, old), (after, new))
        if "performance" in known and not one["said"]["performance"]
    ]  # fmt: skip
    return {
        "changed": changed,
        "same": [name for name in _SECTIONS if name in known - touched],
        "missing": [*old["missing"], *new["missing"], *untested],
    }


def _holds(value: Any) -> bool:
    return bool(value) if isinstance(value, Mapping | list) else value is not None
