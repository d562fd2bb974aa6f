"""The eight controls over the life cycle: what each asks, of which items, and how an item is tested.

"Before" always means a smaller log index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger.domain.independence import independent
from ledger.events.evaluations import verdict_of
from projections.authorised import ENDING, ended
from projections.groups import DATA, DEPLOYED, ENDED, RUNS, WENT_LIVE
from projections.journal import JournalRow
from projections.makers import claimants
from projections.reports.exceptions import emergencies_reviewed, gated, rule_before
from projections.reports.population import BAD, GOOD, UNKNOWN, Item, ReportContext, environment_of

__all__ = ["CONTROLS", "Control"]


@dataclass(frozen=True, slots=True)
class Control:
    """One control: what it asks, of which items, and how an item is tested."""

    name: str
    title: str
    population: str
    items: Callable[[ReportContext], Iterator[Item]]


def _of_environment(context: ReportContext, rows: list[JournalRow]) -> list[JournalRow]:
    wanted = context.environment
    return [row for row in context.in_period(rows) if wanted is None or environment_of(row) == wanted]


def _version(context: ReportContext, model: str, before: int) -> JournalRow | None:
    rows = [r for r in context.events("version.registered") if r["subject"] == model and r["index"] < before]
    return rows[0] if rows else None


def _earlier(context: ReportContext, kinds: str | Sequence[str], before: int, **fields: Any) -> list[JournalRow]:
    """Events of some types before an index whose ``subject`` or body fields have these values."""
    found = []
    for row in context.events(*([kinds] if isinstance(kinds, str) else kinds)):
        values = {**row["data"], "subject": row["subject"], "stream": row["stream"], "id": row["id"]}
        if row["index"] < before and all(values.get(name) == value for name, value in fields.items()):
            found.append(row)
    return found


def _actors(rows: list[JournalRow]) -> set[str]:
    return {actor for row in rows for actor in (row["actor"], row["on_behalf_of"]) if actor}


def _run_events(context: ReportContext, run: str | None, before: int) -> list[JournalRow]:
    """What the log says of a run before an index, in log order."""
    return [row for row in context.events(*RUNS) if row["stream"] == run and row["index"] < before]


def _makers(context: ReportContext, version: JournalRow, request: JournalRow | None, before: int) -> set[str] | None:
    """Who stands behind a version: who registered it, its run's authors, who asked, and whoever else says so.

    None when the run it names was not recorded by then.
    """
    run = version["data"].get("run")
    runs = _run_events(context, run, before)
    if run is not None and not runs:
        return None
    about = (version["subject"], version["data"]["digest"], version["index"])
    others = claimants(context.views, *about, size=context.as_of.size)
    return _actors([version, *runs, *([request] if request else [])]) | others


def _four_eyes(context: ReportContext) -> Iterator[Item]:
    for row in _of_environment(context, context.events("deployment.authorised")):
        model, environment, index = row["data"]["model"], environment_of(row), row["index"]
        if row["data"].get("emergency"):
            continue  # it waited for nobody: that it is reviewed is another control
        version = _version(context, model, index)
        rule = rule_before(context, row, model, environment)
        if rule is None or version is None:
            yield Item(row, UNKNOWN, f"no rule or no registration for {model} was in the log at the time", (row,))
            continue
        if rule.approvals == 0:
            continue
        approvals = _earlier(
            context, "approval.granted", index, subject=model, environment=environment, digest=row["data"]["digest"]
        )
        yield _count_independent(context, row, version, approvals, rule.approvals)


def _count_independent(
    context: ReportContext, row: JournalRow, version: JournalRow, approvals: list[JournalRow], needed: int
) -> Item:
    world = context.world(row["index"])
    apart, doubtful, requests = [], False, []
    for approval in approvals:
        asked = _earlier(
            context,
            "approval.requested",
            approval["index"],
            subject=approval["subject"],
            id=approval["data"]["request"],
        )
        request = asked[0] if asked else None
        requests += asked[:1]
        makers = _makers(context, version, request, approval["index"])
        verdict = independent(world, _actors([approval]), makers)
        doubtful |= verdict is None
        if verdict:
            apart.append(approval)
    persons = {context.person_of(approval["actor"]) for approval in apart}
    evidence = (row, version, *requests, *approvals)
    if len(persons) >= needed:
        return Item(row, GOOD, f"{len(persons)} independent approval(s) before it, {needed} needed", evidence)
    if doubtful:
        return Item(row, UNKNOWN, "a person behind an approval cannot be resolved", evidence)
    return Item(row, BAD, f"{len(persons)} independent approval(s) before it, {needed} needed", evidence)


def _same_digest(context: ReportContext) -> Iterator[Item]:
    for row in _of_environment(context, context.events(*DEPLOYED)):
        model, index, digest = row["data"]["model"], row["index"], row["data"]["digest"]
        version = _version(context, model, context.as_of.size)  # a name stands for the same bytes whenever it was given
        if version is None:
            continue  # that it was never registered is what the provenance says
        given = _earlier(context, "deployment.authorised", index, stream=row["stream"], model=model)
        approved = _earlier(context, "approval.granted", index, subject=model, environment=environment_of(row))
        stood = {"registered": [version], "approved": approved[-1:], "authorised": given[-1:]}
        evidence = (row, *given[-1:], *approved[-1:], version)
        if other := [f"{r['data']['digest']} was {how}" for how, rs in stood.items() for r in rs
                     if r["data"]["digest"] != digest]:  # fmt: skip
            yield Item(row, BAD, f"{digest} was deployed as {model}, and {', '.join(other)}", evidence)
        else:
            known = [how for how, rows in stood.items() if rows]
            yield Item(row, GOOD, f"{', '.join([*known, 'deployed'])}: the digest is one", evidence)


def _evaluated_first(context: ReportContext) -> Iterator[Item]:
    for row in context.in_period(context.events("approval.granted")):
        model, environment = row["subject"], row["data"]["environment"]
        if context.environment not in (None, environment):
            continue
        rule = rule_before(context, row, model, environment)
        if rule is not None and not rule.evaluation:
            continue
        found = [
            r
            for r in _earlier(context, "evaluation.completed", row["index"], subject=model)
            if r["data"].get("digest") in (None, row["data"]["digest"])
        ]
        passed = [r for r in found if verdict_of(r["data"]) == "pass"]
        last = {r["data"].get("suite") or r["data"].get("kind"): r for r in found}
        failed = [r for r in last.values() if r["data"].get("verdict") == "fail"]
        if failed:
            yield Item(row, BAD, "the last evaluation of a suite before it failed", (row, *failed))
        elif passed:
            yield Item(row, GOOD, f"{len(passed)} passed evaluation(s) of this version before it", (row, *passed))
        else:
            yield Item(row, BAD, "no passed evaluation of this version before it", (row,))


def _end_of(run: JournalRow) -> str:
    """How a run ended: completed, failed or aborted."""
    name = run["type"].partition(".")[2]
    return str(run["data"].get("status", "completed")) if name == "attached" else name


def _missing_provenance(context: ReportContext, version: JournalRow, runs: list[JournalRow]) -> list[str]:
    """What is missing of the provenance of a version, empty when it is full."""
    merged: dict[str, Any] = {}
    for run in runs:
        merged.update({name: value for name, value in run["data"].items() if value is not None and value != []})
    code = merged.get("code") or {}
    missing = []
    if not (code.get("commit") or code.get("digest")):
        missing.append("code commit or digest")
    missing += [name for name in ("parameters", "environment", "seed") if name not in merged]
    inputs = merged.get("inputs") or []
    if not inputs:
        missing.append("inputs")
    for item in inputs:
        known = _earlier(context, DATA, runs[-1]["index"], subject=item["subject"], digest=item.get("digest"))
        if not item.get("digest") or not known:
            missing.append(f"a registered digest of {item['subject']}")
    ends = [_end_of(run) for run in runs if run["type"] in ENDED]
    if ends[:1] not in ([], ["completed"]):  # the first end counts; a later success of the same name is another run
        missing.append("a run that ended well")
    done = [run for run in runs if run["type"] in ENDED and _end_of(run) == "completed"]
    outputs = [item.get("digest") for run in done for item in run["data"].get("outputs") or []]
    if version["data"]["digest"] not in outputs:
        missing.append("a completed run whose output is this digest")
    return missing


def _provenance(context: ReportContext) -> Iterator[Item]:
    seen = set()
    for row in _of_environment(context, context.events(*WENT_LIVE)):
        model = row["data"]["model"]
        if model in seen:
            continue
        seen.add(model)
        version = _version(context, model, context.as_of.size)
        if version is None:
            yield Item(row, BAD, f"{model} went live and was never registered", (row,))
            continue
        name = version["data"].get("run")
        runs = _run_events(context, name, context.as_of.size)
        missing = _missing_provenance(context, version, runs) if runs else ["a recorded run"]
        inputs = {item["subject"] for run in runs for item in run["data"].get("inputs") or []}
        data = [r for r in context.events(*DATA) if r["subject"] in inputs]
        if missing:
            yield Item(row, BAD, f"{model} lacks {'; '.join(missing)}", (row, version, *runs, *data))
        else:
            yield Item(
                row, GOOD, f"{model}: data, code, parameters, environment, seed and output", (version, *runs, *data)
            )


def _authorised(context: ReportContext) -> Iterator[Item]:
    for row in _of_environment(context, context.events(*DEPLOYED)):
        model = row["data"]["model"]
        rule = rule_before(context, row, model, environment_of(row))
        if rule is not None and not rule.authorisation:
            continue
        if "unauthorised" in row["marks"]:
            stops = [mark for mark in ("quarantined", "retired") if mark in row["marks"]]
            why = f"it was {' and '.join(stops)}" if stops else "no authorisation covered it"
            over = None if stops else ended(context.events(*ENDING), row)
            told = () if over is None else tuple({one["index"]: one for one in (over.given, over.by)}.values())
            why += "" if over is None else f": that of entry {over.given['index']} was over, {over.words}"
            yield Item(row, BAD, f"{model} went live in {row['stream']} and {why}", (row, *told))
            continue
        given = _earlier(
            context,
            "deployment.authorised",
            row["index"],
            stream=row["stream"],
            model=model,
            digest=row["data"]["digest"],
        )
        yield Item(row, GOOD, f"authorised before {model} went live", (row, *given[-1:]))


def _rollback_target(context: ReportContext) -> Iterator[Item]:
    for row in _of_environment(context, context.events("rollback.completed")):
        model, digest = row["data"]["model"], row["data"]["digest"]
        earlier = _earlier(context, WENT_LIVE, row["index"], stream=row["stream"], model=model, digest=digest)
        if "never-live" in row["marks"]:
            yield Item(row, BAD, f"{model} was never live in {row['stream']} before", (row,))
        elif "unauthorised" in row["marks"]:
            words = f"{model} had been live in {row['stream']}, and no authorisation that counts covered that"
            yield Item(row, BAD, words, (row, *earlier[:1]))
        elif stops := [mark for mark in ("quarantined", "retired") if mark in row["marks"]]:
            yield Item(row, BAD, f"{model} was {' and '.join(stops)}", (row, *earlier[:1]))
        else:
            yield Item(row, GOOD, f"{model} had been live in {row['stream']}, authorised", (row, *earlier[:1]))


CONTROLS: Final = (
    Control(
        "four-eyes-before-authorise",
        "An authorised deployment was approved before by as many other persons as the rules ask for",
        "deployment.authorised where the rules ask for approvals",
        _four_eyes,
    ),
    Control(
        "same-digest",
        "What was deployed is, to the byte, what was registered, and what was approved and authorised before it",
        "deployment.completed and deployment.promoted of registered versions",
        _same_digest,
    ),
    Control(
        "evaluation-before-approval",
        "An approval rests on a passed evaluation of the same version, and the last one of no suite failed",
        "approval.granted where the rules ask for an evaluation",
        _evaluated_first,
    ),
    Control(
        "training-provenance",
        "A version that went live has full training provenance",
        "model versions that went live",
        _provenance,
    ),
    Control(
        "deployment-authorised",
        "A deployment is covered by an authorisation",
        "deployment.completed and deployment.promoted where the rules ask for an authorisation",
        _authorised,
    ),
    Control(
        "rollback-target-once-live",
        "A rollback returned to a version that had been live there with an authorisation, and that nothing stopped",
        "rollback.completed",
        _rollback_target,
    ),
    Control(
        "gate-before-authorise",
        "The policy that the rules name allowed a version before its deployment was authorised",
        "deployment.authorised where the rules name a policy",
        gated,
    ),
    Control(
        "emergency-reviewed",
        "What was authorised in an emergency was reviewed in time by another person, who found it justified",
        "deployment.authorised in an emergency",
        emergencies_reviewed,
    ),
)
