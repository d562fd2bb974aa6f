"""What an entry says, in one line: the words of its author, and what else in its body tells how it is meant.

It is asked of entries that are valid: their bodies have the form of their type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from projections.interruptions import words_of
from projections.journal import JournalRow

__all__ = ["waived_in", "what_of"]

#: Fields in which authors say what they mean, the first that there is.
_SENTENCES: Final = (
    "title", "statement", "summary", "note", "notes", "rationale", "description", "reason", "change", "hypothesis",
    "conclusion",
)  # fmt: skip
#: How many of several things are told; the entry has all of them.
_FEW: Final = 3


def _share(value: float) -> str:
    return f"{value * 100:.4g}%"


def _list(value: list[Any]) -> str:
    return ", ".join(map(str, value))


def _few(texts: Iterable[str]) -> str:
    """The first ones, and how many more there are."""
    told = list(texts)
    return "; ".join(told[:_FEW]) + (f" and {len(told) - _FEW} more" if len(told) > _FEW else "")


def _numbers(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(value.items()))


def _slices(value: list[dict[str, Any]]) -> str:
    return _few(f"{one['slice']}: {_numbers(one['metrics'])}" for one in value)


def _measured(value: list[dict[str, Any]]) -> str:
    """What was measured against which threshold; what failed comes first."""

    def text(one: dict[str, Any]) -> str:
        of = f" of {one['slice']}" if one.get("slice") else ""
        against = "" if one.get("threshold") is None else f" against {one['threshold']}"
        return f"{one['name']}{of} {one['value']}{against}{': ' + one['verdict'] if one.get('verdict') else ''}"

    return _few(map(text, sorted(value, key=lambda one: one.get("verdict") != "fail")))


def _unmet(value: list[dict[str, Any]]) -> str:
    """Which expectations of a data set did not hold."""
    failed = [one for one in value if not one["success"]]
    return _few(f"{one['assertion']}{' of ' + one['column'] if one.get('column') else ''} failed" for one in failed)


def _severities(value: list[dict[str, Any]]) -> str:
    order = ("critical", "high", "medium", "low")
    counts = {name: sum(one["severity"] == name for one in value) for name in order}
    return "found: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _arms(value: list[dict[str, Any]]) -> str:
    shares = ("" if one.get("traffic") is None else f" with {_share(one['traffic'])}" for one in value)
    return _few(f"{one['name']} is {one['model']}{share}" for one, share in zip(value, shares, strict=True))


def _code(value: dict[str, Any]) -> str:
    name = value.get("commit") or value.get("digest")
    return f"code {name}{' and changes that are nowhere' if value.get('dirty') else ''}" if name else ""


def _cost(value: dict[str, Any]) -> str:
    return f"{value['amount']} {value['currency']}{' for ' + value['per'] if value.get('per') else ''}"


def _timeline(value: dict[str, Any]) -> str:
    """The options with which the same timeline is asked for."""
    options = (("--known-at", "size"), ("--at", "at"), ("--before", "before"), ("--after", "after"))
    return " ".join(f"{option} {value[name]}" for option, name in options if value.get(name) is not None)


def _said(words: str, form: Callable[[Any], str] = str, *, usual: Any = False) -> Callable[[Any], str]:
    """Words with a value in place of the braces; the usual value, that which says no, says nothing."""
    return lambda value: "" if value is usual or value == usual != 0 else words.format(form(value))


def waived_in(checks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which of the checks of a gate are waived, and by what, in words."""
    return [f"{one['check']} by {one['waiver']}" for one in checks if one["result"] == "waived"]


def _mode(value: str) -> str:
    """What a policy in that mode does; one that enforces is what is expected."""
    return {"enforce": "", "warn": "it only warns", "shadow": "it is only tried out"}[value]


def _yes_no(yes: str, no: str) -> Callable[[Any], str]:
    return lambda value: yes if value else no


def _form(words: str) -> Callable[[dict[str, Any]], str]:
    """Words with fields in the braces, all of which every body of the type has."""
    return words.format_map


