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
    "title", "statement", "summary", "note", "rationale", "description", "reason", "change", "model",
)  # fmt: skip


def _share(value: float) -> str:
    return f"{value * 100:.4g}%"


def _list(value: list[Any]) -> str:
    return ", ".join(map(str, value))


def _timeline(value: dict[str, Any]) -> str:
    """The options with which the same timeline is asked for."""
    options = (("--known-at", "size"), ("--at", "at"), ("--before", "before"), ("--after", "after"))
    return " ".join(f"{option} {value[name]}" for option, name in options if value.get(name) is not None)


def _said(words: str, form: Callable[[Any], str] = str) -> Callable[[Any], str]:
    """Words with a value in place of the braces; a value that says no says nothing."""
    return lambda value: "" if value is False else words.format(form(value))


def waived_in(checks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which of the checks of a gate are waived, and by what, in words."""
    return [f"{one['check']} by {one['waiver']}" for one in checks if one["result"] == "waived"]


def _mode(value: str) -> str:
    """What a policy in that mode does; one that enforces is what is expected."""
    return {"enforce": "", "warn": "it only warns", "shadow": "it is only tried out"}[value]


def _yes_no(yes: str, no: str) -> Callable[[Any], str]:
    return lambda value: yes if value else no


_VERSION: Final = {"strategy": _said("{}"), "traffic": _said("{} of the traffic", _share),
                   "config_digest": _said("settings {}"), "deployment_id": _said("as {}"),
                   "previous": _said("in place of {}")}  # fmt: skip
_RETURN: Final = {
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
_CAUSE: Final = {"category": _said("{}"), "reviewers": _said("seen by {}", _list)}
#: Family or type to what else is told of its fields, in this order; a type's own goes before its family's.
_ASIDES: Final[dict[str, dict[str, Callable[[Any], str]]]] = {
    "approval": {"environment": _said("for {}")},
    "artifact.signed": _SIGNED,
    "artifact.verified": {"verdict": _said("{}")} | _SIGNED,
    "bom": {"format": _said("{}"), "serial_number": _said("{}"), "version": _said("version {}")},
    "canary": {"stage": _said("stage {}"), "traffic": _VERSION["traffic"], "verdict": _said("{}"),
               "analysis": _said("by {}")},
    "dataset.consent_changed": {"status": _said("{}")} | _DATA,
    "dataset.deleted": _DATA,
    "dataset.deprecated": _DATA,
    "dataset.license_changed": _DATA,
    "dataset.quality_assessed": {"verdict": _said("{}")},
    "deployment": _VERSION | {"approvals": _said("approved by {}", _list)},
    "deployment.held": _RETURN,
    "documentation": {"kind": _said("{}"), "version": _said("version {}"), "author": _said("by {}"),
                      "expires_at": _said("until {}")},
    "erasure": {"outcome": _said("{}"), "basis": _said("under {}"), "scope": _said("{}"), "due_at": _said("due {}")},
    "errorbudget.consumed": {"objective": _said("of {}", _share), "window": _said("over {}"), "action": _said("{}")},
    "evaluation.completed": {"verdict": _said("{}"), "suite": _said("suite {}"), "kind": _said("of kind {}")},
    "gate": {"environment": _said("in {}"), "mode": _mode},
    "hold.placed": {"matter": _said("matter {}"), "authority": _said("ordered by {}"),
                    "custodian": _said("kept by {}")},
    "incident.action_item_assigned": _ITEM,
    "incident.action_item_completed": {"proof": _said("shown by {}")},
    "incident.action_item_created": _ITEM,
    "incident.action_item_verified": {"outcome": _said("{}")},
    "incident.contributing_factor_recorded": _CAUSE,
    "incident.linked": {"relation": _said("{}:"), "subject": _said("{}"), "confidence": _said("{} sure", _share)},
    "incident.opened": {"seriousness": _said("{}"), "report_by": _said("to be reported by {}")},
    "incident.role_assigned": {"role": _said("{}:"), "assignee": _said("{}")},
    "incident.root_cause_recorded": _CAUSE,
    "incident.severity_changed": {"severity": _said("{}")},
    "model.decommissioned": _END,
    "model.described": _MODEL,
    "model.registered": _MODEL,
    "modelcard": _CARD,
    "monitor.signal": {"status": _said("{}"), "window": _said("over {}"), "method": _said("by {}"),
                       "better": _said("{} is better"), "started_at": _said("since {}"), "ended_at": _said("until {}"),
                       "fingerprint": _said("as {}")},
    "policy.defined": {"mode": _mode, "scope": _said("for {}", _list)},
    "postmortem": {"format": _said("{}"), "timeline": _said("timeline: {}", _timeline)},
    "quarantine": {
        "scope": _said("{}"), "known_since": _said("known since {}"), "held_by": _said("held by {}"),
        "serving_blocked": _yes_no("serving is blocked", "serving is not blocked"),
    },
    "risk": {"tier": _said("tier {}"), "regime": _said("{}"), "annex": _said("{}"), "questionnaire": _said("by {}"),
             "effective_at": _said("from {} on")},
    "rollback": _RETURN,
    "version.demoted": {"environment": _said("from {}"), "to": _said("to {}"), "previous": _said("{} has the place"),
                        "effective_at": _said("from {} on")},
    "version.promoted": {"environment": _said("to {}"), "from_environment": _said("from {}"), "alias": _said("as {}"),
                         "previous": _said("{} had the place"), "effective_at": _said("from {} on")},
    "validation.completed": {"verdict": _said("{}"), "independence": _said("{}")},
    "version.retired": _END,
}  # fmt: skip


def _rate(data: dict[str, Any]) -> str:
    return "" if data.get("burn_rate") is None else f" burns {data['burn_rate']:g} times as fast as it may"


def _sentence(row: JournalRow) -> str:
    data, kind = row["data"], row["type"]
    if kind == "serving.snapshot":
        return f"{len(data['loaded'])} loaded"
    if kind == "errorbudget.consumed":
        left = "exhausted" if data["remaining"] <= 0 else f"{_share(data['remaining'])} left"
        return f"{data['slo']} {left}"
    if kind == "feed.interrupted":
        return f"{words_of(data)}: {data['reason']}"
    if kind == "gate.evaluated":
        waived = waived_in(data.get("checks", ()))
        more = f"; waived: {', '.join(waived)}" if waived else ""
        return f"{data['policy']} {'allows' if data['result'] == 'allow' else 'refuses'} it{more}"
    if kind.startswith("slo."):
        return f"{data['slo']}{_rate(data)}"
    for name in _SENTENCES:
        if isinstance(data.get(name), str):
            return str(data[name])
    if kind == "monitor.signal":
        return f"{data['metric']} {data['value']}"
    if isinstance(data.get("metrics"), dict):
        return ", ".join(f"{name} {value}" for name, value in sorted(data["metrics"].items()))
    return str(data.get("digest", ""))


def _asides(row: JournalRow, said: str) -> Iterator[str]:
    data, kind = row["data"], row["type"]
    for name, words in _ASIDES.get(kind, _ASIDES.get(kind.partition(".")[0], {})).items():
        value = data.get(name)
        text = words(value) if value not in (None, "", []) else ""
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
