"""Model and deployment state: what is registered, approved and live, as of any time and any knowledge.

The view keeps immutable changes; a state is a fold over those that had occurred by ``at`` and were
recorded by ``known-at``, in order of occurrence and, within it, of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from ledger.domain.scopes import covers_stream, matches
from ledger.domain.states import tiers_in_force
from ledger.entry import format_time
from ledger.events.evaluations import verdict_of
from ledger.names import parse_name
from ledger.replay import Judged
from ledger.strictjson import format_json, parse_json
from projections.approvals import fold_approval, measured
from projections.asof import AsOf
from projections.base import Column, RowOf, Selection, Table, ViewReader, some_at_a_time
from projections.groups import WENT_LIVE
from projections.journal import occurred_at, short_type
from projections.loaded import told_of
from projections.quarantined import QUARANTINE

__all__ = ["CHANGE", "ModelStateView", "live_at", "lives", "periods", "state_as_of", "states_of"]

_VERSION_TYPES = (
    "version.registered", "evaluation.completed", "evaluation.invalidated", "approval.requested", "approval.granted",
    "approval.rejected", "approval.withdrawn", "approval.revoked", "approval.changes_requested", "approval.escalated",
    "quarantine.placed", "quarantine.released",
    "version.retired", "version.demoted", "version.promoted", "risk.classified", "version.aliased", "version.unaliased",
    "model.decommissioned",
)  # fmt: skip
_DEPLOYMENT_TYPES = (
    "deployment.requested", "deployment.authorised", "deployment.failed", "deployment.held", "canary.stage_entered",
    "canary.aborted", "rollback.requested", "rollback.authorised", "emergency.reviewed", *WENT_LIVE,
)  # fmt: skip

CHANGE: Final = Table(
    "model_state_change",
    (
        Column("position", number=True),
        Column("kind"),
        Column("thing"),
        Column("type"),
        Column("model"),
        Column("actor"),
        Column("occurred_at", number=True),
        Column("recorded_at", number=True),
        Column("marks"),
        Column("id"),
        Column("data"),
    ),
    indexes=(("thing", "position"), ("model", "position")),
)


class ModelStateView:
    """The model-state projection."""

    name = "model_state"
    version = 5
    tables = (CHANGE,)

    def rows(self, judged: Judged) -> Iterator[RowOf]:
        """See `Projection.rows`."""
        event = judged.event
        if event is None or judged.verdict.kind != "valid":
            return
        kind = short_type(event.payload.type)
        if kind in _VERSION_TYPES and event.subject.kind == "model":
            group, model = "model", event.payload.subject
        elif kind in _DEPLOYMENT_TYPES:
            group, model = "deployment", str(event.payload.data.get("model", ""))
        else:
            return
        keep = {name: value for name, value in event.payload.data.items() if name not in ("seen", "evidence", "refs")}
        yield (
            CHANGE,
            (
                event.index + 1, group, event.stream, kind, model, event.actor, occurred_at(judged),
                judged.row.entry.recorded_at, ",".join(judged.verdict.marks), event.payload.id,
                format_json(keep).decode(),
            ),
        )  # fmt: skip


Change = dict[str, Any]


def _changes(views: ViewReader, as_of: AsOf, *selections: Selection) -> list[Change]:
    bounds = [("position", "<=", as_of.size), ("occurred_at", "<=", as_of.bound)]
    found = [row for where in selections for row in views.select(CHANGE, [*where, *bounds])]
    for row in found:
        row["index"] = row.pop("position") - 1
        row["data"] = parse_json(row["data"].encode(), what="view")
        row["marks"] = row["marks"].split(",") if row["marks"] else []
    # What was live follows occurrence, also when it was reported late. Decisions hold in the order of the log: whoever
    # decides cannot choose by a date which decision comes last.
    decided = sorted((row for row in found if row["kind"] == "model"), key=lambda row: row["index"])
    happened = (row for row in found if row["kind"] != "model")
    return decided + sorted(happened, key=lambda row: (row["occurred_at"], row["index"]))


def _stamp(change: Change) -> dict[str, Any]:
    return {
        "index": change["index"],
        "actor": change["actor"],
        "occurred_at": format_time(change["occurred_at"]),
        "recorded_at": format_time(change["recorded_at"]),
    }


def _new_version(change: Change) -> dict[str, Any]:
    data = change["data"]
    return {
        "version": change["model"], "status": "registered", "digest": data["digest"], "owner": data["owner"],
        "tier": data["tier"], "run": data.get("run"), "registered": _stamp(change), "evaluations": [],
        "approvals": [], "quarantines": [], "retired": None, "demoted": [], "promoted": [], "live_in": [],
        "aliases": [],
    }  # fmt: skip


def _ended(change: Change) -> dict[str, Any]:
    """That a version, or its model, is used no more, and what becomes of what is left of it."""
    told = ("reason", "successor", "data_disposition", "keep_until")
    return {**_stamp(change), **{name: change["data"].get(name) for name in told}}


def _retire_all(versions: dict[str, dict[str, Any]], change: Change) -> None:
    for name, version in versions.items():
        if name.partition("@")[0] == change["model"]:
            version["retired"] = version["retired"] or _ended(change)


def _fold_version(version: dict[str, Any], change: Change) -> None:
    data, kind = change["data"], change["type"]
    if kind == "evaluation.completed":
        evaluation = {**_stamp(change), "metrics": data["metrics"], "verdict": verdict_of(data)}
        evaluation |= {"digest": data.get("digest"), "invalidated": None}
        version["evaluations"].append({"id": change["id"], **evaluation})
        if version["status"] == "registered" and measured(version):
            version["status"] = "evaluated"
    elif kind == "evaluation.invalidated":
        for evaluation in version["evaluations"]:
            if evaluation["id"] == data["evaluation"]:
                evaluation["invalidated"] = _stamp(change)
    elif kind == "quarantine.placed":
        placed = {"id": change["id"], "subject": change["model"], "reason": data["reason"], "placed": _stamp(change)}
        placed |= {name: data.get(name) for name in QUARANTINE}
        version["quarantines"].append(placed)
    elif kind == "quarantine.released":
        version["quarantines"] = [one for one in version["quarantines"] if one["id"] != data["quarantine"]]
    elif kind == "risk.classified":
        version["classified"].append((change["index"], data["tier"]))
    elif kind == "version.retired":
        version["retired"] = _ended(change)
    elif kind == "version.demoted":
        told = {name: data.get(name) for name in ("environment", "to", "reason", "previous")}
        version["demoted"].append({**_stamp(change), **told})
    elif kind == "version.promoted":
        told = {name: data.get(name) for name in ("environment", "from_environment", "alias", "previous", "reason")}
        version["promoted"].append({**_stamp(change), **told})
    else:
        fold_approval(version, change, _stamp(change))


def _fold_deployment(state: dict[str, Any], change: Change) -> None:
    data, kind = change["data"], change["type"]
    if kind == "emergency.reviewed":
        given = state["authorised"]
        if data["verdict"] == "unjustified" and given is not None and given["id"] == data["decision"]:
            state["authorised"] = None
        return
    item = {"id": change["id"], **_stamp(change), "type": kind, "model": data["model"], "digest": data["digest"],
            "config_digest": data.get("config_digest"), "marks": change["marks"], "quarantines": []}  # fmt: skip
    state["history"].append(item)
    if kind == "deployment.authorised":
        state["authorised"] = item
    elif kind in WENT_LIVE:
        live = state["live"]
        same = live is not None and (live["model"], live["digest"]) == (item["model"], item["digest"])
        if not same:
            state["previous"] = live
        began = live if same else {"since": item["occurred_at"], "began": item["index"]}
        state["live"] = item
        item |= {name: began[name] for name in ("since", "began")}  # said once more, it is live since the first time
        state["canary"] = None
        if kind == "rollback.completed":
            state["authorised"] = None  # what was left must be authorised anew
    elif kind == "canary.stage_entered":
        state["canary"] = item
    elif kind in ("canary.aborted", "deployment.held"):
        name = "canary" if kind == "canary.aborted" else "authorised"  # a hold is a decision: the canary may go on
        state[name] = None if state[name] and state[name]["model"] == item["model"] else state[name]


def _new_deployment(name: str) -> dict[str, Any]:
    parsed = parse_name(name)
    return {
        "deployment": name,
        "environment": parsed.namespace,
        "service": parsed.name,
        "live": None,
        "previous": None,
        "authorised": None,
        "canary": None,
        "history": [],
        "emergencies": [],
    }


def _mark_live(versions: dict[str, dict[str, Any]], deployments: dict[str, dict[str, Any]]) -> None:
    """Put what deployments say onto the versions they are about; live anywhere outweighs everything else."""
    for _, state in sorted(deployments.items()):
        for left in _rolled_back(state["history"]) & versions.keys():
            versions[left]["status"] = "rolled back"
    for _, state in sorted(deployments.items()):
        live, authorised = state["live"], state["authorised"]
        done = live is not None and authorised is not None and live["index"] > authorised["index"]
        if authorised is not None and authorised["model"] in versions and not done:
            versions[authorised["model"]]["status"] = "deploy authorised"
        if state["canary"] is not None and state["canary"]["model"] in versions:
            versions[state["canary"]["model"]]["status"] = "canary"
    for version in versions.values():
        if version["retired"] or version["quarantines"]:
            version["status"] = "quarantined" if version["quarantines"] else "retired"
    for name, state in sorted(deployments.items()):
        live = state["live"]
        if live is not None and live["model"] in versions:
            versions[live["model"]]["status"] = "live"
            versions[live["model"]]["live_in"].append(name)


def _rolled_back(history: list[dict[str, Any]]) -> set[str]:
    """Versions that a rollback took out of a deployment and that have not been live there since."""
    found: set[str] = set()
    live: str | None = None
    for item in history:
        if item["type"] == "rollback.completed" and live is not None and live != item["model"]:
            found.add(live)
        if item["type"] in WENT_LIVE:
            live = item["model"]
            found.discard(live)
    return found


#: Events that may come before a version is registered, or be about all versions of a model.
_ANY_TIME: Final = ("quarantine.placed", "quarantine.released", "risk.classified")


def _fold_alias(aliases: dict[tuple[str, str], str], change: Change) -> None:
    key, name = (change["thing"], change["data"]["alias"]), change["model"]
    if change["type"] == "version.aliased":
        aliases[key] = name
    elif aliases.get(key) == name:  # an alias that names another version by now is not taken from that
        del aliases[key]


def _set_tiers(versions: dict[str, dict[str, Any]], others: dict[str, dict[str, Any]]) -> None:
    """The tier in force of each version; it depends on the versions of its model that were registered before."""
    registered: dict[str, list[tuple[int, str, str]]] = {}
    for name, version in versions.items():
        model, _, number = name.partition("@")
        registered.setdefault(model, []).append((version["registered"]["index"], number, version["tier"]))
    for model, made in registered.items():
        names = ["", *(number for _, number, _ in made)]
        said = [
            (index, number, tier) for number in names
            for index, tier in others.get(f"{model}@{number}" if number else model, {"classified": ()})["classified"]
        ]  # fmt: skip
        for number, tier in tiers_in_force(made, said).items():
            versions[f"{model}@{number}"]["tier"] = tier


def _folded(changes: Iterable[Change]) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Versions and deployments by name."""
    versions: dict[str, dict[str, Any]] = {}
    deployments: dict[str, dict[str, Any]] = {}
    others: dict[str, dict[str, Any]] = {}
    aliases: dict[tuple[str, str], str] = {}
    for change in changes:
        name = change["model"]
        if change["kind"] == "deployment":
            _fold_deployment(deployments.setdefault(change["thing"], _new_deployment(change["thing"])), change)
        elif change["type"] == "version.registered":
            versions.setdefault(name, _new_version(change))
        elif change["type"] in _ANY_TIME:
            _fold_version(others.setdefault(name, {"classified": [], "quarantines": []}), change)
        elif change["type"] == "model.decommissioned":
            _retire_all(versions, change)
        elif change["type"] in ("version.aliased", "version.unaliased"):
            _fold_alias(aliases, change)
        elif name in versions:
            _fold_version(versions[name], change)
    for name, version in versions.items():
        for other in (others[key] for key in (name, name.partition("@")[0]) if key in others):
            version["quarantines"] += other["quarantines"]
    _set_tiers(versions, others)
    for (_, alias), name in sorted(aliases.items()):
        if name in versions:
            versions[name]["aliases"].append(alias)
    _mark_live(versions, deployments)
    return versions, deployments