def _breaking(data: dict[str, Any]) -> str:
    if data.get("breaking") is None:
        return "it is not said whether callers must change"
    return "callers must change" if data["breaking"] else "callers need not change"


def _tags(data: dict[str, Any]) -> str:
    return ", ".join(f"{name} {'removed' if value is None else value}" for name, value in sorted(data["tags"].items()))


def _told(outcome: str) -> Callable[[dict[str, Any]], str]:
    return lambda data: f"{data['recipient_class']}{' ' + data['recipient'] if data.get('recipient') else ''} {outcome}"


def _rate(data: dict[str, Any]) -> str:
    fast = "" if data.get("burn_rate") is None else f" burns {data['burn_rate']:g} times as fast as it may"
    return f"{data['slo']}{fast}"


def _budget(data: dict[str, Any]) -> str:
    return f"{data['slo']} {'exhausted' if data['remaining'] <= 0 else _share(data['remaining']) + ' left'}"


def _gate(data: dict[str, Any]) -> str:
    waived = waived_in(data.get("checks", ()))
    more = f"; waived: {', '.join(waived)}" if waived else ""
    return f"{data['policy']} {'allows' if data['result'] == 'allow' else 'refuses'} it{more}"


#: Type to what it says by itself, before any words of its author.
_HEADLINES: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "access.denied": _form("{principal} was denied {action}"),
    "approval.delegated": _form("until {until}"),
    "approval.condition_met": _form("condition {condition}"),
    "artifact.produced": lambda data: _few(sorted(data["files"])),
    "artifact.scanned": _form("{scanner}: {verdict}"),
    "contract.defined": _breaking,
    "credential.expired": _form("{credential}"),
    "credential.rotated": _form("{credential}"),
    "decision.refused": _form("{decision} was refused"),
    "drill.conducted": _form("{kind}: {outcome}"),
    "emitter.closed": _form("{last} was the last"),
    "emitter.heartbeat": _form("{last} so far"),
    "errorbudget.consumed": _budget,
    "errorbudget.reset": _form("{slo}"),
    "evidence.preserved": _form("{kind} is kept"),
    "experiment.completed": _form("the first arm: {outcome}"),
    "experiment.started": _form("{metric} decides"),
    "external.observed": _form("from {system}"),
    "feed.interrupted": words_of,
    "finding.disposed": _form("{finding} {disposition}"),
    "gap.declared": _form("numbers {first} to {last}"),
    "gate.evaluated": _gate,
    "labels.arrived": _form("{count} labels"),
    "model.on_call_assigned": _form("{on_call} is called"),
    "model.owner_changed": _form("{owner} owns it"),
    "monitor.signal": _form("{metric} {value}"),
    "monitor.window": _form("{metric}: {count} values from {start} until {end}"),
    "notification.failed": _told("was not told"),
    "notification.sent": _told("was told"),
    "performance.tested": lambda data: str(data.get("verdict", "uncertain")),
    "retrain.requested": _form("because of {trigger}"),
    "retrain.resolved": _form("{outcome}"),
    "serving.snapshot": lambda data: f"{len(data['loaded'])} loaded",
    "slo.breached": _rate,
    "slo.defined": lambda data: f"{data['slo']}: {_share(data['objective'])} of {data['indicator']} good",
    "slo.recovered": _rate,
    "thirdparty.registered": _form("{product} of {vendor}"),
    "validation.assigned": _form("{validator} is to validate it"),
    "version.aliased": _form("{alias}"),
    "version.composed": lambda data: f"made from {_few(one['subject'] for one in data['parents'])}",
    "version.tagged": _tags,
    "version.unaliased": _form("{alias} no more"),
    "waiver.requested": _form("{check} of {model} in {environment}"),
}  # fmt: skip

_VERSION: Final = {"model": _said("{}"), "strategy": _said("{}"), "traffic": _said("{} of the traffic", _share),
                   "config_digest": _said("settings {}"), "deployment_id": _said("as {}"),
                   "previous": _said("in place of {}")}  # fmt: skip
