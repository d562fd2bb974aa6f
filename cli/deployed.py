"""What `muniment state` shows of deployments besides what is live."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from cli.app import App
from cli.output import table

__all__ = ["followed", "remarks_of", "show_deployed"]

_CANARY: Final = ("deployment", "version", "stage", "traffic", "entered", "budget used", "verdict", "remarks")


def remarks_of(live: dict[str, Any]) -> list[str]:
    """Remarks about what is live, or a canary: its marks, and the entries of the quarantines on which it rests."""
    entries = ", ".join(f"entry {one['placed']['index']}" for one in live["quarantines"])
    return [f"{mark} ({entries})" if mark == "rests-on-quarantined" else mark for mark in live["marks"]]


def _canaries(deployment: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for canary in deployment["canaries"]:
        for stage in canary["stages"]:
            remarks = ", ".join(remarks_of(canary)) if stage is canary["stages"][-1] else ""
            used = "" if stage["budget_used"] is None else f"{stage['budget_used']:.0%}"
            numbers = (str(stage["stage"]), f"{stage['traffic']:.0%}", stage["entered"][:19] + "Z", used)
            yield (deployment["deployment"], canary["model"], *numbers, stage["verdict"] or "", remarks)


def _emergencies(deployment: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for one in deployment["emergencies"]:
        review = "" if one["review"] is None else f" by {one['review']['actor']} (entry {one['review']['index']})"
        said = (one["model"], str(one["index"]), one["actor"], one["reason"], one["review_by"][:19] + "Z")
        yield (deployment["deployment"], *said, one["status"] + review)


def _waived(deployment: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name in ("live", "canary", "authorised"):
        item = deployment[name]
        for waived in () if item is None else item["waived"]:
            yield deployment["deployment"], item["model"], name, waived


def followed(decision: dict[str, Any]) -> str:
    """What followed a decision, in words.

    Args:
        decision: as `projections.service.Decision.describe` gives it.
    """
    answer = decision["answer"]
    if answer is not None and decision["status"] == "lifted":
        why = f": {answer['reason']}" if answer["reason"] else ", who gave no reason"
        return f"lifted by {answer['actor']}{why} (entry {answer['index']}, after {answer['seconds']:.0f} s)"
    if answer is not None:
        return f"{answer['type']} (entry {answer['index']}, after {answer['seconds']:.0f} s)"
    words = [f"due {decision['due_at'][:19]}Z"] if decision["due_at"] else []
    words += [f"against it: entry {index}" for index in decision["against"]]
    words += ["nobody was told"] if decision["failed_to_tell"] and not decision["told"] else []
    return ", ".join(words)


def _decisions(deployment: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for one in deployment["decisions"]:
        target = f"{'to' if one['action'] == 'rollback' else 'of'} {one['model']}"
        what = (f"{one['action']} {target}", str(one["index"]), one["status"], followed(one))
        yield (deployment["deployment"], *what)


def _promises(deployment: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for one in deployment["promises"] or ():
        left = "" if one["budget_left"] is None else f"{one['budget_left']:.1%}"
        yield deployment["deployment"], one["slo"], one["model"], one["state"], left, one["problem"] or ""


def _loaded(deployment: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    serving = deployment["serving"]
    for finding in serving["findings"]:
        where = ", ".join(finding["instances"][:5]) + (", …" if len(finding["instances"]) > 5 else "")
        yield deployment["deployment"], serving["state"], finding["kind"], finding["words"], where


def show_deployed(app: App, /, deployments: list[dict[str, Any]]) -> None:
    """Print canaries, emergencies, what was waived, decisions, promises, what is loaded otherwise; where there is any.

    Args:
        app: the invocation.
        deployments: of `projections.operating.operate`.
    """
    for title, columns, rows in (
        ("Canaries", _CANARY, _canaries),
        ("Emergencies", ("deployment", "version", "entry", "by", "reason", "review by", "review"), _emergencies),
        ("Waived, not hidden", ("deployment", "version", "it is", "waived"), _waived),
        ("Decisions", ("deployment", "decision", "entry", "status", "what followed"), _decisions),
        ("Promises", ("deployment", "slo", "version", "state", "budget left", "problem"), _promises),
        ("Loaded otherwise", ("deployment", "state", "finding", "what", "instances"), _loaded),
    ):
        table(app, title, columns, [row for deployment in deployments for row in rows(deployment)])