def _streams(views: ViewReader, as_of: AsOf, subject: str) -> Selection:
    """The changes that bear on a thing: its own, and those of every deployment that had to do with it."""
    stream = subject.partition("@")[0]
    if stream.startswith("deployment:"):
        return [("thing", "=", subject)]
    # "@" is followed by "A" in the order of bytes, which both stores keep.
    versions = [("model", ">=", f"{stream}@"), ("model", "<", f"{stream}A"), ("kind", "=", "deployment")]
    rows = views.select(CHANGE, [*versions, ("position", "<=", as_of.size)])
    return [("thing", "IN", sorted({stream, *(row["thing"] for row in rows)}))]


def state_as_of(views: ViewReader, as_of: AsOf, subject: str | None = None) -> dict[str, Any]:
    """The state of models and deployments.

    Args:
        views: the views.
        as_of: both clocks.
        subject: one model, version or deployment, or a pattern in which ``*`` stands for any characters within a part
            of a name; everything when None.

    Returns:
        ``{"models": [...], "deployments": [...]}``, sorted, made of plain values.
    """
    one = None if subject is None or "*" in subject else subject
    if one is not None:
        parse_name(one)  # refuses what is no name
    versions, deployments = _folded(_changes(views, as_of, [] if one is None else _streams(views, as_of, one)))
    for name in told_of(views, as_of, one):
        deployments.setdefault(name, _new_deployment(name))
    if subject is None:
        return _told(versions, deployments)
    return _told(
        {name: one for name, one in versions.items() if _is(subject, name)},
        {name: one for name, one in deployments.items() if _is(subject, name) or _touches(one, subject)},
    )