_RETURN: Final = {
    "model": _said("to {}"),
    "from_model": _said("from {}"), "automatic": _said("by rule"), "incident": _said("for {}"),
    "trigger": _said("called for by {}"), "due_at": _said("due {}"), "verified": _said("verified: {}"),
    "verification": _said("{}"),
}  # fmt: skip
_SIGNED: Final = {
    "method": _said("by {}"), "signer": _said("of {}"), "predicate": _said("{}"),
    "log": _said("in {}"), "log_index": _said("at {}"),
}  # fmt: skip
_MODEL: Final = {
    "purpose": _said("for {}"), "use_cases": _said("used for {}", _list), "accountable": _said("{} answers for it"),
    "business_unit": _said("of {}"), "domain": _said("domain {}"), "task": _said("task {}"),
    "license": _said("licence {}"), "base_model": _said("made from {}"), "jurisdictions": _said("in {}", _list),
}  # fmt: skip
_CARD: Final = {"format": _said("{}"), "completeness": _said("{} complete", _share),
                "missing": _said("without {}", _list)}  # fmt: skip
_DATA: Final = {"license": _said("licence {}"), "scope": _said("{}"), "effective_at": _said("from {} on")}
_END: Final = {"successor": _said("followed by {}"), "data_disposition": _said("its data: {}"),
               "keep_until": _said("kept until {}")}  # fmt: skip
_ITEM: Final = {"kind": _said("to {}"), "owner": _said("by {}"), "due": _said("due {}")}
_WHICH: Final = {"item": _said("item {}")}
_CAUSE: Final = {"category": _said("{}"), "reviewers": _said("seen by {}", _list)}
_WHERE: Final = {"model": _said("of {}"), "deployment": _said("in {}")}
_CANARY: Final = {"model": _said("{}"), "stage": _said("stage {}"), "traffic": _VERSION["traffic"], "metrics": _numbers,
                  "budget_used": _said("{} of the error budget used", _share)}  # fmt: skip
