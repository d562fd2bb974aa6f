"""The control assessment: eight controls over the life cycle, each with its population and its evidence.

A control is satisfied, not satisfied, not applicable (nothing to test), not assessed (something could not
be decided) or manual. Nothing is satisfied by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from projections.interruptions import interrupted, words_of
from projections.reports.controls import CONTROLS, Control
from projections.reports.exceptions import emergencies, waivers
from projections.reports.population import BAD, EMPTY, GOOD, UNKNOWN, Item, ReportContext, evidence_of

__all__ = ["control_assessment"]


def _weighed(context: ReportContext, item: Item) -> Item:
    """Nothing is satisfied by what is suspect; whether it is genuine has not been said."""
    if item.state != GOOD:
        return item
    doubts = [doubt for row in (item.row, *item.evidence) if (doubt := context.doubt(row)) is not None]
    return replace(item, state=UNKNOWN, reason=f"{item.reason}; but {doubts[0].text}") if doubts else item


_AS_LABELLED = "; complete as labelled by the operator"


def _withheld_words(context: ReportContext) -> list[str]:
    """What withheld contents do to the populations; nothing when there are none."""
    then, since = context.withheld()
    said: list[str] = []
    for rows, words in ((then, "are withheld"), (since, "were erased since, and are in no answer any more")):
        of = f"{len(rows)} of {context.as_of.size} entries {words}"
        said += [f"The populations are complete as labelled by the operator: the contents of {of}."] if rows else []
        said += [f"Entry {row['index']} ({row['type']}): {row['reason']}." for row in rows]
    return said


def _finding(control: Control, context: ReportContext) -> dict[str, Any]:
    items = [_weighed(context, item) for item in control.items(context)]
    bad = [item for item in items if item.state == BAD]
    unknown = [item for item in items if item.state == UNKNOWN]
    state = EMPTY if not items else BAD if bad else UNKNOWN if unknown else GOOD
    decisive = bad or unknown or items
    reasons = {
        EMPTY: f"nothing to test: the log has no {control.population}",
        BAD: f"{len(bad)} of {len(items)} failed: " + "; ".join(item.reason for item in bad),
        UNKNOWN: f"{len(unknown)} of {len(items)} could not be decided: " + "; ".join(item.reason for item in unknown),
        GOOD: f"all {len(items)} passed",
    }
    return {
        "control": control.name,
        "title": control.title,
        "state": state,
        "reason": reasons[state],
        "population": {
            "definition": control.population + (_AS_LABELLED if any(context.withheld()) else ""),
            "size": len(items),
            "failed": len(bad),
        },
        "evidence": evidence_of(row for item in decisive for row in item.evidence),
        "items": [
            {
                "subject": item.row["subject"],
                "index": item.row["index"],
                "state": item.state,
                "reason": item.reason,
                "evidence": [entry["index"] for entry in evidence_of(item.evidence)],
            }
            for item in items
        ],
    }


def _interruptions(context: ReportContext) -> Iterator[str]:
    """What somebody said is missing, of the period."""
    for row in interrupted(context.events("feed.interrupted"), context.since, context.until):
        yield f"Entry {row['index']} ({row['subject']}): {words_of(row['data'])}."


def control_assessment(context: ReportContext) -> dict[str, Any]:
    """Assess the eight controls.

    Args:
        context: what to look at.

    Returns:
        The report as plain values; the same context gives the same bytes.
    """
    findings = [_finding(control, context) for control in CONTROLS]
    states = [finding["state"] for finding in findings]
    void = context.void()
    return {
        "schema": "urn:muniment:schema:report.control-assessment.v1",
        "report": "control-assessment",
        "ledger": {"ledgerid": context.ledger.ledgerid, "origin": context.ledger.origin},
        "as_of": context.as_of.describe(),
        "environment": context.environment,
        "summary": {state: states.count(state) for state in (GOOD, BAD, EMPTY, UNKNOWN, "manual")},
        "findings": findings,
        "emergencies": emergencies(context),
        "waivers": waivers(context),
        "suspect_entries": [
            {"index": found.index, "cause": found.cause, "owner": found.owner} for found in context.suspects().listed
        ],
        "void_entries": [{"index": row["index"], "reason": row["reason"]} for row in void],
        "limits": [
            "This report supports evidence for these controls; it does not state compliance with anything.",
            "It covers what was submitted to this ledger; what was never submitted is not known here.",
            "What emitters claim about the world is not checked, only who claimed it, when and in which order.",
            "Gates that authorisations rest on were run again; `muniment gate recheck` runs all of them again.",
            "It rests on the entries up to the size given; `muniment verify log` checks them.",
            *_interruptions(context),
            *_withheld_words(context),
        ],
    }