def _is(subject: str, name: str) -> bool:
    """Whether a name is what is asked about, or a version of it."""
    wanted, _, wanted_version = subject.partition("@")
    stream, _, version = name.partition("@")
    if "*" not in subject:
        return subject in (name, stream)
    return covers_stream((wanted,), stream) and (not wanted_version or matches(wanted_version, version))


def _told(versions: dict[str, dict[str, Any]], deployments: dict[str, dict[str, Any]]) -> dict[str, Any]:
    models: dict[str, list[dict[str, Any]]] = {}
    for name, version in sorted(versions.items()):
        models.setdefault(name.partition("@")[0], []).append(version)
    return {
        "models": [{"model": stem, "versions": found} for stem, found in models.items()],
        "deployments": [state for _, state in sorted(deployments.items())],
    }


def states_of(views: ViewReader, as_of: AsOf, streams: Iterable[str]) -> dict[str, Any]:
    """The state of several models and deployments, by a few questions however many they are.

    Args:
        views: the views.
        as_of: both clocks.
        streams: models, without a version, and deployments.

    Returns:
        As `state_as_of`: these, and deployments that had to do with a version of them.
    """
    wanted = set(streams)
    names: set[str] = set()
    for some in some_at_a_time(sorted(wanted)):
        rows = views.select(CHANGE, [("thing", "IN", some), ("kind", "=", "model"), ("position", "<=", as_of.size)])
        names |= {row["model"] for row in rows if row["type"] == "version.registered"}
    things = set(wanted)
    for some in some_at_a_time(sorted(names)):
        where = [("model", "IN", some), ("kind", "=", "deployment"), ("position", "<=", as_of.size)]
        things |= {row["thing"] for row in views.select(CHANGE, where)}
    read: list[Selection] = [[("thing", "IN", some)] for some in some_at_a_time(sorted(things))]
    return _told(*_folded(_changes(views, as_of, *read)))