_NOTICE: Final = {
    "channel": _said("by {}"), "attempts": _said("after {} attempts", usual=1), "status": _said("status {}"),
    "sent_at": _said("at {}"), "deadline": _said("due {}"), "about": _said("about {}"),
}  # fmt: skip
#: Family or type to what else is told of its fields, in this order; a type's own goes before its family's.
_ASIDES: Final[dict[str, dict[str, Callable[[Any], str]]]] = {
    "access.denied": {"count": _said("{} times", usual=1), "system": _said("by {}")},
    "approval": {
        "environment": _said("for {}"), "conditions": _said("if {}", _few), "changes": _said("to do: {}", _few),
        "valid_from": _said("from {} on"), "expires_at": _said("until {}"), "to_role": _said("to role {}"),
        "to_actor": _said("to {}"),
    },
    "artifact.scanned": {"findings": _numbers},
    "artifact.signed": _SIGNED,
    "artifact.verified": {"verdict": _said("{}")} | _SIGNED,
    "bom": {"format": _said("{}"), "serial_number": _said("{}"), "version": _said("version {}")},
    "canary": _CANARY | {"verdict": _said("{}"), "analysis": _said("by {}")},
    "configuration.changed": {"changed": _said("changed: {}", _list)},
    "contract.defined": {"inputs": _said("takes {}", _numbers), "outputs": _said("gives {}", _numbers)},
    "credential": {"used_by": _said("used by {}", _list), "expires_at": _said("until {}"),
                   "expired_at": _said("since {}")},
    "dataset.consent_changed": {"status": _said("{}")} | _DATA,
    "dataset.deleted": _DATA,
    "dataset.deprecated": _DATA,
    "dataset.license_changed": _DATA,
    "dataset.quality_assessed": {"verdict": _said("{}"), "tool": _said("by {}"), "assertions": _unmet},
    "decision.refused": {"rule": _said("by {}"), "environment": _said("in {}")},
    "deployment": _VERSION | {"approvals": _said("approved by {}", _list),
                              "emergency": lambda value: f"in an emergency: {value['reason']}"},
    "deployment.held": _RETURN | {"model": _said("of {}")},
    "drill.conducted": {"seconds": _said("{} s")},
    "documentation": {"kind": _said("{}"), "version": _said("version {}"), "author": _said("by {}"),
                      "expires_at": _said("until {}")},
    "emergency.reviewed": {"verdict": _said("{}")},
    "erasure": {"outcome": _said("{}"), "basis": _said("under {}"), "scope": _said("{}"), "due_at": _said("due {}")},
    "errorbudget.consumed": {"objective": _said("of {}", _share), "window": _said("over {}"), "action": _said("{}")},
    "evaluation.completed": {"verdict": _said("{}"), "suite": _said("suite {}"), "kind": _said("of kind {}"),
                             "measurements": _measured, "slices": _slices},
    "evidence.preserved": {"uri": _said("at {}"), "keep_until": _said("until {}")},
    "experiment.completed": {"results": lambda value: _few(f"{arm}: {_numbers(value[arm])}" for arm in sorted(value))},
    "experiment.started": {"arms": _arms, "deployment": _said("in {}"), "ends_at": _said("until {}")},
    "external.observed": {"kind": _said("{}")},
    "featureset.materialized": {"stores": _said("to {}", _list), "row_count": _said("{} rows")},
    "finding.disposed": {"due_at": _said("due {}"), "action": _said("by {}")},
    "gap.declared": {"actor": _said("of {}")},
    "gate": {"environment": _said("in {}"), "mode": _mode},
    "hold.placed": {"subjects": _said("keeps {}", _list), "matter": _said("matter {}"),
                    "authority": _said("ordered by {}"), "custodian": _said("kept by {}")},
    "incident.action_item_assigned": _ITEM | _WHICH,
    "incident.action_item_completed": {"proof": _said("shown by {}")} | _WHICH,
    "incident.action_item_created": _ITEM,
    "incident.action_item_verified": {"outcome": _said("{}")} | _WHICH,
    "incident.contributing_factor_recorded": _CAUSE,
    "incident.linked": {"relation": _said("{}:"), "subject": _said("{}"), "confidence": _said("{} sure", _share)},
    "incident.opened": {"severity": _said("severity {}"), "seriousness": _said("{}"), "affected": _said("affected: {}"),
                        "report_by": _said("to be reported by {}")},
    "incident.mitigated": {"impact_end": _said("since {}")},
    "incident.role_assigned": {"role": _said("{}:"), "assignee": _said("{}")},
    "incident.root_cause_recorded": _CAUSE,
    "incident.severity_changed": {"severity": _said("{}")},
    "labels.arrived": _WHERE | {"window_start": _said("since {}"), "window_end": _said("until {}")},
    "model.decommissioned": _END,
    "model.described": _MODEL,
    "model.on_call_assigned": {"until": _said("until {}"), "runbook": _said("runbook {}")},
    "model.registered": _MODEL,
    "modelcard": _CARD,
    "monitor.signal": {
        "threshold": _said("threshold {}"), "baseline": _said("baseline {}"), "better": _said("{} is better"),
        "severity": _said("{}", usual="info"), "status": _said("{}"), "window": _said("over {}"),
        "method": _said("by {}"), "started_at": _said("since {}"),
        "ended_at": _said("until {}"), "fingerprint": _said("as {}"), "slices": _slices,
    } | _WHERE,
    "monitor.window": _WHERE,
    "notification": _NOTICE,
    "performance.tested": {
        "p50_ms": _said("p50 {} ms"), "p95_ms": _said("p95 {} ms"), "p99_ms": _said("p99 {} ms"),
        "throughput": _said("{} requests a second"), "error_rate": _said("{} errors", _share), "cost": _cost,
        "baseline": _said("compared with {}"), "baseline_p95_ms": _said("which has p95 {} ms"),
        "baseline_cost": _said("which costs {}", _cost),
    } | _WHERE,
    "policy.defined": {"mode": _mode, "scope": _said("for {}", _list)},
    "postmortem": {"format": _said("{}"), "timeline": _said("timeline: {}", _timeline)},
    "quarantine": {
        "scope": _said("{}"), "known_since": _said("known since {}"), "held_by": _said("held by {}"),
        "serving_blocked": _yes_no("serving is blocked", "serving is not blocked"),
    },
    "retrain": {"version": _said("made {}"), "run": _said("by {}"), "due_at": _said("due {}"),
                "request": _said("asked for by {}")},
    "risk": {"tier": _said("tier {}"), "regime": _said("{}"), "annex": _said("{}"), "questionnaire": _said("by {}"),
             "effective_at": _said("from {} on")},
    "rollback": _RETURN,
    "run": {"job": _said("{}"), "status": _said("{}"), "code": _code},
    "slo": {
        "threshold": _said("threshold {}"), "value": _said("value {}"), "window": _said("over {}"),
        "monitor": _said("by {}"), "deployments": _said("for {}", _list), "action": _said("then {}"),
        "respond_within": _said("to be done within {}"),
    } | _WHERE,
    "thirdparty.registered": {"release": _said("release {}"), "contract": _said("contract {}"),
                              "hosted": _yes_no("runs at the vendor's", "runs here"),
                              "unknown": _said("not known: {}", _list), "contact": _said("ask {}")},
    "validation.assigned": {"scope": _said("{}"), "due_at": _said("due {}")},
    "version.aliased": {"previous": _said("{} had it")},
    "version.composed": {"method": _said("by {}")},
    "version.demoted": {"environment": _said("from {}"), "to": _said("to {}"), "previous": _said("{} has the place"),
                        "effective_at": _said("from {} on")},
    "version.promoted": {"environment": _said("to {}"), "from_environment": _said("from {}"), "alias": _said("as {}"),
                         "previous": _said("{} had the place"), "effective_at": _said("from {} on")},
    "validation.completed": {"verdict": _said("{}"), "findings": _severities, "independence": _said("{}"),
                             "valid_until": _said("until {}")},
    "version.retired": _END,
    "waiver": {"owner": _said("{} carries the risk"), "compensating_control": _said("instead: {}"),
               "expires_at": _said("until {}"), "single_use": _said("once"),
               "max_uses": _said("{} times"), "ticket": _said("{}"), "renews": _said("goes on from {}")},
}  # fmt: skip


