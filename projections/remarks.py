"""What is to be known of what is live, or a canary, besides the marks of the entry that brought it there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ledger.domain.ancestry import held_by
from ledger.domain.lifecycle import rule_for, version_of
from ledger.domain.states import VersionState
from ledger.domain.world import World, model_of
from ledger.entry import format_time
from ledger.errors import InputError, PolicyError
from ledger.names import parse_name, stream_of
from ledger.payload import parse_moment
from ledger.strictjson import parse_json
from ledger.worlds import WorldAt
from projections.base import ViewReader
from projections.groups import WENT_LIVE
from projections.model_state import CHANGE
from projections.quarantined import tell_held

__all__ = ["RESTS", "canaries_of", "registered", "remark"]

#: Marks what rests on something in quarantine.
RESTS: Final = "rests-on-quarantined"
#: Marks what an emergency brought there, by what became of that; one that was justified needs no mark.
_URGENT: Final = {
    "open": "emergency-unreviewed", "overdue": "emergency-overdue", "unjustified": "emergency-unjustified",
}  # fmt: skip


def remark(known: World, then: WorldAt, views: ViewReader, deployment: dict[str, Any], at: int) -> None:
    """Say in the state of a deployment what is to be known of what is live, and of each canary, there.

    Args:
        known: the world of whoever asks, for facts.
        then: the world by the moment that is asked about, for decisions.
        views: the views.
        deployment: as `model_state.state_as_of` gives it, which is changed: it gets ``emergencies``; what is live, or a
            canary, gets its quarantines, and marks: ``rests-on-quarantined``; ``other-digest``, where the version is
            registered with other bytes; ``other-settings``, where it runs with other ones than were authorised;
            ``retired``; ``evaluation-failed``, where the rules ask for a passed evaluation and one that stands failed;
            ``canary-aborted``, where its last canary before it went live was given up; ``unauthorised-at-first``, where
            only what was said of it later is covered; ``back-dated-report``, where an entry behind it says that
            something else went live before it; and ``emergency-…``, where the last authorisation of it was an emergency
            that nobody has found justified.
        at: the moment that is asked about, in microseconds since the Unix epoch.
    """
    deployment["emergencies"] = _emergencies(views, deployment, then.index, at)
    serving = [item for item in (deployment["live"], deployment["canary"]) if item is not None]
    serving += [item for item in canaries_of(deployment) if item is not deployment["canary"]]
    for item in serving:
        item["quarantines"] = tell_held(views, held_by(then, item["model"], item["digest"]))
        item["marks"] = list(dict.fromkeys([*item["marks"], *_marks(known, then, deployment, item)]))


def canaries_of(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    """The last entry of each version that is a canary in a deployment: there may be several beside each other.

    Args:
        deployment: as `model_state.state_as_of` gives it.
    """
    live, found = None, dict[tuple[str, str], dict[str, Any]]()
    for item in deployment["history"]:
        which = (item["model"], item["digest"])
        if item["type"] in WENT_LIVE:
            live, found = which, {}
        elif item["type"] == "canary.aborted":
            found.pop(which, None)
        elif item["type"] == "canary.stage_entered" and which != live:
            found[which] = item
    return list(found.values())


def _marks(known: World, then: World, deployment: dict[str, Any], item: dict[str, Any]) -> Iterator[str]:
    if item["quarantines"]:
        yield RESTS
    made, version = (registered(world, item["model"]) for world in (known, then))
    if made is not None and made.digest != item["digest"]:
        yield "other-digest"
    if _other_settings(deployment, item):
        yield "other-settings"
    if version is not None and version.retired is not None:
        yield "retired"
    if _evaluation_failed(then, deployment["environment"], item["model"]):
        yield "evaluation-failed"
    if _canary_aborted(deployment, item):
        yield "canary-aborted"
    if "unauthorised" not in item["marks"] and _began_unauthorised(deployment, item):
        yield "unauthorised-at-first"
    if _reported_late(deployment, item):
        yield "back-dated-report"
    which = (item["model"], item["digest"])
    given = [one for one in deployment["history"] if one["type"] == "deployment.authorised"
             and (one["model"], one["digest"]) == which]  # fmt: skip
    last = max(given, key=lambda one: int(one["index"]), default=None)
    for one in deployment["emergencies"]:
        if last is not None and one["id"] == last["id"] and one["status"] in _URGENT:
            yield _URGENT[one["status"]]


def _evaluation_failed(world: World, environment: str, model: str) -> bool:
    """Whether a suite of what is live failed when it was last measured, where the rules ask for evaluations."""
    try:
        named = version_of(world, model)
        asked = rule_for(world, environment, named.tier).evaluation
    except (PolicyError, InputError):
        return False  # not registered, or not ruled: other marks say so
    mine = any(one.verdict == "fail" for one in named.version.evaluations)
    return asked and (mine or bool(named.failed_elsewhere))


def _canary_aborted(deployment: dict[str, Any], item: dict[str, Any]) -> bool:
    """Whether what went live had been taken back as a canary, and was not tried as one again."""
    which = (item["model"], item["digest"])
    tried = [
        one for one in deployment["history"] if one["type"] in ("canary.stage_entered", "canary.aborted")
        and (one["model"], one["digest"]) == which and one["index"] < item["index"]
    ]  # fmt: skip
    last = max(tried, key=lambda one: int(one["index"]), default=None)
    return item["type"] in WENT_LIVE and last is not None and last["type"] == "canary.aborted"


def _began_unauthorised(deployment: dict[str, Any], item: dict[str, Any]) -> bool:
    """Whether what is live was not covered when it went live: an authorisation afterwards does not undo that."""
    began = [one for one in deployment["history"] if one["index"] == item.get("began")]
    return any("unauthorised" in one["marks"] for one in began)


def _reported_late(deployment: dict[str, Any], item: dict[str, Any]) -> bool:
    """Whether something else was reported live behind the last report, with an earlier date.

    Either it arrived late, or its author's clock was wrong and it is what really runs: a new report, or a serving
    snapshot, settles that.
    """
    which = (item["model"], item["digest"])
    return item["type"] in WENT_LIVE and any(
        one["type"] in WENT_LIVE and one["index"] > item["index"] and (one["model"], one["digest"]) != which
        for one in deployment["history"]
    )


def _other_settings(deployment: dict[str, Any], item: dict[str, Any]) -> bool:
    """Whether what is live says that it runs with other settings than its last authorisation before it named."""
    which = (item["model"], item["digest"])
    meant = [
        one for one in deployment["history"] if one["type"] == "deployment.authorised"
        and (one["model"], one["digest"]) == which and one["index"] < item["index"]
    ]  # fmt: skip
    wanted = max(meant, key=lambda one: int(one["index"]), default={"config_digest": None})["config_digest"]
    return wanted is not None and item["config_digest"] not in (None, wanted)


def registered(world: World, subject: str) -> VersionState | None:
    """A version as it was registered, suspect or not; None when it was not."""
    model = model_of(world, stream_of(subject))
    return None if model is None else model.versions.get(parse_name(subject).version or "")


def _emergencies(views: ViewReader, deployment: dict[str, Any], size: int, at: int) -> list[dict[str, Any]]:
    """Decisions that were taken in an emergency, in log order, each with its review."""
    if not any("emergency" in item["marks"] for item in deployment["history"]):
        return []
    rows = views.select(CHANGE, [("thing", "=", deployment["deployment"]), ("position", "<=", size)])
    told: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["type"] not in ("deployment.authorised", "emergency.reviewed"):
            continue
        data = parse_json(row["data"].encode(), what="view")
        stamp = {"index": row["position"] - 1, "actor": row["actor"], "recorded_at": format_time(row["recorded_at"])}
        if data.get("emergency"):
            overdue = parse_moment(data["emergency"]["review_by"]) <= at
            told[row["id"]] = {
                "id": row["id"], **stamp, "model": data["model"], "digest": data["digest"], **data["emergency"],
                "status": "overdue" if overdue else "open", "review": None,
            }  # fmt: skip
        elif data.get("decision") in told:
            told[data["decision"]] |= {"status": data["verdict"], "review": stamp}
    return list(told.values())