def _touches(state: dict[str, Any], subject: str) -> bool:
    return any(_is(subject, item["model"]) for item in state["history"])


def periods(state: dict[str, Any]) -> list[dict[str, Any]]:
    """When which version was live, or a canary, in a deployment, by the time things occurred.

    Args:
        state: of a deployment, as `state_as_of` gives it.

    Returns:
        In order of their beginning: ``model``, ``digest``, ``how`` (live or canary), ``since``, ``until`` (None while
        it lasts), ``index`` of the entry that began it, ``ended`` that of the one that ended it, its ``marks``, and
        ``quarantines`` as far as they were asked for (`remarks.remark`).
    """
    found: list[dict[str, Any]] = []
    running: dict[tuple[str, str, str], dict[str, Any]] = {}

    def end(how: str, item: dict[str, Any], *, only: tuple[str, str] | None = None) -> None:
        for key in [key for key in running if key[0] == how and only in (None, key[1:])]:
            running.pop(key).update(until=item["occurred_at"], ended=item["index"])

    for item in state["history"]:
        kind, which = item["type"], (item["model"], item["digest"])
        how = "live" if kind in WENT_LIVE else "canary" if kind == "canary.stage_entered" else None
        if kind == "canary.aborted":
            end("canary", item, only=which)
        if how is None or (("live", *which) in running and how == "canary"):
            continue  # what is live already is no canary
        if how == "live":
            end("canary", item)
        if (how, *which) in running:
            running[how, *which].update(marks=item["marks"], quarantines=item["quarantines"])
            continue
        if how == "live":
            end("live", item)
        began = {"model": item["model"], "digest": item["digest"], "how": how, "since": item["occurred_at"]}
        running[how, *which] = {**began, "until": None, "index": item["index"], "ended": None, "marks": item["marks"],
                                "quarantines": item["quarantines"]}  # fmt: skip
        found.append(running[how, *which])
    return found


def live_at(views: ViewReader, as_of: AsOf, deployment: str) -> tuple[str | None, str | None]:
    """The version live in a deployment, and the one live before it.

    Returns:
        Names of model versions, None where there was none.
    """
    live: list[str] = []
    for _, model in lives(views, as_of, [deployment])[deployment]:
        if live[-1:] != [model]:
            live.append(model)
    return (live[-1] if live else None, live[-2] if len(live) > 1 else None)


def lives(views: ViewReader, as_of: AsOf, deployments: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
    """What went live in deployments, and when that occurred, in this order; also when it was live already."""
    found: dict[str, list[tuple[int, str]]] = {name: [] for name in deployments}
    for change in _changes(views, as_of, *([("thing", "IN", some)] for some in some_at_a_time(sorted(found)))):
        if change["type"] in WENT_LIVE:
            found[change["thing"]].append((change["occurred_at"], change["model"]))
    return found