def _sentence(row: JournalRow) -> str:
    data, headline = row["data"], _HEADLINES.get(row["type"])
    said = headline(data) if headline else ""
    names = _SENTENCES if headline else (*_SENTENCES, "model")
    words = next((data[name] for name in names if isinstance(data.get(name), str)), "")
    if said or words:
        return ": ".join(filter(None, (said, words)))
    metrics = data.get("metrics")
    return _numbers(metrics) if isinstance(metrics, dict) else str(data.get("digest", ""))


def _asides(row: JournalRow, said: str) -> Iterator[str]:
    data, kind = row["data"], row["type"]
    for name, words in _ASIDES.get(kind, _ASIDES.get(kind.partition(".")[0], {})).items():
        value = data.get(name)
        text = words(value) if value not in (None, "", [], {}) else ""
        if text and str(value) != said:
            yield text


def what_of(row: JournalRow) -> str:
    """What an entry says: a sentence of its author where it has one, and what else tells how it is meant.

    Args:
        row: the entry, as the journal has it.
    """
    if row["verdict"] == "withheld":
        return str(row["reason"])
    said = _sentence(row)
    beside = " ".join(text if text.endswith(":") else f"{text}," for text in _asides(row, said)).removesuffix(",")
    if not beside or not said or said == row["data"].get("digest"):
        return beside or said  # a digest alone is for machines, which have it in the entry
    return f"{said} ({beside})"
